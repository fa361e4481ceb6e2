"""Lab 2: the shortest way to the nearest boundary of a linear model."""

import torch

from advcourse.labs.checks import Student
from advcourse.labs.comparing import NUMBERS, gives
from advcourse.labs.exercises import Draw, exercise
from advcourse.labs.lab2.distances import distances
from advcourse.labs.lab2.gradients import apart, wide
from advcourse.labs.lab2.questions import LAST, a_model_at_x, takes_faint_gradients
from advcourse.labs.properties import answers, keeps_what_it_gets, treats_images_alone
from advcourse.labs.verdicts import Finding

MANY = {"n": 64, "shape": (1, 6, 6)}  # small images, so that a check sees many


def of_class(l, logits, gradients):
    rows = torch.arange(len(l))
    f, w = apart(logits, gradients, logits.argmax(1))
    return wide(f[rows, l].abs()), w[rows, l]


def nearest(logits, gradients, norm):
    return of_class(distances(logits, gradients, norm).argmin(1), logits, gradients)


def size(w, p):
    return wide(w.flatten(1).norm(p=p, dim=1))


def along(f, w, norm):
    return f * (w / size(w, 2) ** 2 if norm == "L2" else w.sign() / size(w, 1))


def towards(l, logits, gradients, norm):
    return along(*of_class(l, logits, gradients), norm)


@exercise(
    "The shortest way to the nearest boundary",
    3,
    a_model_at_x,
    (
        "distances(logits, gradients, norm).argmin(1) is the class l behind the nearest boundary of each image. Then "
        "only f_l and w_l count.",
        "The step has a direction and a length. For L2 the direction is w / |w| and the length the distance; for Linf each pixel "
        "moves by the distance, along w.sign().",
        "w = gradients[rows, l] - gradients[rows, k0]; length = distances(...)[rows, l].view(-1, 1, 1, 1). For Linf return "
        "length * w.sign(); for L2 length * w / w.flatten(1).norm(dim=1).view(-1, 1, 1, 1).",
    ),
    shape=lambda case: (len(case["gradients"]), *case["gradients"].shape[2:]),
)
def shortest_step(logits, gradients, norm):
    k0, rows = logits.argmax(1), torch.arange(len(logits))
    far, l = distances(logits, gradients, norm).min(1)
    w = gradients[rows, l] - gradients[rows, k0]
    way = w.sign() if norm == "Linf" else w / wide(w.flatten(1).norm(dim=1))
    return wide(far) * way


@shortest_step.slip(
    "norm not squared",
    "The step is |f| w / |w|, too long by a factor of |w|. Once the norm makes w a unit vector, once more it makes |f| a "
    "distance: divide by its square.",
)
def one_norm_short(logits, gradients, norm):
    f, w = nearest(logits, gradients, norm)
    return f * w / size(w, 2) if norm == "L2" else along(f, w, norm)


@shortest_step.slip(
    "wrong way", "The steps lead away from the boundary: f_l is negative, and turns w round. Take |f_l|."
)
def sign_of_f_kept(logits, gradients, norm):
    return -shortest_step(logits, gradients, norm)


@shortest_step.slip(
    "smallest |f|",
    "The class is the one with the smallest |f|, the second largest logit. The nearest boundary has the smallest "
    "|f| / |w|: use the distances.",
)
def second_largest_logit(logits, gradients, norm):
    return towards(logits.topk(2).indices[:, 1], logits, gradients, norm)


@shortest_step.slip(
    "class of Linf",
    "The class is the one whose boundary is the nearest in Linf. Choose it in the norm that is asked "
    "for: distances(logits, gradients, norm).",
)
def nearest_in_linf(logits, gradients, norm):
    return along(*nearest(logits, gradients, "Linf"), norm)


@shortest_step.slip(
    "farthest",
    "The steps lead to the farthest boundary that is not infinitely far. Take the smallest distance.",
)
def largest_distance(logits, gradients, norm):
    far = distances(logits, gradients, norm)
    return towards(far.masked_fill(far.isinf(), 0).argmax(1), logits, gradients, norm)


@shortest_step.slip(
    "gradient of one class",
    "The step follows class l's own gradient. Follow w_l, its difference from the gradient of k0: k0 loses as well.",
)
def gradient_of_l(logits, gradients, norm):
    l = distances(logits, gradients, norm).argmin(1)
    f, w = of_class(l, logits, gradients)
    return along(f, gradients[torch.arange(len(l)), l], norm)


@shortest_step.slip(
    "unit step",
    "The steps have length 1, whatever the distance. Multiply the direction by the distance to the boundary.",
)
def direction_alone(logits, gradients, norm):
    f, w = nearest(logits, gradients, norm)
    return w / size(w, 2)


@shortest_step.slip(
    "norm unused",
    "For Linf the step is the one for L2. Look at the argument norm: |f| / (L1 norm of w), times the sign of w.",
)
def always_l2(logits, gradients, norm):
    return shortest_step(logits, gradients, "L2")


@shortest_step.slip(
    "class of L2",
    "For Linf the class is the one whose boundary is the nearest in L2. Choose it in the norm that is asked for: "
    "distances(logits, gradients, norm).",
)
def nearest_in_l2(logits, gradients, norm):
    return along(*nearest(logits, gradients, "L2"), norm)


@shortest_step.slip(
    "no sign",
    "For Linf the step is a multiple of w. Every pixel moves by the same amount: take the sign of w.",
)
def multiple_of_w(logits, gradients, norm):
    f, w = nearest(logits, gradients, norm)
    return along(f, w, norm) if norm == "L2" else f * w / size(w, 1)


@shortest_step.slip(
    "not the dual norm",
    "For Linf the length is not |f| over the L1 norm of w. The sign step gains the sum of all |w|: divide by that, once.",
)
def largest_entry(logits, gradients, norm):
    f, w = nearest(logits, gradients, norm)
    return along(f, w, norm) if norm == "L2" else f * w.sign() / size(w, torch.inf)


@shortest_step.slip(
    "norm squared for Linf",
    "For Linf the norm is squared as for L2. The sign has no length to take out: divide by the L1 norm once.",
)
def squared_for_both(logits, gradients, norm):
    f, w = nearest(logits, gradients, norm)
    return along(f, w, norm) if norm == "L2" else f * w.sign() / size(w, 1) ** 2


@shortest_step.right
def the_papers_formula(logits, gradients, norm):
    steps = []
    for z, g, far in zip(logits, gradients, distances(logits, gradients, norm)):
        k0, l = int(z.argmax()), int(far.argmin())
        w, f = g[l] - g[k0], abs(float(z[l] - z[k0]))
        steps.append(f / w.square().sum() * w if norm == "L2" else f / w.abs().sum() * w.sign())
    return torch.stack(steps)


@shortest_step.wrong("no step")
def own_class_chosen(logits, gradients, norm):
    far = distances(logits, gradients, norm)
    f, w = of_class(far.masked_fill(far.isinf(), 0).argmin(1), logits, gradients)
    return f * w / size(w, 2).clamp_min(1e-12)


@shortest_step.wrong("formula")
def one_norm_for_the_batch(logits, gradients, norm):
    f, w = nearest(logits, gradients, norm)
    return f * (w / w.square().sum() if norm == "L2" else w.sign() / w.abs().sum())


@shortest_step.wrong("shape")
def to_every_class(logits, gradients, norm):
    f, w = apart(logits, gradients, logits.argmax(1))
    return w / w.flatten(2).norm(dim=2).clamp_min(1e-12)[..., None, None, None]


@shortest_step.wrong("faint gradients")
def a_little_added_below_the_line(logits, gradients, norm):
    f, w = nearest(logits, gradients, norm)
    return f * (w / (size(w, 2) ** 2 + 1e-6) if norm == "L2" else w.sign() / (size(w, 1) + 1e-6))


def moves_at_all(student: Student, draw: Draw) -> None:
    """A step towards the own class would be none."""
    case = student.task.case(draw)
    if (student(case) == 0).all():
        told = "All steps are 0. Is the nearest class k0 itself, at distance 0? Leave it out: its distance is infinite."
        raise Finding("no step", told)


shortest_step.checks(
    answers,
    keeps_what_it_gets,
    moves_at_all,
    gives(shortest_step, NUMBERS, **MANY),
    gives(shortest_step, NUMBERS, **MANY, norm="Linf"),
    treats_images_alone,
    *LAST,
    takes_faint_gradients,
)
