"""The settings file of an evaluation: a small YAML file that is read into cells and checked before anything runs."""

import sys
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path

from advcourse import models
from advcourse.attacks import REGISTRY, TABLE_1, Attack
from advcourse.attacks.hyperparameters import allowed
from advcourse.cases.camera import Phone
from advcourse.core.identity import identity, is_fresh
from advcourse.core.inputs import InputError, check_classes, check_range, predict, resolve_device
from advcourse.data.transformations import JPEG, EightBit, GaussianBlur, GaussianNoise
from advcourse.evaluation import case_sets
from advcourse.evaluation.cells import Cell, Conditions, DataSource, ModelSource, imported
from advcourse.evaluation.entries import parse

DEFAULT = Path(__file__).with_name("default.yml")
TEMPLATE = Path(__file__).with_name("template.yml")  # a starting point for a user's own file

_REQUIRED = {
    "data": "a data set, or a list of them",
    "models": "a model, or a list of them",
    "attacks": "all, table 1, an attack, or a list of them",
}
_CONDITIONS = tuple(field.name for field in fields(Conditions))
# Name in the file -> the class, and the name of its strength there.
_TRANSFORMATIONS = {
    "noise": (GaussianNoise, "std"),
    "blur": (GaussianBlur, "radius"),
    "jpeg": (JPEG, "quality"),
    "phone": (Phone, "strength"),
}
_ROUNDING = "8-bit"
_GROUPS = {"all": REGISTRY, "table 1": TABLE_1}  # words that stand for several attacks
_BUDGETS = ("eps", "gamma", "area", "budget")  # fields for which an attack may have a list of values


@dataclass(frozen=True)
class Settings:
    """The content of a settings file: a title, and the cells, sorted by model."""

    title: str
    cells: tuple[Cell, ...]


def read(path: Path | str | None = None, device: str | None = None, images: int | None = None) -> Settings:
    """Read the settings file at `path`. Models and images are loaded once, to check that this works.

    If the file builds a model or an attack from the user's own code, the file's folder becomes the first place where modules
    are searched.

    Args:
        path: the YAML file (default None: the shipped one, `DEFAULT`). docs/evaluation.md describes what it may contain.
        device, images: replace the values in the file (default None: keep them).

    Returns:
        the `Settings`.

    Raises:
        InputError: lists everything that is wrong, with file, line and key, what was given and what is allowed.
    """
    path = DEFAULT if path is None else Path(path)
    whole, problems = parse(path)
    parts = problems.parts(whole, ("title", *_REQUIRED, *_CONDITIONS), _REQUIRED)
    title = parts["title"].value if "title" in parts and problems.text(parts["title"]) else path.stem
    sets = _sets(parts.get("data"), images, problems)
    conditions = _conditions(parts, device, sets, problems)
    sources = _models(parts.get("models"), path, sets, problems)
    attacks = _attacks(parts.get("attacks"), path, sets, problems)
    if conditions.transformations and any(source.name == case_sets.FEATURES for source in sets):
        message = f"allowed is [] with the set {case_sets.FEATURES}, whose features are no pixels"
        problems.add(parts.get("transformations", whole), f"{message}: transformations: []")
    problems.stop()
    cells = [
        Cell(name, attack, model, source, conditions, variant)
        for model in sources
        for source in sets
        for name, variant, attack in attacks
    ]
    return Settings(title, tuple(cells))


def _listed(entry, what, problems):
    """Return the entries of the list `entry`, or itself if it is none; nothing if it is missing. An empty list is a problem."""
    if entry is not None and entry.value == []:
        problems.add(entry, f"got an empty list; allowed is {_REQUIRED[what]}")
    return [] if entry is None else entry.items


def _named(entry, keys, problems):
    """Return the parts of an entry that is a mapping with a name, or the name alone."""
    if isinstance(entry.value, dict):
        return problems.parts(entry, keys, {"name": "text"})
    return {"name": entry}


# Data


def _sets(entry, images, problems):
    """Return the data sources, each with its images and labels."""
    if images is not None:
        check_range(images, "images", 1, integer=True)
    sets, lines = {}, {}
    for item in _listed(entry, "data", problems):
        parts = _named(item, ("name", "split", "images", "seed"), problems)
        choices = {"name": case_sets.names(), "split": ("train", "test")}
        chosen = [problems.choice(parts[key], choices[key]) for key in choices if key in parts]
        if "name" not in parts or not all(chosen):
            continue
        given = {key: part.value for key, part in parts.items() if problems.single(part)}
        source = DataSource(**given | ({} if images is None else {"images": images}))
        with problems.collecting(item, parts):
            most = len(case_sets.load(source.name, source.split))
            if images is not None and images > most:
                problems.add(item, f"got {images} images in place of the file's; allowed are at most {most}")
                continue
            check_range(source.images, "images", 1, most, integer=True)
            check_range(source.seed, "seed", 0, integer=True)
            if problems.new(item, f"{source.name} {source.split}", lines):
                sets[source] = source.load()
    return sets


# Conditions


def _conditions(parts, device, sets, problems):
    given = {}
    for name in _CONDITIONS:
        if name in parts and name not in ("transformations", "device") and problems.single(parts[name]):
            with problems.collecting(parts[name], parts):
                Conditions(**{name: parts[name].value})
                given[name] = parts[name].value
    if "transformations" in parts:
        given["transformations"] = _transformations(parts["transformations"], sets, problems)
    # "auto" is resolved here, because on another machine, where a cell may be measured, it might mean another device.
    if device is not None:
        given["device"] = str(resolve_device(device))
    elif "device" in parts and problems.text(parts["device"]):
        with problems.collecting(parts["device"], parts):
            given["device"] = str(resolve_device(parts["device"].value))
    return Conditions(**given)


def _transformations(entry, sets, problems):
    """Return the transformations of the list, each tried on an image of each set."""
    transforms, lines = [], {}
    for item in entry.items:
        kind, parts = _transformation(item, problems)
        if kind is None:
            continue
        with problems.collecting(item, parts):
            transform = _with_declared(kind, {name: part.value for name, part in parts.items()})
            for x, _ in sets.values():
                transform(x[:1])
            if problems.new(item, transform.name, lines):
                transforms.append(transform)
    return tuple(transforms)


def _transformation(entry, problems):
    """Return the class of the transformation, and its fields -> entries; if there is none, add a problem: (None, {})."""
    if entry.value == _ROUNDING:
        return EightBit, {}
    given = entry.value if isinstance(entry.value, dict) else {}
    names = [name for name in given if name != "seed"]
    if len(names) != 1:
        settings = ", ".join(f"{{{name}: a number}}" for name in _TRANSFORMATIONS)
        problems.add(entry, f"got {entry.as_text}; allowed are {settings} and {_ROUNDING}")
        return None, {}
    [name] = names
    if name not in _TRANSFORMATIONS:
        problems.parts(entry, (*_TRANSFORMATIONS, "seed"), {})
        return None, {}
    kind, strength = _TRANSFORMATIONS[name]
    parts = problems.parts(entry, (name, "seed") if "seed" in allowed(kind) else (name,), {})
    usable = all([problems.single(part) for part in parts.values()])
    fields_of = {strength if key == name else key: part for key, part in parts.items()}
    return (kind, fields_of) if usable else (None, {})


# Models


def _models(entry, path, sets, problems):
    """Return the model sources. Each model has been loaded and tried on an image of each set."""
    sources, lines = [], {}
    for item in _listed(entry, "models", problems):
        parts = _named(item, ("name", "folder", "build"), problems)
        if "name" not in parts or not all([problems.text(part) for part in parts.values()]):
            continue
        source = ModelSource(**{key: part.value for key, part in parts.items()})
        if source.build and source.folder:
            problems.add(
                parts["folder"],
                f"got {parts['folder'].as_text} together with build; allowed is only one of the two",
            )
        elif source.build or (source := _in_folder(source, parts, path, problems)):
            if problems.new(parts["name"], source.name, lines) and _fits(
                source, item, parts, path, sets, problems
            ):
                sources.append(source)
    return sources


def _in_folder(source, parts, path, problems):
    """Return the source with the folder's full path if the model is in its folder; otherwise add a problem and return None."""
    folder = source.folder and (path.parent / Path(source.folder).expanduser()).resolve()
    if folder and not models.names(folder):
        message = (
            f"got {parts['folder'].as_text}; allowed is a folder of models, NAME.json and NAME.safetensors"
        )
        problems.add(parts["folder"], message)
    elif not folder and source.name in case_sets.NETS:
        return replace(source, build=case_sets.NETS[source.name])
    elif problems.choice(parts["name"], models.names(folder) + (() if folder else tuple(case_sets.NETS))):
        return replace(source, folder=folder and str(folder))
    return None


def _fits(source, entry, parts, path, sets, problems):
    """Return whether the model can be loaded and gives logits for the images and labels of each set; if not, add problems."""
    at = parts.get("build", entry)
    if source.build:
        _look_beside(path)
    model = _load(source, at, problems)
    for data_source, (x, y) in sets.items() if model else ():
        try:
            check_classes(y, predict(model, x[:1]).shape[1])
        except Exception as error:  # a model that was made for other images can raise anything
            shape = " x ".join(str(side) for side in x.shape[1:])
            given = f"a model that fails on {data_source.name}, images of {shape} ({type(error).__name__}: {error})"
            problems.add(at, f"got {given}; allowed is a model that gives logits for them")
            return False
    return model is not None


def _look_beside(path):
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _load(source, at, problems):
    """Load the model. If this fails, or gives a different model each time, add a problem and return None."""
    try:
        model = source.load()
        key = identity(model) if source.build else ""
        same = not source.build or is_fresh(key) or identity(source.load()) == key
    except InputError as error:
        problems.add(at, str(error).removeprefix("build: "))
        return None
    except Exception as error:  # raised by the user's own code
        problems.add(at, f"got {at.as_text}, which raises {type(error).__name__}: {error}")
        return None
    if not same:
        problems.add(
            at,
            f"got {at.as_text}, which gives a different model each time; allowed is one with fixed weights",
        )
    return model if same else None


# Attacks


def _attacks(entry, path, sets, problems):
    """Return (name, variant, attack) of each attack, which must be able to attack each of the sets."""
    rows, lines = [], {}
    for item in _listed(entry, "attacks", problems):
        if isinstance(item.value, dict):
            made = _with_settings(item, path, problems)
        elif _named_attack(item, (*_GROUPS, *_by_name()), problems):
            group = _GROUPS.get(item.value) or {item.value: _by_name()[item.value]}
            made = [(item, name, "", kind()) for name, kind in group.items()]
        else:
            made = []
        for at, name, variant, attack in made:
            if problems.new(at, f"{name}, {variant}" if variant else name, lines):
                rows.append((name, variant, attack))
                _check_sets(attack, name, at, sets, problems)
    return rows


def _check_sets(attack, name, at, sets, problems):
    """Add a problem if the attack is made for another set than one of those given, or one of them takes no such attack."""
    only_on = getattr(attack, "only_on", "")  # of attacks on a set of their own
    for source in sets:
        if only_on and only_on != source.name:
            problems.add(at, f"got {name} on {source.name}; it attacks the set {only_on} alone")
        elif source.name == case_sets.FEATURES != only_on:
            problems.add(at, f"got {name} on {source.name}; features are there or not: name AppAdditions")


def _with_settings(entry, path, problems):
    """Return (entry, name, variant, attack) for a mapping: one of them, or one for each budget in a list."""
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
    made = [(item, _attack(kind, given | {budget: item}, entry, problems)) for item in given[budget].items]
    return [(item, name, f"{budget} {item.value:g}", attack) for item, attack in made if attack]


def _by_name():
    """Return all attacks that a file may name, by their names."""
    return REGISTRY | case_sets.ATTACKS


def _named_attack(entry, names, problems):
    """Return whether the entry is one of the names; if not, add a problem, which says what to do instead."""
    if not isinstance(entry.value, str) or entry.value not in case_sets.INSTEAD:
        return problems.choice(entry, names)
    problems.add(entry, f"got {entry.value}; {case_sets.INSTEAD[entry.value]}")
    return False


def _kind(entry, key, path, problems):
    """Return the class of attacks that a mapping names, or the attack that the user's own code makes.

    If there is none, add a problem and return None.
    """
    which = entry.value.get(key)
    if which is None:
        problems.add(entry, f"missing; allowed are {', '.join(_by_name())}", key)
        return None
    if key == "attack":
        return _by_name()[which.value] if _named_attack(which, tuple(_by_name()), problems) else None
    if not problems.text(which):
        return None
    _look_beside(path)
    try:
        made = imported(which.value)
        made = made if _is_attack(made) else made()
    except InputError as error:
        problems.add(which, str(error).removeprefix("build: "))
    except Exception as error:  # raised by the user's own code
        problems.add(which, f"got {which.as_text}, which raises {type(error).__name__}: {error}")
    else:
        if _is_attack(made):
            return made
        allowed = (
            "allowed is an attack, a class of attacks, or a function without arguments that returns an attack"
        )
        problems.add(which, f"{which.as_text} returned {type(made).__name__}; {allowed}")
    return None


def _is_attack(value):
    """Return whether the value is an attack or a class of attacks."""
    return isinstance(value, Attack) or (
        isinstance(value, type) and issubclass(value, Attack) and is_dataclass(value)
    )


def _attack(kind, given, entry, problems):
    """Return the attack with the `given` entries as settings; if it refuses them, add problems and return None."""
    settings = allowed(kind)
    if not all([_usable(part, settings[name], problems) for name, part in given.items()]):
        return None
    with problems.collecting(entry, given):
        return _with_declared(kind, {name: part.value for name, part in given.items()})


def _usable(part, rule, problems):
    """Return whether a setting has a value of the right form. The attack itself checks everything else."""
    if part.value is None and rule.optional:
        return True
    if rule.kind is bool and not isinstance(part.value, bool):
        problems.add(part, f"got {part.as_text}; allowed are true and false")
        return False
    return problems.single(part, "one value")


def _with_declared(kind, values):
    """Create the dataclass with these values, after turning whole numbers into floats where it declares floats.

    So `eps: 1` gives the same `repr` as `eps: 1.0`. If the class refuses a value, the `InputError` shows the value as it was
    written.
    """
    kind(**values)
    decimal = {name for name, rule in allowed(kind).items() if rule.kind is float}
    whole = {name for name, value in values.items() if isinstance(value, int) and not isinstance(value, bool)}
    return kind(**values | {name: float(values[name]) for name in decimal & whole})
