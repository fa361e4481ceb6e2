"""A reader of AndroidManifest.xml that stays quick and small whatever it is given."""

import functools
from dataclasses import dataclass
from xml.parsers import expat

from advcourse.core.inputs import InputError
from advcourse.data.apps.android import LAUNCHER, MAIN, NAMESPACE

LARGEST = 2**20  # bytes
DEEPEST = 32  # elements inside one another; the schema needs six
MOST = 20_000  # elements
KINDS = ("activity", "activity-alias", "service", "receiver", "provider")
_ANDROID = NAMESPACE + " "
_BINARY = b"\x03\x00\x08\x00"  # how the compiled manifest inside an APK begins


@dataclass(frozen=True)
class Component:
    """An activity, service, receiver or provider that a manifest declares.

    Attributes:
        kind: one of `KINDS`.
        name: as in the manifest, but relative to the package, with a leading dot, if the class is in it.
        filters: for each intent filter its (actions, categories), two tuples of names.
        enabled: False if the manifest switches it off.
        target: of an alias, the activity that it stands for, as `name`.
    """

    kind: str
    name: str
    filters: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()
    enabled: bool = True
    target: str = ""

    @property
    def runs(self) -> str:
        """The class that is run: the component's own, or an alias's target."""
        return self.target or self.name

    @property
    def is_icon(self) -> bool:
        """Whether the component has an icon in the launcher: one filter has both MAIN and LAUNCHER."""
        shown = any(MAIN in actions and LAUNCHER in categories for actions, categories in self.filters)
        return shown and self.enabled and self.kind.startswith("activity")


@dataclass(frozen=True)
class Manifest:
    """What the phone and the detectors read in a manifest, in its order.

    Attributes:
        package: such as "org.example.torch".
        hardware: (name, whether the app requires it) for each `uses-feature`.
        permissions: the requested ones.
        components: activities, services, receivers and providers.
    """

    package: str
    hardware: tuple[tuple[str, bool], ...]
    permissions: tuple[str, ...]
    components: tuple[Component, ...]


def relative(name: str, package: str) -> str:
    """Return a class's name with a leading dot in place of the package, if the class is in the package itself.

    ".Main", "Main" and "org.example.torch.Main" are the same class of org.example.torch: all give ".Main".
    """
    if name.startswith(package + "."):
        return name[len(package) :]
    return name if "." in name else f".{name}"


def parse_manifest(text: str | bytes) -> Manifest:
    """Read an AndroidManifest.xml.

    The reader refuses document types, which manifests do not have, and with them all entities; more than 1 MB, 32 elements
    inside one another, or 20 000 elements. So its time and memory are bounded. Unknown elements and attributes are ignored, as
    Android does.

    Args:
        text: the XML, as text or as bytes in the encoding that it declares.

    Raises:
        InputError: not XML, not a manifest, beyond the limits, or a name is missing.
    """
    if not isinstance(text, str | bytes):
        raise InputError(f"manifest: got {type(text).__name__}; allowed is XML as str or bytes")
    _check_size(text)
    return _parsed(text)


def _check_size(text):
    if len(text) > LARGEST:
        raise InputError(f"manifest: got {len(text):,} bytes; allowed are at most {LARGEST:,}")


@functools.lru_cache(maxsize=16)
def _parsed(text):
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    _check_size(data)
    if data.startswith(_BINARY):
        raise InputError(
            "manifest: got the compiled manifest of an APK; allowed is its text (apktool decodes it)"
        )
    reader = _Reader()
    parser = expat.ParserCreate("utf-8" if isinstance(text, str) else None, namespace_separator=" ")
    parser.StartElementHandler = lambda name, attributes: reader.opens(name, attributes, parser)
    parser.EndElementHandler = lambda name: reader.closes()
    parser.StartDoctypeDeclHandler = reader.refuses
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        what = expat.errors.messages.get(error.code, str(error))
        raise InputError(f"manifest: line {error.lineno}: not well-formed XML ({what})") from None
    except (LookupError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"manifest: its encoding cannot be read ({error}); allowed is UTF-8") from None
    return reader.manifest()


class _Reader:
    """Gathers a manifest from the parser's events."""

    def __init__(self):
        self.path, self.count = [], 0
        self.package, self.hardware, self.permissions, self.components = "", [], [], []

    def refuses(self, *_):
        raise InputError(
            "manifest: has a document type (DOCTYPE), which can define entities; allowed is none"
        )

    def opens(self, name, attributes, parser):
        line = parser.CurrentLineNumber
        self.count += 1
        if len(self.path) >= DEEPEST or self.count > MOST:
            raise InputError(
                f"manifest: line {line}: too many elements; allowed are {DEEPEST} inside one another, and {MOST:,} in all"
            )
        self.path.append(name)
        if len(self.path) == 1:
            self._root(name, attributes, line)
        elif (
            len(self.path) == 2 and name == "uses-feature" and _ANDROID + "name" in attributes
        ):  # else: OpenGL
            self.hardware.append((attributes[_ANDROID + "name"].strip(), _flag(attributes, "required")))
        elif len(self.path) == 2 and name in ("uses-permission", "uses-permission-sdk-23"):
            self.permissions.append(_named(attributes, name, line))
        elif self.path[1:2] == ["application"] and self.path[2:3] and self.path[2] in KINDS:
            self._component(name, attributes, line)

    def closes(self):
        self.path.pop()

    def _root(self, name, attributes, line):
        if name != "manifest":
            raise InputError(f"manifest: line {line}: its root is <{name}>; allowed is <manifest>")
        self.package = attributes.get("package", "")
        if not self.package:
            raise InputError(f'manifest: line {line}: <manifest> lacks package="..."')

    def _component(self, element, attributes, line):
        inside = self.path[3:]
        if not inside:
            self._declared(element, attributes, line)
        elif inside == ["intent-filter"]:
            self.components[-1][2].append(([], []))
        elif inside in (["intent-filter", "action"], ["intent-filter", "category"]):
            self.components[-1][2][-1][element == "category"].append(_named(attributes, element, line))

    def _declared(self, kind, attributes, line):
        name = relative(_named(attributes, kind, line), self.package)
        target = attributes.get(_ANDROID + "targetActivity", "").strip()
        if kind == "activity-alias" and not target:
            raise InputError(f"manifest: line {line}: <activity-alias> lacks android:targetActivity")
        target = relative(target, self.package) if kind == "activity-alias" else ""
        self.components.append((kind, name, [], _flag(attributes, "enabled"), target))

    def manifest(self):
        components = (
            Component(kind, name, tuple((tuple(a), tuple(c)) for a, c in filters), enabled, target)
            for kind, name, filters, enabled, target in self.components
        )
        return Manifest(self.package, tuple(self.hardware), tuple(self.permissions), tuple(components))


def _named(attributes, element, line):
    name = attributes.get(_ANDROID + "name", "").strip()
    if not name:
        raise InputError(f'manifest: line {line}: <{element}> lacks android:name="..."')
    return name


def _flag(attributes, name):
    return attributes.get(_ANDROID + name, "true").strip().lower() != "false"
