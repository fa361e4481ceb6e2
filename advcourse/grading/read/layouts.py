"""Read the names that learning systems give to hand-ins: whose, which attempt, when, and whether late.

Each system has one small reader, a function (name, folder, context) -> `Sign`, or None if the name is not of its kind.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import yaml

from advcourse.grading.read.archives import File, Refused

METADATA = "submission_metadata.yml"  # of Gradescope
STAMP = "timestamp.txt"  # of nbgrader
_LARGEST_METADATA = 8 * 2**20
_LARGEST_NOTE = 64 * 2**10

_CANVAS = re.compile(r"(?P<student>.+?)_(?P<late>LATE_)?(?P<number>\d+)_((?P<attempt>\d{3,})_.+|text\.html?)")
_MOODLE = re.compile(r"(?P<student>.+?)_(?P<number>\d+)_assignsubmission_[a-z]+(_.*)?")
_BLACKBOARD = re.compile(r"(?P<head>.+?_.+)_attempt_(?P<when>\d{4}(-\d\d){5})(_.+|\.txt)")
_DAY = r"(?:[^\W\d_]+\.? \d{1,2},? \d{4}|\d{1,2}\.? [^\W\d_]+\.?,? \d{4})"
_CLOCK = r"\d{1,2}[:.\-_]?\d{2}(?: ?[AaPp][Mm])?"
_BRIGHTSPACE = re.compile(rf"(?P<number>\d+)-\d+ ?- (?P<student>.+?) ?- (?P<when>{_DAY},? {_CLOCK})( ?- .+)?")
_GRADESCOPE = re.compile(r"submission_\d+")
_ILIAS = re.compile(r"(?P<name>[^_]+(_[^_]+)+)_(?P<login>[^_]+)_(?P<number>\d{3,})")
_ILIAS_TIME = re.compile(r"(20\d{12})_.+")
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()


@dataclass(frozen=True)
class Owner:
    """Whose a file or folder is.

    Args:
        student: the name.
        system: the learning system that says so; "" for a name given by hand.
        number: the student's number or other identifier in that system.
    """

    student: str
    system: str = ""
    number: str = ""


@dataclass(frozen=True)
class Sign:
    """What the name of a file or folder tells.

    Args:
        owners: whose it is, several for a group.
        when: when it was handed in, as the system says, or None.
        attempt: the attempt's number.
        late: whether the system calls it late.
        typed: whether it is a text that was typed in, and not a file.
        doubt: why its owner cannot be determined, or "".
    """

    owners: tuple[Owner, ...] = ()
    when: datetime | None = None
    attempt: int = 0
    late: bool = False
    typed: bool = False
    doubt: str = ""


@dataclass
class Context:
    """What lies beside a name in its folder.

    Args:
        folders: the names of the folders.
        files: name -> file.
        is_lab: a function that says whether a text is the name of a lab.
    """

    folders: tuple[str, ...] = ()
    files: dict[str, File] = field(default_factory=dict)
    is_lab: Callable[[str], bool] = bool

    def text(self, name: str, most: int) -> str:
        """Return the text of a file beside it; "" if it is missing, cannot be read, or has more than `most` bytes."""
        try:
            content = self.files[name].read(most + 1) if name in self.files else b""
        except (OSError, Refused):
            return ""
        return content.decode("utf-8", "replace") if len(content) <= most else ""


def _moodle(name, folder, context):
    match = _MOODLE.fullmatch(name)
    owner = match and Owner(match["student"].strip(), "Moodle", match["number"])
    return match and Sign((owner,), typed="_assignsubmission_onlinetext" in name)


def _canvas(name, folder, context):
    match = None if folder else _CANVAS.fullmatch(name)
    if match:
        owner = Owner(match["student"].strip(), "Canvas", match["number"])
        typed = not match["attempt"]
        return Sign((owner,), attempt=int(match["attempt"] or 0), late=bool(match["late"]), typed=typed)


def _blackboard(name, folder, context):
    match = _BLACKBOARD.fullmatch(name)
    if not match:
        return None
    login = _login(match["head"], match["when"], context)
    if not login:
        return Sign(doubt="where the assignment's name ends and the student's begins cannot be told from it")
    return Sign((Owner(login, "Blackboard", login),), when=_local("%Y-%m-%d-%H-%M-%S", match["when"]))


def _login(head, when, context):
    """Return the student in "Lab 1_userid": from the attempt's text file, the only underscore, or the prefix of all names."""
    note = context.text(f"{head}_attempt_{when}.txt", _LARGEST_NOTE)
    named = re.search(r"^Name:.*\(([^()\r\n]+)\)\s*$", note, re.M)
    if named and head.endswith(f"_{named[1]}"):
        return named[1]
    cuts = [match.start() for match in re.finditer("_", head)]
    if len(cuts) > 1:
        labs = [cut for cut in cuts if context.is_lab(head[:cut])]
        heads = {match["head"] for name in context.files if (match := _BLACKBOARD.fullmatch(name))}
        shared = [cut for cut in cuts if all(other.startswith(head[: cut + 1]) for other in heads)]
        cuts = labs or shared
    return head[cuts[0] + 1 :] if len(cuts) == 1 else ""


def _brightspace(name, folder, context):
    match = _BRIGHTSPACE.fullmatch(name)
    if match:
        owner = Owner(match["student"].strip(" -"), "Brightspace", match["number"])
        return Sign((owner,), when=_spoken_time(match["when"]))


def _spoken_time(text):
    """Return the time in "Nov 20, 2026 1011 AM" or "20 November, 2026 1011"; None for a month in another language."""
    words = re.split(r"[ ,]+", text)
    month = next((word[:3].casefold() for word in words if word[0].isalpha()), "")
    clock = re.search(rf"(\d{{4}}),? ({_CLOCK})$", text)
    day = next(int(word.strip(".")) for word in words if word.strip(".").isdecimal())
    if month not in _MONTHS or not clock:
        return None
    digits = re.sub(r"\D", "", clock[2])
    hour, minute = int(digits[:-2]), int(digits[-2:])
    half = re.search(r"[AaPp][Mm]$", text)
    if half:
        hour = hour % 12 + 12 * (half[0][0] in "pP")
    return _made(int(clock[1]), _MONTHS.index(month) + 1, day, hour, minute)


def _gradescope(name, folder, context):
    if not folder or not _GRADESCOPE.fullmatch(name):
        return None
    entry = _metadata(context).get(name)
    if not isinstance(entry, dict):
        return Sign(doubt=f"{METADATA}, which says whose it is, is missing beside it, or does not name it")
    people = entry.get(":submitters")
    people = [one for one in people if isinstance(one, dict)] if isinstance(people, list) else []
    named = [
        (f"{one.get(':name') or ''}".strip(), f"{one.get(':email') or one.get(':sid') or ''}")
        for one in people
    ]
    owners = tuple(Owner(student, "Gradescope", number) for student, number in named if student)
    when = entry.get(":created_at")
    when = when if isinstance(when, datetime) else None
    when = when.replace(tzinfo=when.tzinfo or UTC) if when else None
    return Sign(owners, when, doubt="" if owners else f"{METADATA} names no student for it")


def _metadata(context):
    text = context.text(METADATA, _LARGEST_METADATA)
    if re.search(r"^\s*(- )?<<\s*:", text, re.M):  # merge keys can take forever, and Gradescope writes none
        return {}
    try:
        metadata = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return metadata if isinstance(metadata, dict) else {}


def _ilias(name, folder, context):
    """Read an ILIAS folder. All folders beside it must be named so, with distinct numbers: a single one may be somebody's own."""
    match = _ILIAS.fullmatch(name) if folder else None
    others = [_ILIAS.fullmatch(other) for other in context.folders]
    if not match or not all(others) or any(map(context.is_lab, name.split("_"))):
        return None
    if len({other["number"] for other in others}) < len(others):
        return None
    parts = match["name"].split("_")
    student = f"{parts[1]} {parts[0]}" if len(parts) == 2 else match["name"]
    return Sign((Owner(student.strip(), "ILIAS", match["number"]),))


SYSTEMS = (_moodle, _blackboard, _brightspace, _gradescope, _canvas, _ilias)


def read(name: str, folder: bool, context: Context) -> Sign | None:
    """Return the `Sign` in the name of a file or folder, or None if no learning system has named it."""
    return next((sign for system in SYSTEMS if (sign := system(name, folder, context))), None)


def stamped(name: str, stamp: str) -> datetime | None:
    """Return when a file was handed in, or None.

    The time comes from nbgrader's `stamp`, the text of timestamp.txt, or from the digits that ILIAS puts in front of `name`.
    """
    match = re.match(
        r"\s*(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,6})?)\s*(UTC|Z|[+-]\d\d:?\d\d)?\s*$", stamp
    )
    if match:
        zone = re.sub("UTC|Z", "+00:00", match[2] or "")
        try:
            return datetime.fromisoformat(match[1] + zone).astimezone()
        except (ValueError, OverflowError):
            return None
    match = _ILIAS_TIME.fullmatch(name)
    return _local("%Y%m%d%H%M%S", match[1]) if match else None


def _local(form, text):
    try:
        return datetime.strptime(text, form).astimezone()
    except (ValueError, OverflowError):
        return None


def _made(*parts):
    try:
        return datetime(*parts).astimezone()
    except (ValueError, OverflowError):
        return None
