"""What a settings file may name of the cases: attacks that leave the computer, the sets that they need, and nets for these."""

from advcourse import data
from advcourse.attacks import Attack
from advcourse.cases import plates
from advcourse.cases.malware import rated
from advcourse.cases.phone import PhonePGD
from advcourse.data.base import ImageSet

_SETS = {plates.NAME: plates.load, rated.NAME: rated.load}
FEATURES = rated.NAME  # its images are features of apps, which only attacks that are made for it may change
# They have to be named one by one: no group has them.
ATTACKS: dict[str, type[Attack]] = {
    "PhonePGD": PhonePGD,
    "RoadStickers": plates.RoadStickers,
    "AppAdditions": rated.AppAdditions,
}
NETS = {f"{rated.NAME}-{name}": rated.Net(name) for name in rated.NETS}
_FACES = (
    "frames are worn by one person, and learned from some photographs and judged on others, so they cannot be measured image by "
    "image: call advcourse.cases.faces.measure, as chapter 09 does"
)
# Classes of the cases that are no attacks on images, and what to do instead.
INSTEAD = {
    "RP2": "it works on one plate: name RoadStickers, with the data set plates",
    "AddFeatures": "it works on rows of features: name AppAdditions, with the data set apps",
    "FrameAttack": _FACES,
    "EditApp": "it edits whole apps: call advcourse.cases.malware.paper_against_phone, as chapter 11 does",
}


def names() -> tuple[str, ...]:
    """Return the names of all sets that a settings file may name."""
    return data.names() + tuple(_SETS)


def load(name: str, split: str) -> ImageSet:
    """Load a set of `data`, or one of the cases, as images (N, C, H, W) and labels.

    Raises:
        InputError: there is no such set or split.
    """
    return _SETS[name](split) if name in _SETS else data.load(name, split)
