"""What chapter 11 shows of an app: two texts as a difference, line by line, and an explorer with an install button."""

import difflib
import html
from collections.abc import Sequence

import ipywidgets

from advcourse.cases.malware import AddFeatures, Detector, edit
from advcourse.cases.malware.attack import BENIGN, MALICIOUS
from advcourse.core.inputs import InputError, check_range
from advcourse.core.rounding import percent
from advcourse.core.workers import torch_threads
from advcourse.data.apps import App, PocketPhone

_LINE = {  # colours that can be read on white and on black paper; the sign in front says the same without them
    "+": "background:#d7ecd0;color:#111",
    "-": "background:#f6d5cd;color:#111",
    " ": "",
    "…": "opacity:.6",
}
_PAGE = (  # long lines are broken at spaces, if they can be
    "font-family:monospace;font-size:12px;line-height:1.45;white-space:pre-wrap;word-break:normal;overflow-wrap:anywhere;"
    "margin:2px 0;padding:4px;border:1px solid #999"
)
_ROW = "display:block;padding-left:8ch;text-indent:-8ch"  # what follows a break is indented
_WIDE = {"style": {"description_width": "80px"}, "layout": {"width": "360px"}}
_LIST = _WIDE | {"layout": {"width": "560px", "max_width": "100%"}}


class Difference:
    """Two texts, line by line: see `difference`. It shows itself in a notebook, and as plain text elsewhere.

    `lines` are pairs of a mark and a text: "+" for a line that came, "-" for one that went, " " for one that stayed, and "…"
    where lines that stayed are left out.
    """

    def __init__(self, lines: list[tuple[str, str]], name: str):
        self.lines, self.name = lines, name

    def __repr__(self):
        return "\n".join([self.name, *(f"{mark} {text}".rstrip() for mark, text in self.lines)])

    def _repr_html_(self):
        rows = (
            f'<span style="{_ROW};{_LINE[mark]}">{mark} {html.escape(text)}</span>'
            for mark, text in self.lines
        )
        return f'<strong>{html.escape(self.name)}</strong><pre style="{_PAGE}">{"".join(rows)}</pre>'


def difference(before: str, after: str, name: str, around: int | None = None) -> Difference:
    """Return which lines of a text came and went, for display. Lines that differ in spaces alone count as the same.

    Args:
        before, after: the texts, such as two manifests or two logs.
        name: what they are; it stands above.
        around: how many lines that stayed are shown beside each change (default None: all).

    Raises:
        InputError: `around` is below 0.
    """
    if around is not None:
        check_range(around, "around", 0, integer=True)
    old, new = before.splitlines(), after.splitlines()
    lines = []
    keys = [[" ".join(line.split()) for line in text] for text in (old, new)]
    for kind, i, j, k, m in difflib.SequenceMatcher(None, *keys, autojunk=False).get_opcodes():
        if kind == "equal":
            lines += [(" ", text) for text in new[k:m]]
        else:
            lines += [("-", text) for text in old[i:j]] + [("+", text) for text in new[k:m]]
    return Difference(lines if around is None else _shortened(lines, around), name)


def _shortened(lines, around):
    """Leave out what stayed, but for the lines beside a change."""
    changed = [i for i, (mark, _) in enumerate(lines) if mark != " "]
    shown, gap = [], False
    for i, line in enumerate(lines):
        if any(abs(i - place) <= around for place in changed):
            shown.append(line)
            gap = False
        elif not gap:
            shown.append(("…", ""))
            gap = True
    return shown


class Overturned:
    """An edited manifest, and what a detector says before and after: see `overturned`. It shows itself, or prints as text.

    `changed` is the `Difference` of the manifests, `before` and `after` are the probabilities of "malicious".
    """

    def __init__(self, changed: Difference, before: float, after: float, passes: tuple[bool, bool]):
        self.changed, self.before, self.after, self._passes = changed, before, after, passes
        self._added = sum(mark == "+" for mark, _ in changed.lines)

    def _words(self):
        sentences = (_verdict(self.before, self._passes[0]), _verdict(self.after, self._passes[1]))
        lines = f"With {self._added} line{'s' * (self._added != 1)} more"
        return [f"{head}, {words}" for head, words in zip(("As it was", lines), sentences, strict=True)]

    def __repr__(self):
        return "\n".join([repr(self.changed), *self._words()])

    def _repr_html_(self):
        bars = "".join(
            f"<p>{html.escape(words)}</p>{_bar(suspicion, passes)}"
            for words, suspicion, passes in zip(
                self._words(), (self.before, self.after), self._passes, strict=True
            )
        )
        return (
            '<div style="display:flex;flex-wrap:wrap;gap:24px;align-items:flex-start">'
            f'<div style="flex:1 1 420px;min-width:0">{self.changed._repr_html_()}</div>'
            f'<div style="flex:1 1 260px">{bars}</div></div>'
        )


def overturned(detector: Detector, app: App, manifest: str, around: int | None = 1) -> Overturned:
    """Return an app's manifest beside an edited one, and what a detector makes of the app with each, for display.

    Args:
        detector: what reads both.
        app: the app as it was; its program stays the same.
        manifest: its edited manifest.
        around: how many unchanged lines are shown beside each change (default 1; None: all).

    Raises:
        InputError: a manifest cannot be read, or `around` is below 0.
    """
    changed = difference(app.manifest, manifest, f"The manifest of {app.package}", around)
    answers = []
    with torch_threads(1):
        answers += [detector.logits(text, app.program) for text in (app.manifest, manifest)]
    suspicions = [float(logits.softmax(0)[MALICIOUS]) for logits in answers]
    passes = tuple(bool(logits[BENIGN] > logits[MALICIOUS]) for logits in answers)
    return Overturned(changed, *suspicions, passes)


class AppExplorer(ipywidgets.VBox):
    """See `app_explorer`. Its controls are `app`, `additions`, `careful` and `install`; it shows `meter`, `changed`, `logged` and
    `message`.

    `edited` is the manifest as it is now, `suspicion` the probability that the detector gives to "malicious", and `trace` what
    the phone logged; None before the app is installed.
    """

    def __init__(
        self, detector: Detector, apps: Sequence[App], budget: int, additions: int, phone: PocketPhone
    ):
        self._detector, self._apps, self._phone = detector, tuple(apps), phone
        mask = detector.vocabulary.where()
        self._attack = AddFeatures(tuple(mask.tolist()), budget, early=False)
        names = [
            (f"{app.category}, {app.family or 'honest'} ({app.package})", i) for i, app in enumerate(apps)
        ]
        self.app = ipywidgets.Dropdown(options=names, description="app", **_LIST)
        self.additions = ipywidgets.IntSlider(additions, 0, budget, description="additions", **_WIDE)
        self.careful = ipywidgets.Checkbox(False, description="careful edit", indent=False)
        self.install = ipywidgets.Button(description="Install", icon="mobile", button_style="primary")
        self.meter, self.changed, self.logged, self.message = (ipywidgets.HTML() for _ in range(4))
        wrap = {"flex_flow": "row wrap", "align_items": "flex-start"}
        half = {"flex": "1 1 340px", "min_width": "0", "padding": "4px"}
        left = ipywidgets.VBox([self.changed], layout=half)
        right = ipywidgets.VBox([self.install, self.message, self.logged], layout=half)
        controls = ipywidgets.HBox([self.app, self.additions, self.careful], layout=wrap)
        super().__init__([controls, self.meter, ipywidgets.HBox([left, right], layout=wrap)])
        self.add_class("advcourse-explorer")
        self.app.observe(self._attacked, names="value")
        for control in (self.additions, self.careful):
            control.observe(self._refresh, names="value")
        self.install.on_click(self._installed)
        self._attacked()

    def _attacked(self, change=None):
        """Attack the chosen app once; the slider says how many of the additions are made."""
        self._app = self._apps[self.app.value]
        x = self._detector.read(self._app.manifest, self._app.program)[None]
        with torch_threads(1):
            order = self._attack.run(self._detector.net, x).order[0].tolist()
        self._names = [self._detector.vocabulary.names[i] for i in order if i >= 0]
        self._before = str(self._phone.run(self._app.manifest, self._app.program))
        self._refresh()

    def _refresh(self, change=None):
        made = self._names[: self.additions.value]
        self.edited = edit(self._app.manifest, made, self.careful.value)
        with torch_threads(1):
            logits = self._detector.logits(self.edited, self._app.program)
        self.suspicion, self.trace = float(logits.softmax(0)[MALICIOUS]), None
        self.meter.value = _meter(self.suspicion, bool(logits[BENIGN] > logits[MALICIOUS]), len(made))
        told = difference(self._app.manifest, self.edited, "The manifest", around=2 if made else None)
        self.changed.value = told._repr_html_()
        self.logged.value = difference(self._before, self._before, "The phone's log, unedited")._repr_html_()
        self._say("Not installed yet.")

    def _installed(self, button=None):
        self.trace = self._phone.run(self.edited, self._app.program)
        if self.trace.refused:
            self._say(f"The phone refuses it. {self.trace.refused}.", "✗")
            self.logged.value = ""
            return
        after = str(self.trace)
        told = difference(self._before, after, "The phone's log")
        self.logged.value = told._repr_html_()
        if after == self._before:
            self._say("Installed. It does what it did before.", "✓")
        else:
            self._say("Installed, but this is another program now: look for the marked lines.", "✗")

    def _say(self, text, sign=""):
        told = html.escape(f"{sign} {text}".strip())
        self.message.value = f'<p role="status" aria-live="polite">{told}</p>'


def _meter(suspicion, passes, made):
    """A bar, and the same in words."""
    text = f"With {made} addition{'s' * (made != 1)} {_verdict(suspicion, passes)}"
    return f'{_bar(suspicion, passes)}<p role="status" aria-live="polite">{html.escape(text)}</p>'


def _verdict(suspicion, passes):
    words = "passes as benign" if passes else "is stopped as malicious"
    return f"it {words}: the detector gives “malicious” {percent(suspicion)}."


def _bar(suspicion, passes):
    """The suspicion as a bar with the threshold in its middle."""
    colour = "#56B4E9" if passes else "#D55E00"
    return (
        f'<div role="meter" aria-label="suspicion" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{100 * suspicion:.0f}" style="position:relative;max-width:560px;height:16px;border:1px solid #999">'
        f'<div style="width:{100 * suspicion:.1f}%;height:100%;background:{colour}"></div>'
        '<div style="position:absolute;left:50%;top:-3px;height:22px;border-left:2px dashed currentColor"></div></div>'
    )


def app_explorer(
    detector: Detector,
    apps: Sequence[App],
    *,
    budget: int = 20,
    additions: int = 3,
    phone: PocketPhone | None = None,
) -> AppExplorer:
    """Explore the attack on apps: the manifest as a difference, the detector's suspicion, and the phone's log before and after.

    The additions are those of `AddFeatures`, in its order. The meter is read from the edited app itself. The phone is asked only
    when "Install" is pressed; it may refuse.

    Args:
        detector: what reads the apps.
        apps: the apps to choose from.
        budget: the most additions (default 20).
        additions: how many are made at first (default 3).
        phone: what the apps are installed on (default: the pocket phone).

    Returns:
        an `AppExplorer`, an ipywidget.

    Raises:
        InputError: there are no apps, or a number is out of range.
    """
    if not isinstance(detector, Detector):
        raise InputError(f"detector: got {type(detector).__name__}; allowed is a malware.Detector")
    if not all(isinstance(app, App) for app in apps):
        raise InputError("apps: got something else than apps; allowed are those of an AppSet, such as .apps")
    if not apps:
        raise InputError("apps: got none; allowed is at least one")
    check_range(budget, "budget", 1, integer=True)
    check_range(additions, "additions", 0, budget, integer=True)
    return AppExplorer(detector, apps, budget, additions, phone or PocketPhone())
