"""Decide whose the files below a folder are, by names that learning systems or people gave. Owners are never guessed."""

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from advcourse.grading.read import layouts
from advcourse.grading.read.archives import ZIP, File, Refused, inside
from advcourse.grading.read.layouts import METADATA, STAMP, Context, Owner, Sign
from advcourse.grading.read.submission import labs

NOTEBOOK = re.compile(r"\.ipynb(\.txt|\.json)?$", re.I)  # some browsers add an ending of their own
_HANDED_IN = re.compile(r"\.(py|zip|7z|rar|tar|tgz|gz|bz2|xz|pdf|html?|docx?|odt|rtf)$", re.I)
_BESIDE = {STAMP, METADATA, "index.html", "index.htm", "onlinetext.html"}  # files that systems add
_OF_NBGRADER = {
    "autograded",
    "feedback",
    "release",
    "source",
}  # folders that nbgrader makes itself, beside `submitted`
_COPIES = "copy|kopie|copie|copia|kopia|kopi|cópia"
_COPY_OF = re.compile(rf"^({_COPIES})( ?\(\d+\))? (of|von|de|di|van|av|af) ", re.I)
_IS_COPY = re.compile(rf"([ _-]*\(\d{{1,2}}\)|-copy\d+|(^|[ _-]+)({_COPIES})([ _-]*\(?\d+\)?)?)$", re.I)
_LAB = re.compile(r"^lab[ _-]?\d+([ _-]+|$)|[ _-]+lab[ _-]?\d+$", re.I)
_SAY_NOTHING = set(
    "of von de abgabe abgaben aktuell alt alter any answer answers antwort antworten archive assignment assignments attempt "
    "attempts aufgabe aufgaben autograded class collected copy course done download downloads draft eingereicht end endgültig "
    "entwurf exercise exercises export fertig final first handed handin handins hausaufgabe homework in index incoming kopie "
    "kurs lab last latest letzte lösung main my name neu neue neuer neueste new newer newest notebook notebooks old older other "
    "submission submissions submit submitted übung übungen second solution solutions students teilnehmer the third unbenannt "
    "untitled upload uploads version versuch work zip".split()
)


def squeezed(name: str) -> str:
    """Return a name without spaces, hyphens and underscores, in lower case."""
    return re.sub(r"[ _-]", "", name).casefold()


def lab_in(name: str) -> str:
    """Return the lab that a name mentions, or ""."""
    mentioned = [f"lab{number}" for number in re.findall(r"(?<![a-z])lab[ _-]?(\d+)(?!\d)", name, re.I)]
    return next((lab for lab in mentioned if lab in labs()), "")


def is_lab(name: str) -> bool:
    """Return whether a name is that of a lab, and nothing else."""
    return bool(lab_in(name)) and lab_in(name) == squeezed(name)


def by_hand(name: str) -> str:
    """Return the person in a file name that somebody has given; "" if it names only a lab, a copy, or a common word."""
    return _person(
        NOTEBOOK.sub("", name) if NOTEBOOK.search(name) else re.sub(r"(\.tar)?\.\w{1,5}$", "", name)
    )


def _person(name):
    before, name = None, name.strip(" _-")
    bare = name
    while bare != before:
        before = bare
        bare = _LAB.sub("", _IS_COPY.sub("", _COPY_OF.sub("", bare))).strip(" _-")
    number = bare != name and re.fullmatch(r"\d{1,2}", bare)  # the number of the copy
    return "" if number or _says_nothing(bare) else bare


def _words(name):
    return [word for word in re.split(r"[\W_]+", name.casefold()) if word]


def _says_nothing(name):
    """Return whether a name names nobody: it has only common words, or those and short numbers."""
    words = _words(name)
    common = [word.rstrip("0123456789") in (*_SAY_NOTHING, "v") for word in words]
    short = [word.isdecimal() and len(word) < 3 for word in words]
    return not words or (any(common) and all(one or other for one, other in zip(common, short)))


class Nobodys(str):
    """A sentence about a file or folder that is graded for nobody, since its owner cannot be determined."""


@dataclass
class Node:
    """A folder, or an archive that is treated as one (then `archive` is its file), and what is directly in it."""

    parts: tuple[str, ...] = ()
    folders: dict[str, "Node"] = field(default_factory=dict)
    files: list[File] = field(default_factory=list)
    archive: File | None = None

    @property
    def name(self) -> str:
        return self.parts[-1] if self.parts else ""

    @property
    def person(self) -> str:
        """The owner according to a name given by hand, or "" if the name tells nobody."""
        return by_hand(self.name) if self.archive else _person(self.name)

    def at(self, parts: Iterable[str]) -> "Node":
        """Return the folder below that these parts lead to, created if missing."""
        node = self
        for part in parts:
            node = node.folders.setdefault(part, Node((*node.parts, part)))
        return node

    def all(self) -> list[File]:
        """Return all files below; an archive counts as one."""
        if self.archive:
            return [self.archive]
        return [*self.files, *(file for node in self.folders.values() for file in node.all())]

    def context(self) -> Context:
        folders = tuple(name for name, node in self.folders.items() if not node.archive)
        return Context(folders, {file.name: file for file in self.files}, is_lab)


def tree(files: Iterable[File], told: list[str]) -> Node:
    """Return the files as a tree. ZIP archives become folders in it, unless a learning system has named them."""
    root = Node()
    for file in files:
        _add(root, file, told)
    return root


def _add(root, file, told):
    if file.folder:
        root.at(file.parts)
    elif ZIP.search(file.name) and not _named_by_a_system(file.parts):
        root.at(file.parts).archive = file
        with suppress(Refused):  # reported when the archive is examined as a hand-in
            for one in inside(file, told):
                _add(root, one, told)
    else:
        root.at(file.parts[:-1]).files.append(file)


def _named_by_a_system(parts):
    return any(layouts.read(part, place < len(parts) - 1, Context()) for place, part in enumerate(parts))


class Sorting:
    """Sorts what is below a `Node` by owner.

    Attributes:
        owners: `Owner` -> list of (`File`, `Sign`).
        told: sentences about what is nobody's, and why.
    """

    def __init__(self, root: Node, source: Path):
        """Sort everything below `root`. `source` is the path that was given, for the sentences."""
        self.owners, self.told, self._source = {}, [], source
        self._sort(root, {squeezed(source.name), squeezed(source.stem)})
        self._question_numbered()

    def _sort(self, node, above=frozenset()):
        """Sort what is in a node. A folder with one of the squeezed names `above` is only a wrapper."""
        context, signed, strangers = node.context(), False, []
        theirs = _OF_NBGRADER if "submitted" in node.folders else ()
        for child in [*(one for name, one in node.folders.items() if name not in theirs), *node.files]:
            is_folder = isinstance(child, Node) and not child.archive
            sign = layouts.read(child.name, is_folder, context)
            signed = signed or bool(sign)
            if sign:
                self._give(sign, child)
            elif isinstance(child, File):
                self._file(child)
            elif is_lab(child.name):
                self._sort(child)
            else:
                strangers.append(child)
        named = [file for file in node.files if by_hand(file.name) and _handed_in(file)]
        hands, signs = [], [_signs_below(child) for child in strangers]
        alone = signed or not (named or not all(signs))
        for child, inner in zip(strangers, signs):
            if inner and (len(inner) > 1 or alone or not child.person):
                self._sort(child)
            elif inner and "Canvas" not in {system for system, _ in inner}:
                self._doubt(child, "it may be a student's folder, or one that a download was unpacked into")
            else:
                hands.append(child)
        alone = len(hands) == len(strangers) == 1 and not (named or signed)
        if alone and squeezed(hands[0].person) in above - {""}:
            self._sort_or_take(hands[0])
        elif alone:
            self._alone(hands[0])
        else:
            self._side_by_side(hands, named)

    def _sort_or_take(self, child):
        """Handle a folder named like the one around it: a wrapper, unless only its own name can tell whose the files are."""
        if _Shape(child).own:
            self._take(child)
        else:
            self._sort(child)

    def _alone(self, child):
        """Handle the only folder there is: one student's, or the class's."""
        shape = _Shape(child)
        if not child.person or shape.nbgrader:
            self._unwrap(child)
        elif shape.own or not (shape.named or shape.below or shape.in_lab):
            self._take(child)
        else:
            self._doubt(child, "it may be one student's, or hold the whole class")

    def _side_by_side(self, hands, named):
        """Handle folders beside each other, or beside `named` files: each a student's, unless it looks like a group's."""
        shapes = [(child, _Shape(child)) for child in hands if child.person]
        for child in hands:
            if not child.person:
                self._unwrap(child)
        group = any(shape.several or shape.nbgrader for _, shape in shapes)
        for child, shape in shapes:
            if not named and all(shape.nbgrader for _, shape in shapes):
                self._sort(child)
            elif (
                shape.several or shape.nbgrader or (group and not shape.own and (shape.named or shape.below))
            ):
                self._doubt(child, "it may be one student's, or hold those of several")
            else:
                self._take(child)

    def _unwrap(self, child):
        if child.archive and not (child.folders or child.files):
            self._file(child.archive)  # it cannot be opened, or is empty
        else:
            self._sort(child)

    def _take(self, child):
        self._give(Sign((Owner(child.person),)), child)

    def _file(self, file):
        """Handle a file directly in a folder of the class, if no learning system has named it."""
        if file.name.casefold() in _BESIDE:
            return
        if _handed_in(file) and by_hand(file.name):
            self._give(Sign((Owner(by_hand(file.name)),)), file)
        elif _handed_in(file):
            message = f"{file.shown}: whose it is cannot be told from its name; passed over."
            self.told.append(Nobodys(f"{message} Rename it to the student's name, and grade again."))
        else:
            self.told.append(f"{file.shown}: no notebook; passed over.")

    def _give(self, sign, child):
        if sign.doubt:
            shown = child.shown if isinstance(child, File) else "/".join(child.parts)
            self.told.append(Nobodys(f"{shown}: whose it is cannot be told: {sign.doubt}; passed over."))
        for owner in sign.owners:
            mine = self.owners.setdefault(owner, [])
            mine += [(file, sign) for file in ([child] if isinstance(child, File) else child.all())]

    def _doubt(self, child, why):
        path = "/".join(child.parts)
        if self._source.is_dir():
            where = f"give {self._source / path} as the submissions"
        else:
            where = "unpack the archive, and give that folder"
        text = f"{path}: whose it is cannot be told: {why}; passed over. If it holds the class, {where}; if it is one student's, "
        self.told.append(Nobodys(f"{text}put the notebook right into it, named after the lab."))

    def _question_numbered(self):
        """Report names like "Ann Lee 2" beside "Ann Lee", which may be another attempt or another person."""
        for owner in [owner for owner in self.owners if not owner.system]:
            words = owner.student
            while (cut := re.fullmatch(r"(.+?)[ _-]+([^ _-]+)", words)) and not _names(cut[2]):
                words = cut[1]
            if words != owner.student and Owner(words) in self.owners:
                for file, _ in self.owners.pop(owner):
                    doubt = f"it may be another attempt of {words}, or another person's"
                    self.told.append(
                        Nobodys(f"{file.shown}: whose it is cannot be told: {doubt}; passed over. Rename it.")
                    )


def _names(word):
    return not (re.fullmatch(r"\d{1,2}", word) or _says_nothing(word))


def _handed_in(file):
    return NOTEBOOK.search(file.name) or _HANDED_IN.search(file.name)


class _Shape:
    """What a folder named by hand looks like: one student's, or a group's.

    Attributes:
        own: it holds a notebook that is named only after a lab, so that the folder's name tells whose it is.
        named: people whom its files name, other than its own name.
        below: the same for its folders.
        in_lab: the same for files and folders in its lab folders.
        nbgrader: whether it holds several folders that hold labs.
        several: whether it looks like those of several people.
    """

    def __init__(self, node):
        right_in = list(_right_in(node, node.person))
        in_labs = [one for one in right_in if isinstance(one, Node) and is_lab(one.name)]
        folders = [one for one in right_in if isinstance(one, Node) and one not in in_labs]
        names = [by_hand(one.name) for one in right_in if isinstance(one, File) and NOTEBOOK.search(one.name)]
        self.named = _strangers(node, [*names, *(one.person for one in folders if one.archive)])
        self.below = _strangers(node, [one.person for one in folders if not one.archive and one.all()])
        inner = [one for lab in in_labs for one in _right_in(lab, node.person)]
        inner = [one for one in inner if isinstance(one, Node) or NOTEBOOK.search(one.name)]
        inner = [one.person if isinstance(one, Node) else by_hand(one.name) for one in inner]
        self.in_lab = _strangers(node, inner)
        self.nbgrader = sum(map(_with_labs, folders)) > 1
        self.own = not all(names) or (bool(inner) and not self.in_lab)
        self.several = not self.own and max(len(self.named), len(self.below), len(self.in_lab)) > 1


def _right_in(node, person):
    """Yield what is directly in a folder, looking through folders whose names say nothing or repeat its own."""
    for one in node.folders.values():
        if is_lab(one.name) or one.person not in ("", person):
            yield one
        else:
            yield from _right_in(one, person)
    yield from node.files


def _with_labs(node):
    """Return how many folders, this one and those below, hold lab folders, as nbgrader's folders for students do."""
    own = any(is_lab(lab) and below.all() for lab, below in node.folders.items())
    return own + sum(_with_labs(one) for one in node.folders.values() if not is_lab(one.name))


def _strangers(node, names):
    """Return the names that neither are part of the folder's own name nor contain it."""
    own = set(_words(node.person))
    return {name for name in names if name and not (own <= set(_words(name)) or own >= set(_words(name)))}


def _signs_below(node):
    """Return the outermost owners that learning systems name below a node, as (system, who)."""
    context, owners = node.context(), set()
    for child in [*node.folders.values(), *node.files]:
        sign = layouts.read(child.name, isinstance(child, Node) and not child.archive, context)
        if sign and (sign.doubt or not sign.owners):
            owners.add(("", child.name))
        elif sign:
            owners |= {(owner.system, owner) for owner in sign.owners}
        elif isinstance(child, Node):
            owners |= _signs_below(child)
    return owners
