"""Example images, chosen by eye: those that a chapter shows one by one.

Candidates were drawn at random from the held-out images and enlarged to the size of a postage stamp, without their labels. What
each of them shows was written down, and only those were kept that could be read at once: no 0 with a tail that might be a 6, no
open 9, no sign that is hard to make out. What was written down stands below. The tests compare it with the data sets'
labels, and demand that the course's default networks read each image rightly. (Of photographs all are shown; the words are
ImageNet's for a cat, a cup of coffee, a camera on its tripod, a rocket and a Chinese tower.)

They are chosen for being plain, so they are no sample: never count a rate on them. `ImageSet.pick` draws images for that.
"""

from torch import Tensor

from advcourse.core.inputs import InputError, check_choice, check_range
from advcourse.data.catalogue import load

# The index in the split "test", and what the eye reads. Any first few are of different classes.
_CHOSEN = {
    "mnist-5k": (
        *((132, "7"), (680, "3"), (203, "0"), (770, "4"), (274, "9"), (229, "6"), (359, "2"), (462, "5")),
        *((290, "8"), (673, "1"), (730, "3"), (642, "4"), (429, "0"), (940, "6"), (192, "2"), (386, "9")),
    ),
    "signs": (
        *((148, "stop"), (696, "speed limit 30"), (648, "priority road"), (249, "turn left")),
        *((404, "yield"), (219, "pedestrian crossing"), (857, "no entry"), (6, "speed limit 120")),
        *((114, "turn right"), (274, "no overtaking"), (730, "warning"), (473, "roundabout")),
        *((932, "no parking"), (118, "speed limit 50"), (146, "straight ahead"), (290, "speed limit 80")),
    ),
    "faces": (
        *((35, "Robin"), (156, "Cameron"), (198, "Eden"), (297, "Gale"), (209, "Morgan"), (325, "Ashley")),
        *((387, "Marley"), (162, "Erin"), (168, "Sidney"), (97, "Lou"), (217, "Yuki"), (453, "Ray")),
        *((172, "Billie"), (155, "Noa"), (475, "Charlie"), (165, "Alex")),
    ),
    "photos": ((0, "Egyptian cat"), (1, "espresso"), (4, "palace"), (2, "tripod"), (3, "missile")),
}


def examples(name: str, n: int | None = None, of: str | None = None) -> tuple[Tensor, Tensor]:
    """Return the first n images that were chosen by eye from a data set's held-out images, plain to any eye.

    >>> x, y = examples("mnist-5k", 8)
    >>> stop, label = examples("signs", of="stop")

    Args:
        name: "mnist-5k" (16 images, each class at least once), "signs" and "faces" (16, each of another class) or "photos" (5).
        n: how many (default: all). The first ones are all of different classes.
        of: only those of this class, by its name: "7", "stop" (default: all classes).

    Returns:
        images, float32 in [0, 1], (n, C, H, W); and labels, int64, (n,).

    Raises:
        InputError: the name is unknown, no example shows the class, or there are fewer than n.
    """
    check_choice(name, "name", tuple(_CHOSEN))
    chosen = _CHOSEN[name]
    if of is not None:
        seen = tuple(dict.fromkeys(word for _, word in chosen))
        if of not in seen:
            raise InputError(f"of: got {of!r}; allowed are the classes {', '.join(map(repr, seen))}")
        chosen = tuple(pair for pair in chosen if pair[1] == of)
    n = len(chosen) if n is None else check_range(n, "n", 1, len(chosen), integer=True)
    some = load(name).subset([index for index, _ in chosen[:n]])
    return some.images, some.labels
