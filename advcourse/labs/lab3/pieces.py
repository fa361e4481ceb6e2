"""The pieces of C&W: the change of variables, the objective f and the search for c, and the slips known by their results."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from advcourse.labs.checks import Case, Draw, Student, Task, picture
from advcourse.labs.lab3.questions import others, own
from advcourse.labs.numbers import differs, near
from advcourse.labs.running import TENSOR
from advcourse.labs.verdicts import Finding

INSIDE = 0.999  # the start lies at this share of the way from the middle of the box to the pixel
UNBOUNDED = 1e10  # hi, while no constant has succeeded
FARTHEST = 1e30  # beyond what may stand for infinity, but for the largest number of the type


def to_box(w: Tensor) -> Tensor:
    return (torch.tanh(w) + 1) / 2


def to_w(case: Case) -> Tensor:
    return torch.atanh(INSIDE * (2 * case["x"].double() - 1))


# The change of variables


def black_and_white_are_finite(student: Student, draw: Draw) -> None:
    """arctanh of 1 is infinite: pixels at the border of the box must be drawn in before it is taken."""
    case = student.task.case(draw)
    reply = student.ask(case)
    if reply.kind != TENSOR or reply.value.shape != case["x"].shape:
        return  # the next property says what is wrong with it
    astray = ~torch.isfinite(reply.value.double())
    if not astray.any():
        return
    x = case["x"]
    if torch.equal(astray, x == 0):
        told = (
            "Black pixels become -inf, white ones stay finite: 0.999 has drawn the pixels towards black. Stretch x to [-1, 1] "
            "first, then multiply."
        )
        raise Finding("drawn towards black", told)
    told = (
        f"{int(astray.sum())} pixels become infinite: the black and the white ones, for arctanh(1) is infinite. Draw them into "
        "the box first: 0.999 * (2x - 1)."
    )
    raise Finding("saturated", told)


_STRETCHED = (
    (
        "not stretched",
        "This is arctanh of 0.999 x. The range of tanh is [-1, 1]: stretch the pixels to it first, 2x - 1.",
        lambda x: torch.atanh(INSIDE * x),
    ),
    (
        "twice too large",
        "Every w is twice too large: this undoes the sigmoid, which is (tanh(w / 2) + 1) / 2. Here x = (tanh(w) + 1) / 2.",
        lambda x: 2 * torch.atanh(INSIDE * (2 * x - 1)),
    ),
    (
        "arctan",
        "This is arctan, which undoes tan. What undoes tanh is torch.atanh.",
        lambda x: torch.atan(INSIDE * (2 * x - 1)),
    ),
    (
        "no arctanh",
        "The pixels are stretched to [-1, 1], and no more. What undoes tanh is still missing: torch.atanh.",
        lambda x: INSIDE * (2 * x - 1),
    ),
    (
        "still the image",
        "The result is the image, clipped to the box. Clipping stops the gradient at the border; the change of variables does "
        "not. Return the w that tanh turns into x.",
        lambda x: x,
    ),
)


def tanh_leads_back(student: Student, draw: Draw) -> None:
    """(tanh w + 1) / 2 is the image, but for the thousandth that it is drawn in."""
    case = student.task.case(draw)
    w, x = student(case), case["x"].double()
    for key, message, slip in _STRETCHED:
        if (w - slip(x)).abs().max() < 0.02:
            raise Finding(key, f"{message} The picture shows (tanh(w) + 1) / 2.", picture(case, to_box(w), 0))
    back = to_box(w)
    off = (back - x).abs()
    if off.max() < 6e-4:
        return
    shown = picture(case, back, int(off.flatten(1).amax(1).argmax()))
    share = 1 - 2 * off.max().item()  # the share of the box, if the pixels are drawn to its middle
    if (back - (0.5 + share * (x - 0.5))).abs().max() < 1e-3:
        told = (
            f"The start is drawn in to {share:.3f} of the box, so that black and white pixels are {off.max():.3f} off before the "
            "first step. 0.999 is enough."
        )
        raise Finding("too far inside", told, shown)
    told = f"(tanh(w) + 1) / 2 is not the image: a pixel comes back {off.max():.3f} away from where it was."
    raise Finding("formula", told, shown)


def black_and_white_can_move(student: Student, draw: Draw) -> None:
    """The slope of the tanh at black and white pixels, which is all that their gradient ever gets."""
    case = student.task.case(draw)
    slope = (1 - torch.tanh(student(case)).square()) / 2
    if (least := slope.min().item()) < 2e-4:
        told = (
            f"Black and white pixels start where tanh is flat: its slope there is {least:.0e}, so hardly any gradient comes "
            "through. Draw the pixels in by 0.999."
        )
        raise Finding("flat start", told)


# The objective f


def _parts(case, values=None):
    values = case["logits"].double() if values is None else values
    return own(values, case["label"]), others(values, case["label"])


def cw_loss(case: Case, values: Tensor | None = None, sign: int = 1, floor: float = -1.0) -> Tensor:
    """max(Z_y - max of the others, -confidence), or with the roles changed; `values` and `floor` serve the slips."""
    mine, other = _parts(case, values)
    away = sign * (-1 if case["targeted"] else 1)
    return (away * (mine - other)).clamp_min(floor * case["confidence"])


def _among(case, other):
    """f with another idea of what the other logits are."""
    mine = own(case["logits"].double(), case["label"])
    return ((-1 if case["targeted"] else 1) * (mine - other)).clamp_min(-case["confidence"])


def _product(case):
    z = case["logits"].double()
    return _among(case, ((1 - one_hot(case["label"], z.shape[1])) * z).amax(1))


CW_LOSS_SLIPS = (
    (
        "one-hot product",
        "The label's logit is set to 0 where it should be left out: (1 - one_hot) * Z. Where all others are negative, that 0 is "
        "the largest. Use masked_fill with -inf.",
        _product,
    ),
    (
        "label among the others",
        "The largest logit is taken over all classes, the label among them. Leave the label out before you take the maximum.",
        lambda case: _among(case, case["logits"].double().amax(1)),
    ),
    (
        "second largest",
        "The other logit is always the second largest. Where the label is not on top, the strongest other class is the largest.",
        lambda case: _among(case, case["logits"].double().topk(2).values[:, 1]),
    ),
    (
        "mean of the others",
        "The others are averaged. f looks at one of them, the strongest.",
        lambda case: _among(
            case, (case["logits"].double().sum(1) - _parts(case)[0]) / (case["logits"].shape[1] - 1)
        ),
    ),
    (
        "roles swapped",
        "f falls where it should rise. Untargeted, the label's logit counts with plus; targeted, with minus.",
        lambda case: cw_loss(case, sign=-1),
    ),
    (
        "confidence unused",
        "f stops at 0, whatever the confidence. It stops at -confidence: the attack must lead by that much.",
        lambda case: cw_loss(case, floor=0.0),
    ),
    (
        "confidence's sign",
        "f stops at +confidence: then it is content while the model is still right. It stops at -confidence.",
        lambda case: cw_loss(case, floor=1.0),
    ),
    (
        "no floor",
        "f falls without end. It is max(..., -confidence): below that the attack has all it needs, and no gradient.",
        lambda case: cw_loss(case, floor=-1e9),
    ),
    (
        "shifted",
        "f is confidence too large everywhere: max(... + confidence, 0). The gradient is the same, the value not; here "
        "f = -confidence says success.",
        lambda case: cw_loss(case) + case["confidence"],
    ),
    (
        "probabilities",
        "f compares probabilities. They saturate, and with them the gradient vanishes. Compare the logits as they come.",
        lambda case: cw_loss(case, case["logits"].double().softmax(1)),
    ),
)

TARGET_UNUSED = (
    (
        "target unused",
        "With targeted=True f is the same as without. A targeted attack wants the label's logit above all others.",
        lambda case: cw_loss(case, sign=-1),
    ),
)


def far_apart(task: Task, draw: Draw) -> tuple[Case, ...]:
    """Logits that are up to 1e30 away from 0 and from each other, with the label on top or not; both attacks."""
    case = task.case(draw)
    logits, label = case["logits"].clone(), case["label"]
    logits[::4] *= 10 ** (3 * draw.uniform((len(logits[::4]), 1)))  # all are negative
    logits[2::4] *= FARTHEST
    ahead = torch.arange(1, len(logits), 4)
    logits[ahead, label[ahead]] = 300 + 2700 * draw.uniform(ahead.shape)
    logits[ahead[::2], label[ahead[::2]]] *= FARTHEST
    return tuple(case.but(logits=logits, targeted=targeted) for targeted in (False, True))


def leaves_the_label_out(student: Student, draw: Draw) -> None:
    """However far the logits are apart, it is the largest of the others that counts, not a number in the label's place."""
    for case in far_apart(student.task, draw):
        found, expected = student(case), cw_loss(case)
        wrong = ~near(found, expected, 1e-5)
        if not wrong.any():
            continue
        too_large = (found > expected) == case["targeted"]  # the label's stand-in is ahead of all others
        i = int(wrong.nonzero()[0])
        if too_large[wrong].all():
            mine, other = (part[i].item() for part in _parts(case))
            told = (
                f"With a logit of {mine:.4g} at the label, and {other:.4g} at the strongest of the others, f is {found[i]:.4g}, "
                f"not {expected[i]:.4g}: what stands for the label among the others is larger than all of them. Some logits lie "
                "beyond any number that you may choose: leave the label out with -torch.inf."
            )
            raise Finding("number for infinity", told)
        raise differs(found, expected, 1e-5)


# The search for the constant


def search(case: Case, rule: str = "all", grow: float = 10.0, **changed: Any) -> Tensor:
    """One round of the search as (3, N): lo, hi, c. What is `changed`, the `rule` and `grow` serve the slips."""
    lo, hi, c = case["state"].double()
    fooled = case["fooled"]
    success = {
        "all": fooled.all(0),
        "any": fooled.any(0),
        "first": fooled[0],
        "last": fooled[-1],
        "most": fooled.double().mean(0) > 0.5,
        "batch": fooled.all().expand(len(c)),
    }[rule]
    if changed.get("swapped"):
        success = ~success
    if not changed.get("still"):
        hi, lo = torch.where(success, hi.minimum(c), hi), torch.where(success, lo, lo.maximum(c))
    known = hi < UNBOUNDED / 10
    if changed.get("always grows"):
        known = known & success
    between = (lo * hi).sqrt() if changed.get("geometric") else (lo + hi) / 2
    if changed.get("never grows"):
        return torch.stack([lo, hi, between])
    return torch.stack([lo, hi, torch.where(known, between, grow * c)])


def _searched(**changed):
    return lambda case: search(case, **changed)


SEARCH_SLIPS = (
    (
        "any copy",
        "One fooled copy counts as success. All copies of the image must fool: fooled.all(0).",
        _searched(rule="any"),
    ),
    (
        "first copy",
        "The first copy decides alone. All copies of the image must fool: fooled.all(0).",
        _searched(rule="first"),
    ),
    (
        "last copy",
        "The last copy decides alone. All copies of the image must fool: fooled.all(0).",
        _searched(rule="last"),
    ),
    (
        "most copies",
        "A majority of fooled copies counts as success. All copies of the image must fool: fooled.all(0).",
        _searched(rule="most"),
    ),
    (
        "shared by the batch",
        "All images move together: the outcome of the whole batch decides. Each has its own lo, hi and c: torch.where.",
        _searched(rule="batch"),
    ),
    (
        "lo and hi swapped",
        "The bounds move the wrong way round. After a success c is enough, so hi comes down to it; after a failure lo goes up.",
        _searched(swapped=True),
    ),
    (
        "never grows",
        "Where no constant has succeeded yet, hi = 1e10 is no bound, and half of it is far too large. Take 10 c there.",
        _searched(**{"never grows": True}),
    ),
    (
        "doubles",
        "Where no constant has succeeded yet, c is doubled. Here it grows tenfold.",
        _searched(grow=2.0),
    ),
    (
        "always grows",
        "A failure makes c ten times larger even where a success is known. Between two known bounds take their middle.",
        _searched(**{"always grows": True}),
    ),
    (
        "bounds stand still",
        "c changes, but lo and hi stay as they came. They are what the search remembers: move one of them to c first.",
        _searched(still=True),
    ),
    (
        "geometric mean",
        "The next c is the geometric mean of the bounds, which stays 0 while lo is 0. Here it is their middle, (lo + hi) / 2.",
        _searched(geometric=True),
    ),
)


def states(draw: Draw, x: Tensor, n: int = 24, copies: int = 3) -> dict[str, Tensor]:
    """Constants from 1e-3 to 1e7 in all stages of a search, and outcomes of all kinds."""
    c = 10 ** (10 * (torch.arange(n) // 4 + draw.uniform((n,))) / (n // 4) - 3)
    lo, hi = c * 0.5 * draw.uniform((n,)), c * (1.5 + draw.uniform((n,)))
    kind = torch.arange(n) % 4  # nothing known; a failure only; a success only; both
    lo, hi = torch.where(kind % 2 == 0, 0.0, lo), torch.where(kind < 2, UNBOUNDED, hi)
    fooled = draw.uniform((copies, n)) < 0.5
    fooled[:, n // 3 :] = fooled[:1, n // 3 :]  # of the rest all copies do, or none
    every = torch.arange(2**copies)[: n // 3]  # all that three copies can do, in some order
    fooled[:, draw.uniform(every.shape).argsort()] = (every >> torch.arange(copies)[:, None]) % 2 == 1
    return {"state": torch.stack([lo, hi, c]), "fooled": fooled}
