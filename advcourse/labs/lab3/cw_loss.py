"""Lab 3: the objective f of C&W, which is content once the attack leads by the confidence."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from advcourse.labs.checks import Student
from advcourse.labs.comparing import answered, called, gives, numbers
from advcourse.labs.exercises import Case, Draw, Task, exercise
from advcourse.labs.lab3.pieces import others, own
from advcourse.labs.lab3.questions import FIRST, keeps_the_digits
from advcourse.labs.numbers import can_be_followed, differs, near
from advcourse.labs.properties import leaves_nothing_behind, other_device, other_type
from advcourse.labs.verdicts import Finding

FARTHEST = 1e30  # beyond what may stand for infinity, but for the largest number of the type
BY = numbers(least=1e-5)


def all_kinds_of_logits(draw: Draw, x: Tensor, n: int = 16, classes: int = 10) -> dict[str, object]:
    """In every second row all logits are negative; the label is on top in about half of them."""
    logits = 3 * draw.normal((n, classes))
    logits[::2] -= logits[::2].amax(1, keepdim=True) + 1
    label = (draw.uniform((n,)) * classes).long()
    label[: n // 2] = logits[: n // 2].argmax(1)
    return {"logits": logits, "label": label, "confidence": draw.number(0.5, 2), "targeted": False}


@exercise(
    "A loss that knows when it is enough",
    3,
    all_kinds_of_logits,
    (
        "Two numbers for each row: the logit of its label, and the largest of all the others. How is one left out of a maximum?",
        "is_label = torch.nn.functional.one_hot(label, logits.shape[1]).bool(), and "
        "logits.masked_fill(is_label, -torch.inf).amax(1) is the largest of the others.",
        "own = logits.gather(1, label[:, None])[:, 0]. Then lead = own - other; targeted it is other - own. "
        "Return lead.clamp_min(-confidence).",
    ),
    shape=lambda case: (len(case["logits"]),),
)
def cw_loss(logits, label, confidence, targeted=False):
    lead = own(logits, label) - others(logits, label)
    return (-lead if targeted else lead).clamp_min(-confidence)


def against(other, logits, label, confidence, targeted):
    """f with `other` in place of the largest of the other logits."""
    lead = own(logits, label) - other
    return (-lead if targeted else lead).clamp_min(-confidence)


@cw_loss.slip(
    "target unused",
    "With targeted=True f is the same as without. A targeted attack wants the label's logit above all others.",
)
def untargeted_always(logits, label, confidence, targeted=False):
    return cw_loss(logits, label, confidence)


@cw_loss.slip(
    "one-hot product",
    "The label's logit is set to 0 where it should be left out: (1 - one_hot) * Z. Where all others are negative, that 0 is the "
    "largest. Use masked_fill with -inf.",
)
def logits_times_zero(logits, label, confidence, targeted=False):
    other = ((1 - one_hot(label, logits.shape[1])) * logits).max(dim=1).values
    return against(other, logits, label, confidence, targeted)


@cw_loss.slip(
    "label among the others",
    "The largest logit is taken over all classes, the label among them. Leave the label out before you take the maximum.",
)
def maximum_over_all(logits, label, confidence, targeted=False):
    return against(logits.amax(1), logits, label, confidence, targeted)


@cw_loss.slip(
    "second largest",
    "The other logit is always the second largest. Where the label is not on top, the strongest other class is the largest.",
)
def always_the_second(logits, label, confidence, targeted=False):
    other = logits.sort(dim=1, descending=True).values[:, 1]
    return against(other, logits, label, confidence, targeted)


@cw_loss.slip("mean of the others", "The others are averaged. f looks at one of them, the strongest.")
def others_averaged(logits, label, confidence, targeted=False):
    other = (logits.sum(1) - own(logits, label)) / (logits.shape[1] - 1)
    return against(other, logits, label, confidence, targeted)


@cw_loss.slip(
    "roles swapped",
    "f falls where it should rise. Untargeted, the label's logit counts with plus; targeted, with minus.",
)
def sign_of_the_paper(logits, label, confidence, targeted=False):
    return cw_loss(logits, label, confidence, not targeted)


@cw_loss.slip(
    "confidence unused",
    "f stops at 0, whatever the confidence. It stops at -confidence: the attack must lead by that much.",
)
def stops_at_zero(logits, label, confidence, targeted=False):
    return cw_loss(logits, label, 0.0, targeted)


@cw_loss.slip(
    "confidence's sign",
    "f stops at +confidence: then it is content while the model is still right. It stops at -confidence.",
)
def stops_too_early(logits, label, confidence, targeted=False):
    return cw_loss(logits, label, -confidence, targeted)


@cw_loss.slip(
    "no floor",
    "f falls without end. It is max(..., -confidence): below that the attack has all it needs, and no gradient.",
)
def never_content(logits, label, confidence, targeted=False):
    return cw_loss(logits, label, torch.inf, targeted)


@cw_loss.slip(
    "shifted",
    "f is confidence too large everywhere: max(... + confidence, 0). The gradient is the same, the value not; here "
    "f = -confidence says success.",
)
def as_in_the_released_code(logits, label, confidence, targeted=False):
    return torch.relu(never_content(logits, label, confidence, targeted) + confidence)


@cw_loss.slip(
    "probabilities",
    "f compares probabilities. They saturate, and with them the gradient vanishes. Compare the logits as they come.",
)
def after_a_softmax(logits, label, confidence, targeted=False):
    return cw_loss(logits.softmax(1), label, confidence, targeted)


@cw_loss.right
def with_the_two_largest(logits, label, confidence, targeted=False):
    values, classes = logits.topk(2, dim=1)
    other = torch.where(classes[:, 0] == label, values[:, 1], values[:, 0])
    lead = logits.gather(1, label.view(-1, 1)).squeeze(1) - other
    return torch.relu((-1 if targeted else 1) * lead + confidence) - confidence


@cw_loss.right
def with_the_smallest_number(logits, label, confidence, targeted=False):
    chosen = one_hot(label, logits.shape[1])
    other = torch.where(chosen == 1, torch.finfo(logits.dtype).min, logits).max(dim=1).values
    mine = (logits * chosen).sum(1)
    return torch.maximum((other - mine) * (1 if targeted else -1), torch.full_like(mine, -confidence))


@cw_loss.wrong("shape")
def averaged_over_the_batch(logits, label, confidence, targeted=False):
    return cw_loss(logits, label, confidence, targeted).mean()


@cw_loss.wrong("formula")
def ceiling_for_a_floor(logits, label, confidence, targeted=False):
    return never_content(logits, label, confidence, targeted).clamp_max(-confidence)


@cw_loss.wrong("input")
def fills_in_place(logits, label, confidence, targeted=False):
    mine = own(logits, label)
    other = logits.masked_fill_(one_hot(label, logits.shape[1]).bool(), -torch.inf).amax(1)
    return (other - mine if targeted else mine - other).clamp_min(-confidence)


@cw_loss.wrong("signature")
def without_confidence(logits, label, targeted=False):
    return cw_loss(logits, label, torch.inf, targeted)


@cw_loss.wrong("crash")
def index_of_one_dimension(logits, label, confidence, targeted=False):
    return (logits[label] - logits[:, label].max(1)).clamp_min(-confidence)


def lowered(number, logits, label, confidence, targeted):
    """f where the label's logit is made smaller by `number`, so that it shall not be the largest."""
    other = (logits - number * one_hot(label, logits.shape[1])).amax(1)
    return against(other, logits, label, confidence, targeted)


@cw_loss.wrong("number for infinity")
def a_hundred_less(logits, label, confidence, targeted=False):
    return lowered(100, logits, label, confidence, targeted)


@cw_loss.wrong("number for infinity")
def a_thousand_less(logits, label, confidence, targeted=False):
    return lowered(1e3, logits, label, confidence, targeted)


@cw_loss.wrong("number for infinity")
def ten_thousand_less_as_in_the_released_code(logits, label, confidence, targeted=False):
    return lowered(1e4, logits, label, confidence, targeted)


def masked_with(number, logits, label, confidence, targeted):
    """f where `number` stands for the label's logit."""
    other = logits.masked_fill(one_hot(label, logits.shape[1]).bool(), number).amax(1)
    return against(other, logits, label, confidence, targeted)


@cw_loss.wrong("number for infinity")
def a_hundred_below_zero(logits, label, confidence, targeted=False):
    return masked_with(-100, logits, label, confidence, targeted)


@cw_loss.wrong("number for infinity")
def a_thousand_below_zero(logits, label, confidence, targeted=False):
    return masked_with(-1e3, logits, label, confidence, targeted)


@cw_loss.wrong("number for infinity")
def ten_thousand_below_zero(logits, label, confidence, targeted=False):
    return masked_with(-1e4, logits, label, confidence, targeted)


@cw_loss.wrong("number for infinity")
def a_thousand_million_below_zero(logits, label, confidence, targeted=False):
    return masked_with(-1e9, logits, label, confidence, targeted)


@cw_loss.wrong("detached")
def detached(logits, label, confidence, targeted=False):
    return cw_loss(logits, label, confidence, targeted).detach()


@cw_loss.wrong("detached")
def without_gradients(logits, label, confidence, targeted=False):
    with torch.no_grad():
        return cw_loss(logits, label, confidence, targeted)


@cw_loss.wrong("gradient")
def the_other_detached(logits, label, confidence, targeted=False):
    return against(others(logits, label).detach(), logits, label, confidence, targeted)


@cw_loss.wrong("detached")
def one_number_at_a_time(logits, label, confidence, targeted=False):
    values = cw_loss(logits, label, confidence, targeted)
    return torch.tensor([value.item() for value in values]).to(logits)


@cw_loss.wrong("other type")
def through_float32(logits, label, confidence, targeted=False):
    return cw_loss(logits.float(), label, confidence, targeted).to(logits)


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
        found, expected = student(case), called(cw_loss, case)
        wrong = ~near(found, expected, 1e-5)
        if not wrong.any():
            continue
        too_large = (found > expected) == case["targeted"]  # the label's stand-in is ahead of all others
        i = int(wrong.nonzero()[0])
        if too_large[wrong].all():
            mine, other = (part(case["logits"], case["label"])[i].item() for part in (own, others))
            told = (
                f"With a logit of {mine:.4g} at the label, and {other:.4g} at the strongest of the others, f is {found[i]:.4g}, "
                f"not {expected[i]:.4g}: what stands for the label among the others is larger than all of them. Some logits lie "
                "beyond any number that you may choose: leave the label out with -torch.inf."
            )
            raise Finding("number for infinity", told)
        raise differs(found, expected, 1e-5)


def by_the_answer(case: Case) -> Tensor:
    return answered(cw_loss, case)


cw_loss.checks(
    *FIRST,
    gives(cw_loss, BY),
    gives(cw_loss, BY, targeted=True),
    leaves_the_label_out,
    can_be_followed(by_the_answer, "logits", "the attack"),
    can_be_followed(by_the_answer, "logits", "the attack", targeted=True),
    other_type,
    keeps_the_digits,
    other_device,
    leaves_nothing_behind,
)
