"""The settings file of an evaluation: a small YAML file, read into cells, and what is wrong with it told before anything runs."""

import sys
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path

from advcourse import data, models
from advcourse.attacks import REGISTRY, TABLE_1, Attack
from advcourse.attacks.hyperparameters import allowed
from advcourse.core.identity import identity, is_fresh
from advcourse.core.inputs import InputError, check_classes, check_range, predict, resolve_device
from advcourse.data.transformations import JPEG, EightBit, GaussianBlur, GaussianNoise
from advcourse.evaluation.cells import Cell, Conditions, DataSource, ModelSource, imported
from advcourse.evaluation.entries import parse

DEFAULT = Path(__file__).with_name("default.yml")
TEMPLATE = Path(__file__).with_name("template.yml")  # to begin a file of one's own with

_REQUIRED = {
    "data": "a data set, or a list of them",
    "models": "a model, or a list of them",
    "attacks": "all, table 1, an attack, or a list of them",
}
_CONDITIONS = tuple(field.name for field in fields(Conditions))
_TRANSFORMATIONS = {"noise": GaussianNoise, "blur": GaussianBlur, "jpeg": JPEG}
_STRENGTHS = {"noise": "std", "blur": "radius", "jpeg": "quality"}  # what file and class call them
_ROUNDING = "8-bit"
_GROUPS = {"all": REGISTRY, "table 1": TABLE_1}  # what one word stands for
_BUDGETS = ("eps", "gamma")  # of which an attack may have a list


@dataclass(frozen=True)
class Settings:
    """What a file asks for: a title, and the cells, those of one model together."""

    title: str
    cells: tuple[Cell, ...]


def read(path: Path | str | None = None, device: str | None = None, images: int | None = None) -> Settings:
    """The `Settings` in the YAML file at `path`. Models and images are loaded once, to see whether they can be.

    Args:
        path: of the file (default None: the one that ships, `DEFAULT`). docs/evaluation.md says what it may hold.
        device, images: in place of what the file says (default None: as it says).

    Where a model or an attack is built by code of one's own, the file's folder becomes the first in which modules are looked for.

    Raises:
        InputError: all that is wrong, a line each, with file, line and key, what was given and what is allowed.
    """
    path = DEFAULT if path is None else Path(path)
    whole, problems = parse(path)
    parts = problems.parts(whole, ("title", *_REQUIRED, *_CONDITIONS), _REQUIRED)
    title = parts["title"].value if "title" in parts and problems.text(parts["title"]) else path.stem
    sets = _sets(parts.get("data"), images, problems)
    conditions = _conditions(parts, device, sets, problems)
    sources = _models(parts.get("models"), path, sets, problems)
    attacks = _attacks(parts.get("attacks"), path, problems)
    problems.stop()
    cells = [
        Cell(name, attack, model, source, conditions, variant)
        for model in sources
        for source in sets
        for name, variant, attack in attacks
    ]
    return Settings(title, tuple(cells))


def _listed(entry, what, problems):
    """The entries of the list `entry`, or itself alone; none if it is missing. An empty list is a problem."""
    if entry is not None and entry.value == []:
        problems.add(entry, f"got an empty list; allowed is {_REQUIRED[what]}")
    return [] if entry is None else entry.items


def _named(entry, keys, problems):
    """The parts of an entry that is a mapping with a name, or the name alone."""
    if isinstance(entry.value, dict):
        return problems.parts(entry, keys, {"name": "text"})
    return {"name": entry}


# Data


def _sets(entry, images, problems):
    """The data sources, each with its images and labels."""
    if images is not None:
        check_range(images, "images", 1, integer=True)
    sets, lines = {}, {}
    for one in _listed(entry, "data", problems):
        parts = _named(one, ("name", "split", "images", "seed"), problems)
        choices = {"name": data.names(), "split": ("train", "test")}
        chosen = [problems.choice(parts[key], choices[key]) for key in choices if key in parts]
        if "name" not in parts or not all(chosen):
            continue
        given = {key: part.value for key, part in parts.items() if problems.single(part)}
        source = DataSource(**given | ({} if images is None else {"images": images}))
        with problems.told_of(one, parts):
            most = len(data.load(source.name, source.split))
            if images is not None and images > most:
                problems.add(one, f"got {images} images in place of the file's; allowed are at most {most}")
                continue
            check_range(source.images, "images", 1, most, integer=True)
            check_range(source.seed, "seed", 0, integer=True)
            if problems.new(one, f"{source.name} {source.split}", lines):
                sets[source] = source.load()
    return sets


# Conditions


def _conditions(parts, device, sets, problems):
    given = {}
    for name in _CONDITIONS:
        if name in parts and name not in ("transformations", "device") and problems.single(parts[name]):
            with problems.told_of(parts[name], parts):
                Conditions(**{name: parts[name].value})
                given[name] = parts[name].value
    if "transformations" in parts:
        given["transformations"] = _transformations(parts["transformations"], sets, problems)
    # "auto" is settled here, for elsewhere, where a cell may be measured, it might mean another device.
    if device is not None:
        given["device"] = str(resolve_device(device))
    elif "device" in parts and problems.text(parts["device"]):
        with problems.told_of(parts["device"], parts):
            given["device"] = str(resolve_device(parts["device"].value))
    return Conditions(**given)


def _transformations(entry, sets, problems):
    """Those of the list, each tried on an image of each set."""
    found, lines = [], {}
    for one in entry.items:
        parts = one.value if isinstance(one.value, dict) else {}
        if one.value != _ROUNDING and len(parts) != 1:
            settings = ", ".join(f"{{{name}: a number}}" for name in _TRANSFORMATIONS)
            problems.add(one, f"got {one.told}; allowed are {settings} and {_ROUNDING}")
            continue
        parts = problems.parts(one, tuple(_TRANSFORMATIONS), {}) if parts else {}
        with problems.told_of(one, {_STRENGTHS[name]: part for name, part in parts.items()}):
            made = [EightBit()] if one.value == _ROUNDING else []
            for name, part in parts.items():
                if problems.single(part):
                    made = [_with_declared(_TRANSFORMATIONS[name], {_STRENGTHS[name]: part.value})]
            for transform in made:
                for x, _ in sets.values():
                    transform(x[:1])
                if problems.new(one, transform.name, lines):
                    found.append(transform)
    return tuple(found)


# Models


def _models(entry, path, sets, problems):
    """The model sources; each model has been loaded, and has read an image of each set."""
    sources, lines = [], {}
    for one in _listed(entry, "models", problems):
        parts = _named(one, ("name", "folder", "build"), problems)
        if "name" not in parts or not all([problems.text(part) for part in parts.values()]):
            continue
        source = ModelSource(**{key: part.value for key, part in parts.items()})
        if source.build and source.folder:
            problems.add(
                parts["folder"], f"got {parts['folder'].told} beside build; allowed is one of the two"
            )
        elif source.build or (source := _in_folder(source, parts, path, problems)):
            if problems.new(parts["name"], source.name, lines) and _fits(
                source, one, parts, path, sets, problems
            ):
                sources.append(source)
    return sources


def _in_folder(source, parts, path, problems):
    """The source of a model that is in its folder, with the folder's whole path; None, and a problem, if it is not."""
    folder = source.folder and (path.parent / Path(source.folder).expanduser()).resolve()
    if folder and not models.names(folder):
        told = f"got {parts['folder'].told}; allowed is a folder of models, NAME.json and NAME.safetensors"
        problems.add(parts["folder"], told)
    elif problems.choice(parts["name"], models.names(folder)):
        return replace(source, folder=folder and str(folder))
    return None


def _fits(source, entry, parts, path, sets, problems):
    """Whether the model can be had, and gives logits for the images and labels of each set; problems if not."""
    at = parts.get("build", entry)
    if source.build:
        _look_beside(path)
    model = _load(source, at, problems)
    for one, (x, y) in sets.items() if model else ():
        try:
            check_classes(y, predict(model, x[:1]).shape[1])
        except Exception as error:  # whatever a model raises that was made for other images
            shape = " x ".join(str(side) for side in x.shape[1:])
            told = (
                f"a model that does not read {one.name}, images of {shape} ({type(error).__name__}: {error})"
            )
            problems.add(at, f"got {told}; allowed is one that gives logits for them")
            return False
    return model is not None


def _look_beside(path):
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _load(source, at, problems):
    """The model; None, and a problem, if it cannot be had, or is another each time."""
    try:
        model = source.load()
        key = identity(model) if source.build else ""
        same = not source.build or is_fresh(key) or identity(source.load()) == key
    except InputError as error:
        problems.add(at, str(error).removeprefix("build: "))
        return None
    except Exception as error:  # of code of the user's own
        problems.add(at, f"got {at.told}, which raises {type(error).__name__}: {error}")
        return None
    if not same:
        problems.add(
            at, f"got {at.told}, which gives another model each time; allowed is one whose weights are set"
        )
    return model if same else None


# Attacks


def _attacks(entry, path, problems):
    """(name, variant, attack) of each."""
    rows, lines = [], {}
    for one in _listed(entry, "attacks", problems):
        if isinstance(one.value, dict):
            found = _with_settings(one, path, problems)
        elif problems.choice(one, (*_GROUPS, *REGISTRY)):
            group = _GROUPS.get(one.value) or {one.value: REGISTRY[one.value]}
            found = [(one, name, "", kind()) for name, kind in group.items()]
        else:
            found = []
        for at, name, variant, attack in found:
            if problems.new(at, f"{name}, {variant}" if variant else name, lines):
                rows.append((name, variant, attack))
    return rows


def _with_settings(entry, path, problems):
    """(entry, name, variant, attack) of a mapping: one, or one for each budget of a list."""
    key = "build" if "build" in entry.value else "attack"
    kind = _kind(entry, key, path, problems)
    if kind is None:
        return []
    known = tuple(field.name for field in fields(kind)) if isinstance(kind, type) else ()
    parts = problems.parts(entry, (key, "name", *known), {})
    default = parts[key].value.rpartition(":")[2]
    name = parts["name"].value if "name" in parts and problems.text(parts["name"]) else default
    if not isinstance(kind, type):
        return [(entry, name, "", kind)]
    given = {key: part for key, part in parts.items() if key in known}
    budget = next((key for key in _BUDGETS if key in given and isinstance(given[key].value, list)), None)
    if budget is None:
        attack = _attack(kind, given, entry, problems)
        return [(entry, name, "", attack)] if attack else []
    if not given[budget].value:
        problems.add(given[budget], "got an empty list; allowed is a number, or a list of numbers")
    made = [(one, _attack(kind, given | {budget: one}, entry, problems)) for one in given[budget].items]
    return [(one, name, f"{budget} {one.value:g}", attack) for one, attack in made if attack]


def _kind(entry, key, path, problems):
    """The class of attacks, or of one's own also the attack, that a mapping names; None, and a problem, if there is none."""
    which = entry.value.get(key)
    if which is None:
        problems.add(entry, f"missing; allowed are {', '.join(REGISTRY)}", key)
        return None
    if key == "attack":
        return REGISTRY[which.value] if problems.choice(which, tuple(REGISTRY)) else None
    if not problems.text(which):
        return None
    _look_beside(path)
    try:
        made = imported(which.value)
        made = made if _is_attack(made) else made()
    except InputError as error:
        problems.add(which, str(error).removeprefix("build: "))
    except Exception as error:  # of code of the user's own
        problems.add(which, f"got {which.told}, which raises {type(error).__name__}: {error}")
    else:
        if _is_attack(made):
            return made
        allowed = (
            "allowed is an attack, a class of attacks, or a function without arguments that returns an attack"
        )
        problems.add(which, f"{which.told} returned {type(made).__name__}; {allowed}")
    return None


def _is_attack(value):
    """Whether it is an attack, or a class of attacks."""
    return isinstance(value, Attack) or (
        isinstance(value, type) and issubclass(value, Attack) and is_dataclass(value)
    )


def _attack(kind, given, entry, problems):
    """The attack with the `given` entries for settings; None, and problems, if it refuses them."""
    settings = allowed(kind)
    if not all([_usable(part, settings[name], problems) for name, part in given.items()]):
        return None
    with problems.told_of(entry, given):
        return _with_declared(kind, {name: part.value for name, part in given.items()})


def _usable(part, may_be, problems):
    """Whether a setting has a value of the right form; the attack itself sees to the rest."""
    if part.value is None and may_be.optional:
        return True
    if may_be.kind is bool and not isinstance(part.value, bool):
        problems.add(part, f"got {part.told}; allowed are true and false")
        return False
    return problems.single(part, "one value")


def _with_declared(kind, values):
    """The dataclass with these values, whole numbers as floats where it declares one: so `eps: 1` has the `repr` of 1.0.

    Raises `InputError`, which tells a value as it was written, where the class refuses one.
    """
    kind(**values)
    decimal = {name for name, may_be in allowed(kind).items() if may_be.kind is float}
    whole = {name for name, value in values.items() if isinstance(value, int) and not isinstance(value, bool)}
    return kind(**values | {name: float(values[name]) for name in decimal & whole})
