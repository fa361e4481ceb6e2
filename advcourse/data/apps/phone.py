"""The pocket phone: it installs an app, plays a day with it, and writes down what the app does.

The day: the owner installs the app, opens it, taps on every screen, and restarts the phone; then an SMS arrives, the owner
unlocks the screen, and the network changes. No app can do anything outside this file: a call is a line in a log.

The phone is Android where it hurts whoever edits a manifest:

- hardware that a manifest names is required unless it says `android:required="false"`: INSTALL_FAILED_MISSING_FEATURE;
- a component that is declared twice: INSTALL_PARSE_FAILED_MANIFEST_MALFORMED;
- a receiver that gets a broadcast, or a provider, which every start of the app creates, without a class: it crashes;
- each activity whose filter has MAIN and LAUNCHER is an icon;
- a permission switches on whatever asks for it, and lets broadcasts in; a service starts only if it is declared.
"""

from collections import Counter, deque
from dataclasses import dataclass

from advcourse.data.apps.android import APIS, BROADCASTS, HARDWARE, POST, STARTS
from advcourse.data.apps.manifest import Manifest, parse_manifest, relative
from advcourse.data.apps.program import Program, parse_program

_CALLS = 2000  # in one event; then Android says that the app does not respond
_CALLS_A_DAY = 50_000  # in all events together, however many receivers there are
_DEPTH = 50  # classes that start one another


@dataclass(frozen=True)
class Effect:
    """One line of the log.

    Attributes:
        event: "install", "launch", "tap", "boot", "sms", "unlock" or "network".
        component: the class that ran.
        text: what it did.
        harm: whether it sends an SMS, draws over other apps, loads code, or sends private data out.
    """

    event: str
    component: str
    text: str
    harm: bool = False


@dataclass(frozen=True)
class Trace:
    """What an app did. Two apps behave in the same way if their traces are equal.

    Attributes:
        refused: why the phone did not install the app, in Android's terms; "" if it did.
        effects: one `Effect` after another.
    """

    refused: str = ""
    effects: tuple[Effect, ...] = ()

    @property
    def harmful(self) -> bool:
        """Whether the app did harm without a tap: what makes an app malicious here."""
        return any(effect.harm and effect.event != "tap" for effect in self.effects)

    @property
    def crashed(self) -> bool:
        """Whether the app crashed at least once."""
        return any(effect.text.startswith("CRASH") for effect in self.effects)

    def __str__(self) -> str:
        if self.refused:
            return f"refused  {self.refused}"
        width = max((len(effect.component) for effect in self.effects), default=0)
        lines = (f"{e.event:8} {e.component:{width}} {e.text}{_mark(e)}" for e in self.effects)
        return "\n".join(line.rstrip() for line in lines)


def _mark(effect):
    return "   <-- harm" if effect.harm and effect.event != "tap" else ""


@dataclass(frozen=True)
class PocketPhone:
    """A phone that runs toy apps: `PocketPhone().run(manifest, program)` returns a `Trace`.

    Args:
        hardware: the names of what the phone has (default `android.HARDWARE`: no NFC, no fingerprint reader).
    """

    hardware: frozenset[str] = HARDWARE

    def refusal(self, manifest: str | bytes) -> str:
        """Return why the phone would not install an app with this manifest, in Android's terms; "" if it would.

        Raises:
            InputError: the manifest cannot be read.
        """
        parsed = parse_manifest(manifest)
        for name, required in parsed.hardware:
            if required and name not in self.hardware:
                return f"INSTALL_FAILED_MISSING_FEATURE: the app requires {name}"
        for name, count in Counter(component.name for component in parsed.components).items():
            if count > 1:
                return f"INSTALL_PARSE_FAILED_MANIFEST_MALFORMED: {name} is declared {count} times"
        return ""

    def run(self, manifest: str | bytes, program: str) -> Trace:
        """Install an app and play a day with it.

        Args:
            manifest: its AndroidManifest.xml.
            program: in the language of `program.parse_program`.

        Raises:
            InputError: the manifest or the program cannot be read.
        """
        code = parse_program(program)
        if refused := self.refusal(manifest):
            return Trace(refused)
        return Trace("", tuple(_Day(parse_manifest(manifest), code).played()))


class _Crash(Exception):
    """The app crashed, with Android's exception."""


class _Day:
    """One app on the phone."""

    def __init__(self, manifest: Manifest, program: Program):
        self.manifest, self.log = manifest, []
        self.permissions = frozenset(manifest.permissions)
        self.declared = {component.name: component for component in manifest.components if component.enabled}
        self.classes = {}
        for name, handlers in program.classes.items():
            self.classes.setdefault(relative(name, manifest.package), handlers)
        self.screens, self.event, self.calls, self.calls_today = [], "", 0, 0

    def played(self):
        icons = [component for component in self.declared.values() if component.is_icon]
        for icon in icons:
            self.log.append(Effect("install", icon.name, "has an icon"))
        self._starts_process("launch")
        for icon in icons:
            self._happens("launch", icon.runs, "create")
        self._taps()
        for event, (action, permission) in BROADCASTS.items():
            self._broadcasts(event, action, permission)
        return self.log

    def _starts_process(self, event):
        for component in self.declared.values():
            if component.kind == "provider":
                self._happens(event, component.name, "create")

    def _taps(self):
        """Tap once on every screen, and on those that taps open."""
        waiting, tapped = deque(self.screens), set()
        while waiting:
            if (screen := waiting.popleft()) not in tapped:
                tapped.add(screen)
                before = len(self.screens)
                self._happens("tap", screen, "click")
                waiting.extend(self.screens[before:])

    def _broadcasts(self, event, action, permission):
        if permission and permission not in self.permissions:
            return
        for component in self.declared.values():
            if component.kind == "receiver" and any(action in actions for actions, _ in component.filters):
                self._happens(event, component.name, "receive")

    def _happens(self, event, name, handler):
        """Run a handler, and what it starts; a crash ends it."""
        self.event, self.calls = event, 0
        try:
            self._runs(name, handler, set(), 0)
        except _Crash as crash:
            self.log.append(Effect(event, name, f"CRASH: {crash}"))

    def _runs(self, name, handler, read, depth):
        """Run one handler; `read` is the private data that it knows."""
        if name not in self.classes:
            raise _Crash(f"ClassNotFoundException {name}")
        if depth > _DEPTH:
            raise _Crash("StackOverflowError")
        component = self.declared.get(name)
        if handler == "create" and not (component and component.kind == "provider"):
            self.screens.append(name)
        for call in self.classes[name].get(handler, ()):
            self.calls += 1
            self.calls_today += 1
            if self.calls > _CALLS or self.calls_today > _CALLS_A_DAY:
                raise _Crash("ANR, application not responding")
            if not call.permission or call.permission in self.permissions:
                self._calls(call, name, read, depth)

    def _calls(self, call, name, read, depth):
        if call.api in STARTS:
            self._starts(call, read, depth)
            return
        api = APIS[call.api]
        if api.permission and api.permission not in self.permissions:
            raise _Crash(f"SecurityException: {call.api} needs {api.permission}")
        text, harm = f"{api.effect} {call.argument}", api.harm
        if call.api == POST:
            what = f"SENDS {', '.join(sorted(read)).upper()}" if read else "sends usage counts"
            text, harm = f"{what} to {call.argument}", bool(read)
        if api.private:
            read.add(api.private)
            text = f"reads {api.private}: {call.argument}"
        self.log.append(Effect(self.event, name, text, harm))

    def _starts(self, call, read, depth):
        """Start another class of the app. What was read goes along in an intent, but not to a thread, and never back."""
        name = relative(call.argument, self.manifest.package)
        component = self.declared.get(name)
        if call.api == "Context.startActivity" and (
            component is None or not component.kind.startswith("activity")
        ):
            raise _Crash(f"ActivityNotFoundException {name}")
        if call.api == "Context.startService" and (component is None or component.kind != "service"):
            return  # Android returns null
        taken = set() if call.api == "Thread.start" else set(read)
        self._runs(component.runs if component else name, STARTS[call.api], taken, depth + 1)
