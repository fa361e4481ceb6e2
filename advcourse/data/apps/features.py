"""The eight sets of features of DREBIN, and the binary vectors that detectors read.

Source: Arp, Spreitzenbarth, Huebner, Gascon and Rieck, "DREBIN: Effective and Explainable Detection of Android Malware in Your
Pocket", NDSS 2014, section II-A. The manifest gives S1 (hardware), S2 (requested permissions), S3 (components) and S4 (intents
in filters); the code S5 (calls that a permission guards), S6 (permissions that are requested and used), S7 (suspicious calls)
and S8 (network addresses).

Every feature is the presence of something, so that whatever is added to an app, no feature of it is lost.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from advcourse.core.inputs import InputError, check_choice, check_range
from advcourse.data.apps.android import BROADCASTS, RESTRICTED, STARTS, SUSPICIOUS
from advcourse.data.apps.manifest import Manifest, parse_manifest, relative
from advcourse.data.apps.program import Call, Program, parse_program

SETS = ("S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8")
MANIFEST = SETS[:4]
CODE = ("S5", "S7", "S8")  # S6 belongs to both
_PREFIXES = {
    "feature": "S1",
    "permission": "S2",
    "activity": "S3",
    "service": "S3",
    "receiver": "S3",
    "provider": "S3",
    "intent": "S4",
    "api_call": "S5",
    "real_permission": "S6",
    "call": "S7",
    "url": "S8",
}
_ADDRESSED = frozenset({"HttpURLConnection.get", "HttpURLConnection.post", "DexClassLoader.loadClass"})


def extract(manifest: str | bytes, program: str, reachable: bool = False) -> dict[str, frozenset[str]]:
    """Return the features of an app, by set.

    Args:
        manifest: its AndroidManifest.xml.
        program: its code.
        reachable: whether S5 to S8 count only the code that can run under this manifest, see `reachable_calls` (default False:
            all code, as in DREBIN).

    Returns:
        "S1" to "S8" -> names such as "permission::android.permission.INTERNET".

    Raises:
        InputError: the manifest or the program cannot be read.
    """
    declared, code = parse_manifest(manifest), parse_program(program)
    calls = list(reachable_calls(declared, code)) if reachable else code.calls()
    apis = {call.api for call in calls}
    restricted = apis & RESTRICTED.keys()
    intents = (
        name
        for component in declared.components
        for pair in component.filters
        for names in pair
        for name in names
    )
    used = {RESTRICTED[api] for api in restricted} & set(declared.permissions)
    return {
        "S1": _named("feature", (name for name, _ in declared.hardware)),
        "S2": _named("permission", declared.permissions),
        "S3": frozenset(f"{c.kind.removesuffix('-alias')}::{c.name}" for c in declared.components),
        "S4": _named("intent", intents),
        "S5": _named("api_call", restricted),
        "S6": _named("real_permission", used),
        "S7": _named("call", apis & SUSPICIOUS),
        "S8": _named("url", (call.argument for call in calls if call.api in _ADDRESSED)),
    }


def _named(prefix, names):
    return frozenset(f"{prefix}::{name}" for name in names)


def reachable_calls(manifest: Manifest, program: Program) -> Iterator[Call]:
    """Yield the calls that can run under this manifest.

    They are those of what an event of the phone runs, and of the classes that such calls start. Calls behind an `ifperm` whose
    permission is not requested cannot run, and neither can a receiver whose broadcast the app may not get.
    """
    classes = {relative(name, manifest.package): handlers for name, handlers in program.classes.items()}
    declared = {component.name: component for component in manifest.components if component.enabled}
    waiting, seen = list(_roots(manifest)), set()
    while waiting:
        place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        name, handler = place
        if handler == "create":
            waiting.append((name, "click"))
        for call in classes.get(name, {}).get(handler, ()):
            if call.permission and call.permission not in manifest.permissions:
                continue
            yield call
            if call.api in STARTS:
                started = relative(call.argument, manifest.package)
                if started in declared or call.api == "Thread.start":
                    waiting.append(
                        (declared[started].runs if started in declared else started, STARTS[call.api])
                    )


def _roots(manifest):
    """Yield (class, handler) of what the phone itself runs; "click" goes with every screen that can open."""
    granted = {
        action
        for action, permission in BROADCASTS.values()
        if not permission or permission in manifest.permissions
    }
    for component in manifest.components:
        if component.enabled and (component.is_icon or component.kind == "provider"):
            yield component.runs, "create"
        actions = {action for names, _ in component.filters for action in names}
        if component.enabled and component.kind == "receiver" and actions & granted:
            yield component.name, "receive"


def set_of(feature: str) -> str:
    """Return the set, "S1" to "S8", of a feature's name.

    Raises:
        InputError: the name does not begin with the prefix of a set.
    """
    prefix, separator, name = str(feature).partition("::")
    if not separator or not name or prefix not in _PREFIXES:
        raise InputError(
            f"feature: got {feature!r}; allowed are {', '.join(_PREFIXES)}, then '::' and a name"
        )
    return _PREFIXES[prefix]


class Vocabulary:
    """The features that a detector knows, in the order of its inputs.

    Args:
        names: of the features, without repetition, such as "permission::android.permission.INTERNET".

    Raises:
        InputError: a name twice, or of no set.
    """

    def __init__(self, names: Iterable[str]):
        self.names = tuple(names)
        self.sets = tuple(set_of(name) for name in self.names)
        self._index = {name: i for i, name in enumerate(self.names)}
        if len(self._index) < len(self.names):
            raise InputError("names: got a feature twice; allowed is each once")

    @classmethod
    def of(cls, features: Iterable[dict[str, frozenset[str]]], at_least: int = 5) -> "Vocabulary":
        """Make the vocabulary of the features that occur in `at_least` of the apps (default 5), sorted by set and name."""
        at_least = check_range(at_least, "at_least", 1, integer=True)
        counts = Counter(name for app in features for names in app.values() for name in names)
        kept = (name for name, count in counts.items() if count >= at_least)
        return cls(sorted(kept, key=lambda name: (set_of(name), name)))

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} features)"

    def index(self, name: str) -> int:
        """Return the place of a feature.

        Raises:
            InputError: the vocabulary does not have it.
        """
        if name not in self._index:
            raise InputError(f"feature: got {name!r}, which is not in this vocabulary of {len(self)}")
        return self._index[name]

    def vector(self, features: dict[str, frozenset[str]]) -> Tensor:
        """Return what `extract` gave as zeros and ones: float32, shape (D,). Features outside the vocabulary are left out."""
        vector = torch.zeros(len(self))
        known = [self._index[name] for names in features.values() for name in names if name in self._index]
        vector[known] = 1
        return vector

    def where(self, sets: Sequence[str] = MANIFEST) -> Tensor:
        """Return which features belong to the given sets: bool, shape (D,). Default: S1 to S4, those of the manifest."""
        for name in sets:
            check_choice(name, "sets", SETS)
        return torch.tensor([own in sets for own in self.sets], dtype=torch.bool)
