"""Lab 2: how far each boundary is."""

import torch

from advcourse.labs.comparing import NUMBERS, gives
from advcourse.labs.exercises import exercise
from advcourse.labs.lab2.gradients import apart
from advcourse.labs.lab2.questions import LAST, a_model_at_x, takes_faint_gradients
from advcourse.labs.properties import answers, keeps_what_it_gets, treats_images_alone


def from_own(logits, gradients):
    return apart(logits, gradients, logits.argmax(1))


def order(norm):
    return 2 if norm == "L2" else 1


def dual(w, norm):
    return w.flatten(2).norm(p=order(norm), dim=2)


def closed(far, logits):
    return far.scatter(1, logits.argmax(1, keepdim=True), torch.inf)


@exercise(
    "How far is each boundary?",
    2,
    a_model_at_x,
    (
        "First find k0 = logits.argmax(1). For f and w you need the logit and the gradient of k0 of each image: index with "
        "rows = torch.arange(len(logits)), both as logits[rows, k0].",
        "f = logits - logits[rows, k0][:, None] and w = gradients - gradients[rows, k0][:, None]. The norms of w over "
        "all pixels: w.flatten(2).norm(p=2, dim=2) is (N, K).",
        "p = 2 for L2, and 1 for Linf. far = f.abs() / w.flatten(2).norm(p=p, dim=2); then far[rows, k0] = torch.inf; "
        "return far.",
    ),
    shape=lambda case: case["logits"].shape,
    numbers="infinite",
)
def distances(logits, gradients, norm):
    f, w = from_own(logits, gradients)
    return closed(f.abs() / dual(w, norm), logits)


@distances.slip(
    "norm squared",
    "The logits' difference is divided by the square of the norm. That is the factor of the step w; the distance has the "
    "norm itself below the line.",
)
def factor_of_the_step(logits, gradients, norm):
    f, w = from_own(logits, gradients)
    return closed(f.abs() / dual(w, norm) ** 2, logits)


@distances.slip(
    "logits alone",
    "The result is |f_k|, a difference of logits. Divide it by the norm of w_k: a steep boundary is near, a flat one far.",
)
def difference_of_logits(logits, gradients, norm):
    f, w = from_own(logits, gradients)
    return closed(f.abs(), logits)


@distances.slip(
    "gradient of one class",
    "The norm is that of class k's own gradient. What matters is how fast k gains on k0: w_k is the difference of both.",
)
def own_gradients(logits, gradients, norm):
    f, w = from_own(logits, gradients)
    return closed(f.abs() / dual(gradients, norm), logits)


@distances.slip(
    "logit of one class",
    "The numerator is class k's own logit. What matters is how far k lies behind k0: f_k is the difference of both.",
)
def own_logits(logits, gradients, norm):
    f, w = from_own(logits, gradients)
    return closed(logits.abs() / dual(w, norm), logits)


@distances.slip(
    "negative",
    "The distances are negative: f_k is below 0 for every other class. Take its absolute value.",
)
def sign_kept(logits, gradients, norm):
    f, w = from_own(logits, gradients)
    return closed(f / dual(w, norm), logits)


@distances.slip(
    "own class",
    "The model's own class gets a number like the others, and argmin would choose it. There is no way out towards it: "
    "put infinity there.",
)
def own_class_at_distance_zero(logits, gradients, norm):
    f, w = from_own(logits, gradients)
    return f.abs() / dual(w, norm).clamp_min(1e-12)


@distances.slip(
    "not the dual norm",
    "For Linf the largest entry of w stands below the line. It must be the dual norm: the sum of the absolute "
    "values, for every pixel can help at once.",
)
def largest_entry(logits, gradients, norm):
    f, w = from_own(logits, gradients)
    return closed(f.abs() / w.flatten(2).norm(p=2 if norm == "L2" else torch.inf, dim=2), logits)


@distances.slip(
    "norm unused",
    "For Linf the distances are those for L2. Look at the argument norm, and take the L1 norm of w there.",
)
def always_l2(logits, gradients, norm):
    return distances(logits, gradients, "L2")


@distances.right
def image_by_image(logits, gradients, norm):
    result = torch.zeros_like(logits)
    for n, (z, g) in enumerate(zip(logits, gradients)):
        top = int(z.argmax())
        for k in range(len(z)):
            w = (g[top] - g[k]).reshape(-1)
            below = w.pow(2).sum().sqrt() if norm == "L2" else w.abs().sum()
            result[n, k] = (z[top] - z[k]) / below if k != top else float("inf")
    return result


@distances.right
def with_gather(logits, gradients, norm):
    top = logits.topk(1).indices
    flat = gradients.reshape(*logits.shape, -1)
    w = flat - flat.gather(1, top[:, :, None].expand(-1, -1, flat.shape[2]))
    far = (logits.amax(1, keepdim=True) - logits) / torch.linalg.vector_norm(w, order(norm), dim=-1)
    return far.scatter(1, top, torch.inf)


@distances.wrong("not a number")
def own_class_not_a_number(logits, gradients, norm):
    f, w = from_own(logits, gradients)
    return f.abs() / dual(w, norm)


@distances.wrong("shape")
def nearest_alone(logits, gradients, norm):
    return distances(logits, gradients, norm).amin(1)


@distances.wrong("formula")
def one_class_for_all(logits, gradients, norm):
    k0 = int(logits.sum(0).argmax())
    f, w = apart(logits, gradients, k0)
    far = f.abs() / dual(w, norm)
    far[:, k0] = torch.inf
    return far


@distances.wrong("input")
def in_place(logits, gradients, norm):
    k0, rows = logits.argmax(1), torch.arange(len(logits))
    gradients -= gradients[rows, k0][:, None].clone()
    return closed((logits - logits[rows, k0][:, None]).abs() / dual(gradients, norm), logits)


@distances.wrong("faint gradients")
def a_little_added_to_the_norm(logits, gradients, norm):
    f, w = from_own(logits, gradients)
    return closed(f.abs() / (dual(w, norm) + 1e-5), logits)


@distances.wrong("formula")
def a_large_number_for_infinity(logits, gradients, norm):
    return distances(logits, gradients, norm).nan_to_num(posinf=1e6)


distances.checks(
    answers,
    keeps_what_it_gets,
    gives(distances, NUMBERS),
    gives(distances, NUMBERS, norm="Linf"),
    treats_images_alone,
    *LAST,
    takes_faint_gradients,
)
