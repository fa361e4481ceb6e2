"""Guess first: readers commit themselves before a result is shown, see both side by side, and learn how well they guess.

    noise = guess.number("00/noise", "How many of 100 digits survive the noise?", 0, 100, "digits")   # last line of a cell
    noise.compare(88)                                                                          # in the cell of the result
    guess.calibration("00")                                                                    # at the end of the chapter

A guess never holds a notebook up: one that was not made is compared with nothing. Where no widget can be shown, the question
stands as text, and the answer in a fold.
"""

import html
from collections.abc import Sequence
from typing import Any

import ipywidgets

from advcourse import plots
from advcourse.core.errors import InputError
from advcourse.core.rounding import percent
from advcourse.course import guesses
from advcourse.course.answers import Answer
from advcourse.plots.style import new_chart

_WIDE = {"width": "max-content", "max_width": "100%"}
_SLIDER = {"width": "480px", "max_width": "100%"}
_POINT = {"height": "180px", "width": "72px"}


class Guess(ipywidgets.VBox):
    """A question and the control to answer it with. `choice`, `number` and `line` make one.

    Attributes:
        key: chapter and name, such as "00/noise".
        kept: the guess that the reader has kept; None before.
        keep: the button that keeps the guess.
    """

    def __init__(self, key: str, question: str, control: ipywidgets.Widget, intuition: str):
        self.key, self.question, self._intuition = key, question, intuition
        known = guesses.read(key)
        fits = "guess" in known and self._fits(known["guess"])
        self.kept, self._seen = (known["guess"], "truth" in known) if fits else (None, False)
        self._cleared = guesses.times_cleared(key)
        self.control = control
        self.keep = ipywidgets.Button(description="Keep my guess", button_style="primary", icon="check")
        self.keep.on_click(lambda _: self._keep())
        self._status = ipywidgets.HTML()
        asked = ipywidgets.HTML(f"<strong>Guess first.</strong> {html.escape(question)}")
        super().__init__([asked, control, ipywidgets.HBox([self.keep, self._status])])
        if self.kept is not None:
            self._show_kept(self.kept)
            self._say()

    def _keep(self):
        value = self._value()
        if value is None:
            self._status.value = "Choose one of the answers first."
            return
        if not self._guessed() or not self._seen:
            self.kept = value
            guesses.write(self.key, self._known())
        self._say()

    def _guessed(self):
        """Whether there is a guess; one that was cleared since is forgotten here, too."""
        if self._cleared != guesses.times_cleared(self.key):
            self.kept, self._seen, self._cleared = None, False, guesses.times_cleared(self.key)
            self._status.value = ""
        return self.kept is not None

    def _say(self):
        told = f"Kept: {html.escape(self.in_words(self.kept))}. "
        if self._seen:
            told += (
                f'You have seen the answer, so this guess counts; guess.clear("{self.key[:2]}") forgets it.'
            )
        else:
            told += "Now run the answer below."
        self._status.value = f'<span role="status" aria-live="polite">{told}</span>'

    def _known(self):
        return {"question": self.question, "guess": self.kept}

    def _record(self, truth, error, intuition):
        """Keep what the guess was compared with; from now on it stays as it is."""
        told = {"guess_in_words": self.in_words(self.kept), "truth_in_words": self.in_words(truth)}
        told |= {"truth": truth, "error": error, "intuition": intuition or self._intuition}
        guesses.write(self.key, self._known() | told)
        self._seen = True

    def _repr_mimebundle_(self, **kwargs: object) -> dict:
        """Return the widget's forms, with the question as HTML and as text for where there are no widgets."""
        data = super()._repr_mimebundle_(**kwargs)
        page = f"<p><strong>Guess first.</strong> {html.escape(self.question)}</p>{self._answers_as_html()}"
        return data | {"text/plain": f"Guess first. {self.question} {self._answers()}", "text/html": page}

    def _answers_as_html(self):
        return f"<p>{html.escape(self._answers())}</p>"

    # What a kind of question defines

    def in_words(self, value: Any) -> str:
        """Return a guess, or the truth, in words."""
        raise NotImplementedError

    def _value(self):
        """What the control shows; None if nothing was chosen."""
        raise NotImplementedError

    def _fits(self, value):
        """Whether what was kept earlier answers the question as it is now; the chapter, or the file, may have changed since."""
        raise NotImplementedError

    def _show_kept(self, value):
        """Set the control to a guess from an earlier session."""
        raise NotImplementedError

    def _answers(self):
        """A sentence on what may be answered."""
        raise NotImplementedError


class Choice(Guess):
    """One of several answers: see `choice`."""

    def __init__(self, key: str, question: str, options: Sequence[str], intuition: str):
        self.options = tuple(options)
        control = ipywidgets.RadioButtons(options=self.options, index=None, layout=_WIDE)
        super().__init__(key, question, control, intuition)

    def compare(
        self, truth: str, why: str = "", shown: plots.AccessibleFigure | None = None, intuition: str = ""
    ) -> Answer:
        """Compare the guess with the `truth`, one of the options.

        Args:
            truth: the right option.
            why: a sentence that explains it (default: none).
            shown: the result itself, which is folded with the answer where nothing was guessed (default: none).
            intuition: a sentence for the end of the chapter on what misleads many here (default: the question's).
        """
        if truth not in self.options:
            raise InputError(f"truth: got {truth!r}; allowed are {', '.join(map(repr, self.options))}")
        if not self._guessed():
            return Answer(f"The answer: “{truth}”. {why}".strip(), None, None, shown)
        right = self.kept == truth
        self._record(truth, 0.0 if right else 1.0, intuition)
        told = f"You guessed right: “{truth}”."
        if not right:
            told = f"You guessed “{self.kept}”. The answer is “{truth}”."
        return Answer(f"{told} {why}".strip(), 0.0 if right else 1.0, None, shown)

    def in_words(self, value: str) -> str:
        """Return the option itself."""
        return value

    def _value(self):
        return self.control.value

    def _fits(self, value):
        return value in self.options

    def _show_kept(self, value):
        self.control.value = value

    def _answers(self):
        return f"One of: {'; '.join(self.options)}."

    def _answers_as_html(self):
        return f"<ul>{''.join(f'<li>{html.escape(option)}</li>' for option in self.options)}</ul>"


class Number(Guess):
    """A number on a scale: see `number`."""

    def __init__(self, key: str, question: str, low: float, high: float, unit: str, intuition: str):
        self.low, self.high, self.unit = low, high, unit
        whole = isinstance(low, int) and isinstance(high, int) and high - low >= 5
        slider = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
        middle, step = (low + high) / 2, 1 if whole else (high - low) / 100
        start = int(middle) if whole else middle
        control = slider(start, min=low, max=high, step=step, description=unit, layout=_SLIDER)
        super().__init__(key, question, control, intuition)

    def compare(
        self, truth: float, why: str = "", shown: plots.AccessibleFigure | None = None, intuition: str = ""
    ) -> Answer:
        """Compare the guess with the `truth`, as `Choice.compare`."""
        truth = float(truth)
        if not self._guessed():
            return Answer(f"It is {self.in_words(truth)}. {why}".strip(), None, None, shown)
        off = self.kept - truth
        error = min(1.0, abs(off) / (self.high - self.low))
        self._record(truth, error, intuition)
        told = f"You guessed {self.in_words(self.kept)}; it is {self.in_words(truth)}."
        return Answer(f"{told} {_how_far(error, off)} {why}".strip(), error, self._drawn(truth), shown)

    def in_words(self, value: float) -> str:
        """Return the number with its unit."""
        return f"{_plain(value)} {self.unit}".strip()

    def _value(self):
        return self.control.value

    def _fits(self, value):
        return _within(value, self.low, self.high)

    def _show_kept(self, value):
        self.control.value = value

    def _answers(self):
        high = _plain(self.high)
        unit = self.unit.removeprefix(f"of {high}").strip()  # "0 to 8 tosses", guessed as "3 of 8 tosses"
        scale = f"{_plain(self.low)} to {high} {unit}".strip()
        return f"On a scale from {scale}."

    def _drawn(self, truth):
        figure, axis = new_chart(5.6, 1.0)
        axis.set(xlim=(self.low, self.high), ylim=(-1, 1), yticks=[], xlabel=self.unit)
        axis.spines["left"].set_visible(False)
        axis.plot([self.kept, truth], [0, 0], color="0.6", linewidth=3, solid_capstyle="butt")
        for value, name, marker, height in ((truth, "it is", "o", -0.55), (self.kept, "you", "D", 0.45)):
            axis.plot([value], [0], marker, color="black", markersize=7, clip_on=False)
            edge = 0.1 * (self.high - self.low)
            side = "left" if value < self.low + edge else "right" if value > self.high - edge else "center"
            axis.text(value, height, name, ha=side, va="center", fontsize=9)
        return figure


class Line(Guess):
    """A curve, given by its height at a few places: see `line`."""

    def __init__(
        self,
        key: str,
        question: str,
        places: Sequence[float | str],
        low: float,
        high: float,
        unit: str,
        intuition: str,
        along: str,
    ):
        self.along = along
        self.places, self.low, self.high, self.unit = tuple(map(str, places)), low, high, unit
        start, step = (low + high) / 2, (high - low) / 100
        scale = {"min": low, "max": high, "step": step, "readout_format": ".3g"}
        upright = {"orientation": "vertical", "layout": _POINT}
        self.points = [ipywidgets.FloatSlider(start, description=p, **scale, **upright) for p in self.places]
        points = ipywidgets.HBox(self.points, layout={"flex_flow": "row wrap"})
        control = ipywidgets.VBox([points, ipywidgets.Label(f"Drag each point. Up and down: {unit}.")])
        super().__init__(key, question, control, intuition)

    def compare(
        self,
        truth: Sequence[float],
        why: str = "",
        shown: plots.AccessibleFigure | None = None,
        intuition: str = "",
    ) -> Answer:
        """Compare the curve with the `truth`, one number for each place, as `Choice.compare`."""
        truth = [float(value) for value in truth]
        if len(truth) != len(self.places):
            raise InputError(
                f"truth: got {len(truth)} numbers; allowed are {len(self.places)}, one for each place"
            )
        if not self._guessed():
            return Answer(f"It is {self.in_words(truth)}. {why}".strip(), None, self._drawn(truth), shown)
        off = [abs(g - t) / (self.high - self.low) for g, t in zip(self.kept, truth, strict=True)]
        error = min(1.0, sum(off) / len(off))
        self._record(truth, error, intuition)
        worst = max(range(len(off)), key=off.__getitem__)
        told = f"You drew {self.in_words(self.kept)}; it is {self.in_words(truth)}. "
        told += f"You were farthest off at {self.places[worst]}." if error > 0.05 else "That is very near."
        return Answer(f"{told} {why}".strip(), error, self._drawn(truth), shown)

    def in_words(self, value: Sequence[float]) -> str:
        """Return the heights, place by place."""
        told = percent if (self.low, self.high) == (0, 1) else _plain
        return ", ".join(f"{told(v)} at {place}" for v, place in zip(value, self.places, strict=True))

    def _answers(self):
        told = percent if (self.low, self.high) == (0, 1) else _plain
        return f"A height from {told(self.low)} to {told(self.high)} at each of {', '.join(self.places)}."

    def _value(self):
        return [point.value for point in self.points]

    def _fits(self, value):
        one_each = isinstance(value, list) and len(value) == len(self.places)
        return one_each and all(_within(height, self.low, self.high) for height in value)

    def _show_kept(self, value):
        for point, height in zip(self.points, value, strict=True):
            point.value = height

    def _drawn(self, truth):
        curves = {"measured": truth} | ({"your guess": self.kept} if self.kept is not None else {})
        spots = range(len(truth))
        drawn = {name: (spots, heights) for name, heights in curves.items()}
        shares = (self.low, self.high) == (0, 1)
        figure = plots.lines(drawn, self.along, self.unit, percentages=shares)
        (axis,) = figure.axes
        axis.set(ylim=(self.low, self.high), xticks=spots, xticklabels=self.places)
        for curve in axis.lines:
            curve.set_clip_on(False)
        return figure


def _within(value, low, high):
    return isinstance(value, int | float) and low <= value <= high


def _plain(value):
    return f"{value:.4g}"


def _how_far(error, off):
    """A sentence on the distance between guess and truth."""
    if error <= 0.02:
        return "Spot on."
    way = "too high" if off > 0 else "too low"
    return f"That is {way} by {percent(error)} of the scale{': near' if error <= 0.1 else ''}."


def choice(key: str, question: str, options: Sequence[str], intuition: str = "") -> Choice:
    """Ask for one of several answers.

    Args:
        key: chapter and name, such as "00/harder".
        question: what is asked.
        options: the answers to choose from, two or more.
        intuition: a sentence for the end of the chapter on what misleads many here; given to `compare`, it is not read before
            the answer (default: none).

    Returns:
        the question, which shows itself as the last line of a cell; `.compare(truth)` belongs into the cell of the result.

    Raises:
        InputError: the key has another form, or there are too few options.
    """
    if len(set(options)) < 2 or len(set(options)) != len(options):
        raise InputError(f"options: got {options!r}; allowed are two or more different answers")
    return Choice(key, question, options, intuition)


def number(key: str, question: str, low: float, high: float, unit: str = "", intuition: str = "") -> Number:
    """Ask for a number between `low` and `high`, in `unit`; two integers at least 5 apart ask for a whole one. As `choice`."""
    _check_scale(low, high)
    return Number(key, question, low, high, unit, intuition)


def line(
    key: str,
    question: str,
    places: Sequence[float | str],
    low: float,
    high: float,
    unit: str = "",
    intuition: str = "",
    along: str = "",
) -> Line:
    """Ask for a curve: readers drag a point at each of the `places` to a height between `low` and `high`. As `choice`.

    `unit` says what the heights are, and `along` what the places are. Heights from 0 to 1 are shares, shown as per cent.
    """
    _check_scale(low, high)
    if not 2 <= len(places) <= 10:
        raise InputError(f"places: got {len(places)}; allowed are 2 to 10")
    return Line(key, question, places, low, high, unit, intuition, along)


def _check_scale(low, high):
    if not low < high:
        raise InputError(f"high: got {high!r}; allowed is a number above low, {low!r}")


def calibration(chapter: str) -> guesses.Calibration:
    """Return how well the reader guessed in a chapter, such as "00": how often, how far off, and which intuition misled."""
    return guesses.Calibration(chapter)


def clear(chapter: str | None = None) -> int:
    """Forget the guesses of a chapter, such as "00" (default: of all chapters); return how many there were."""
    return guesses.clear(chapter)
