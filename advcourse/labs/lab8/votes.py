"""Votes over a neighbourhood as the judge counts them, voter by voter, and the slips known by their results."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from advcourse.labs.checks import Case, Draw, Student, Task
from advcourse.labs.lab8.defended import AtMost
from advcourse.labs.numbers import gives
from advcourse.labs.running import CRASH
from advcourse.labs.verdicts import Finding


def voters(draw: Draw, x: Tensor, number: int = 30, most: int = 16) -> dict[str, Tensor | int]:
    """Uniform noise of a cube, and how many images may go through the model at once."""
    radius = draw.number(0.35, 0.45)
    noise = radius * (2 * draw.uniform((number, *x.shape[1:])) - 1)
    return {"noise": noise, "most": most}


def many_of_both(task: Task, draw: Draw) -> list[Case]:
    """More voters than go through at once; and more images. The last part is not full."""
    return [_of_size(task, draw, *size).to(torch.float64) for size in ((3, 41, 16), (24, 6, 7))]


def _of_size(task, draw, n, number, most):
    return task.case(draw, n=n, **voters(draw, torch.empty(n, 1, 28, 28), number, most))


def _looked_at(case, place=lambda x, u: (x + u).clamp(0, 1)):
    """The logits (M, N, K) that the voters see: the model asked for one image after the other."""
    f, x = case.victim.build(torch.float64)[-1], case["x"].double()
    with torch.no_grad():
        return torch.stack([f(place(x, u)) for u in case["noise"].double()])


def _counts(logits):
    return one_hot(logits.argmax(-1), logits.shape[-1]).double().sum(0)


def votes(case: Case) -> Tensor:
    return _counts(_looked_at(case))


def _placed(place):
    return lambda case: _counts(_looked_at(case, place))


def _of_logits(rule):
    return lambda case: rule(_looked_at(case))


def _first_voters(image_first):
    """The votes of all full parts, if the pairs of image and voter are cut into parts in this order."""

    def slip(case):
        seen = _looked_at(case)  # (M, N, K)
        single = one_hot(seen.argmax(-1), seen.shape[-1]).double()
        if image_first:
            single = single.transpose(0, 1)
        whole = single.flatten(0, 1).clone()
        whole[len(whole) // case["most"] * case["most"] :] = 0
        return whole.view_as(single).sum(1 if image_first else 0)

    return slip


def _itself_too(case):
    return votes(case) + _placed(lambda x, u: x)(case) / len(case["noise"])


_DROPPED = (
    "last part lost",
    "The votes of the last part are missing: it is smaller than the others. tensor.split(most) gives it too.",
)

_SLIPS = (
    (
        "no clip",
        "The noisy images are not clipped to [0, 1]. The model is then asked for things that are no images: (x + u).clamp(0, 1).",
        _placed(lambda x, u: x + u),
    ),
    (
        "clipped noise",
        "The noise is clipped, not the sum: its dark half is lost. Add first, then clip.",
        _placed(lambda x, u: (x + u.clamp(0, 1)).clamp(0, 1)),
    ),
    (
        "no noise",
        "All voters see the image itself. Each has noise of its own: x + noise[j].",
        _placed(lambda x, u: x),
    ),
    (
        "noise alone",
        "The voters see the noise without the image.",
        _placed(lambda x, u: u.clamp(0, 1) + 0 * x),
    ),
    (
        "itself too",
        "The image itself votes too. Only the M noisy ones do; each row must sum to M.",
        _itself_too,
    ),
    (
        "probabilities",
        "The voters' probabilities are added up. A voter has one vote, for the class that it sees, however sure it is.",
        _of_logits(lambda seen: seen.softmax(-1).sum(0)),
    ),
    (
        "mean probabilities",
        "This is the mean of the voters' probabilities. A voter has one vote, for the class that it sees, however sure it is.",
        _of_logits(lambda seen: seen.softmax(-1).mean(0)),
    ),
    (
        "logits",
        "The voters' logits are averaged. That is no vote: one voter with large logits outvotes many. Count argmax.",
        _of_logits(lambda seen: seen.mean(0)),
    ),
    (
        "shares",
        "These are shares. Return the counts: each row sums to M.",
        lambda case: votes(case) / len(case["noise"]),
    ),
    (
        "winner alone",
        "Only the winner of the mean logits has votes, and it has all. Count each voter's own argmax.",
        _of_logits(lambda seen: len(seen) * one_hot(seen.mean(0).argmax(-1), seen.shape[-1]).double()),
    ),
    (
        "one row for all",
        "Every image has the votes of all images together. Keep a row for each.",
        lambda case: votes(case).sum(0).expand(len(case["x"]), -1),
    ),
    (*_DROPPED, _first_voters(True)),
    (*_DROPPED, _first_voters(False)),
)


def asks_in_parts(student: Student, draw: Draw) -> None:
    """No more than `most` images go through the model at once, whether there are many voters or many images."""
    for case in many_of_both(student.task, draw):
        reply = student.ask(case)
        if reply.kind == CRASH and AtMost.TOLD in reply.detail:
            given = reply.detail.splitlines()[-1].split(":", 1)[1].strip()
            told = (
                f"The model was given {given}, the limit `most`. Make the N * M noisy images, or their numbers, and take "
                "them in parts of at most `most`. N and M may each be larger than that."
            )
            raise Finding("too many at once", told)


VOTES = (asks_in_parts, gives(votes, _SLIPS, cases=many_of_both))
