"""Lab 2: one perturbation for all images, the mini-batch variant of UAP."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from advcourse.core.inputs import predict
from advcourse.core.rounding import percent
from advcourse.labs.checks import Student
from advcourse.labs.comparing import MOST, SAME, Comparison, called, gives
from advcourse.labs.exercises import Case, Draw, Task, exercise
from advcourse.labs.lab2.gradients import predicted
from advcourse.labs.lab2.questions import LAST
from advcourse.labs.properties import answers, asks_the_model, keeps_what_it_gets
from advcourse.labs.verdicts import Finding, Picture

HELD_OUT = 100
NOISE = {
    "n": 20,
    "shape": (1, 8, 8),
    "grey": True,
}  # read as many classes, whose gradients pull v to and fro
# Pixels next to 0 and 1, which the clip holds fast; and few steps, the last of which belongs to a small batch.
AT_THE_EDGE = {"n": 8, "shape": (1, 8, 8), "batch": 5, "passes": 2}


def a_budget_and_a_cap(draw: Draw, x: Tensor) -> dict[str, float]:
    """Three passes over batches of three, in steps of about a third of the budget."""
    eps = draw.number(0.1, 0.2)
    alpha = round(eps * draw.number(0.3, 0.4), 4)
    return {"eps": eps, "alpha": alpha, "passes": 3, "batch": 3, "cap": draw.number(2.3, 2.5)}


def capped(logits, k, cap):
    return cross_entropy(logits, k, reduction="none").clamp_max(cap).mean()


def loss_of(model, cap):
    return lambda images, k: capped(model(images.clamp(0, 1)), k, cap)


def slope(loss, v, images, k):
    v = v.detach().requires_grad_()
    return torch.autograd.grad(loss(images + v, k), v)[0]


def steps(x, k, eps, alpha, passes, batch, loss, direction=torch.sign):
    """v after all steps uphill, where `loss(images + v, k)` is that of a mini-batch."""
    v = torch.zeros_like(x[0])
    for _ in range(passes):
        for images, own in zip(x.split(batch), k.split(batch)):
            v = (v + alpha * direction(slope(loss, v, images, own))).clamp(-eps, eps)
    return v


@exercise(
    "One perturbation for all images",
    4,
    a_budget_and_a_cap,
    (
        "v has the shape of one image, x[0]. Before the loops: v = torch.zeros_like(x[0]), and the answers k = "
        "model(x).argmax(1) of the clean images.",
        "Two loops, one in the other: over passes, and over zip(x.split(batch), k.split(batch)). The gradient is that of v: "
        "v = v.detach().requires_grad_(); images + v adds it to each image.",
        'loss = cross_entropy(model((images + v).clamp(0, 1)), answers, reduction="none").clamp_max(cap).mean(); then '
        "v = (v + alpha * gradient.sign()).clamp(-eps, eps).detach().",
    ),
    shape=lambda case: case["x"].shape[1:],
)
def uap(model, x, y, eps, alpha, passes, batch, cap):
    return steps(x, predicted(model, x), eps, alpha, passes, batch, loss_of(model, cap))


@uap.slip("descends", "The loss falls with each step. The images must leave their class: add the step.")
def sign_flipped(model, x, y, eps, alpha, passes, batch, cap):
    return uap(model, x, y, eps, -alpha, passes, batch, cap)


@uap.slip(
    "label",
    "The steps leave the label y. A universal perturbation is to change the model's answer: k is the class "
    "predicted for the clean image.",
)
def leaves_the_label(model, x, y, eps, alpha, passes, batch, cap):
    return steps(x, y, eps, alpha, passes, batch, loss_of(model, cap))


@uap.slip(
    "no cap",
    "The loss of an image grows without end: those that are fooled long since pull harder than those that are not. "
    "Cap each at `cap` before you average.",
)
def uncapped(model, x, y, eps, alpha, passes, batch, cap):
    return uap(model, x, y, eps, alpha, passes, batch, 1e9)


@uap.slip(
    "cap on the mean",
    'The mean is capped, not each image\'s loss: one large loss stops all. Use reduction="none", cap, then average.',
)
def mean_capped(model, x, y, eps, alpha, passes, batch, cap):
    def loss(images, k):
        return cross_entropy(model(images.clamp(0, 1)), k).clamp_max(cap)

    return steps(x, predicted(model, x), eps, alpha, passes, batch, loss)


@uap.slip("no sign", "The steps are the gradient itself. Take its sign.")
def bare_gradient(model, x, y, eps, alpha, passes, batch, cap):
    return steps(x, predicted(model, x), eps, alpha, passes, batch, loss_of(model, cap), torch.clone)


@uap.slip(
    "one pass",
    "Only one pass counts. Repeat it, `passes` times, and let each go on from the v of the one before: v = 0 "
    "stands before the loops.",
)
def passes_unused(model, x, y, eps, alpha, passes, batch, cap):
    return uap(model, x, y, eps, alpha, 1, batch, cap)


@uap.slip(
    "all at once",
    "All images are used in one step for each pass. Split them into mini-batches: x.split(batch), one step for each.",
)
def batch_unused(model, x, y, eps, alpha, passes, batch, cap):
    return uap(model, x, y, eps, alpha, passes, len(x), cap)


@uap.slip(
    "softmax twice",
    "The softmax is taken twice: cross_entropy wants logits, and takes the softmax itself. Give it model(...) as it is.",
)
def probabilities_as_logits(model, x, y, eps, alpha, passes, batch, cap):
    loss = loss_of(lambda images: model(images).softmax(1), cap)
    return steps(x, predicted(model, x), eps, alpha, passes, batch, loss)


@uap.slip(
    "answer of the moment",
    "k is taken anew in every step, from the images with v. The images are to leave the class of"
    " the clean image: find k once, before the loops.",
)
def answers_taken_anew(model, x, y, eps, alpha, passes, batch, cap):
    def loss(images, k):
        logits = model(images.clamp(0, 1))
        return capped(logits, logits.argmax(1), cap)

    return steps(x, predicted(model, x), eps, alpha, passes, batch, loss)


@uap.slip(
    "images not clipped",
    "The model sees images + v with pixels outside of [0, 1]. Whoever uses v adds it and clips: (images + v).clamp(0, 1).",
)
def beyond_black_and_white(model, x, y, eps, alpha, passes, batch, cap):
    def loss(images, k):
        return capped(model(images), k, cap)

    return steps(x, predicted(model, x), eps, alpha, passes, batch, loss)


@uap.slip(
    "last batch dropped",
    "The last mini-batch is left out, for it is smaller than the others. x.split(batch) gives it too.",
)
def full_batches_alone(model, x, y, eps, alpha, passes, batch, cap):
    full = len(x) // batch * batch
    return uap(model, x[:full], y[:full], eps, alpha, passes, batch, cap)


@uap.slip(
    "projects at the end",
    "v is projected only once, at the end. Clip it to [-eps, eps] after every step.",
)
def clipped_once(model, x, y, eps, alpha, passes, batch, cap):
    return never_projected(model, x, y, eps, alpha, passes, batch, cap).clamp(-eps, eps)


@uap.right
def a_copy_for_each_image(model, x, y, eps, alpha, passes, batch, cap):
    k, v = predicted(model, x), torch.zeros_like(x[:1])
    for _ in range(passes):
        for start in range(0, len(x), batch):
            part = x[start : start + batch]
            moved = (part + v).detach().requires_grad_()
            losses = -model(moved.clamp(0, 1)).log_softmax(1).gather(1, k[start : start + batch, None])[:, 0]
            torch.minimum(losses, torch.full_like(losses, cap)).sum().backward(inputs=[moved])
            v = v + alpha * torch.sign(moved.grad.sum(0, keepdim=True))
            v = torch.maximum(torch.minimum(v, torch.full_like(v, eps)), torch.full_like(v, -eps))
    return v[0].detach()


@uap.wrong("formula")
def never_projected(model, x, y, eps, alpha, passes, batch, cap):
    return uap(model, x, y, 1e9, alpha, passes, batch, cap)


@uap.wrong("shape")
def one_for_each_image(model, x, y, eps, alpha, passes, batch, cap):
    return uap(model, x, y, eps, alpha, passes, batch, cap) + torch.zeros_like(x)


@uap.wrong("mode")
def in_training_mode(model, x, y, eps, alpha, passes, batch, cap):
    return uap(model.train(), x, y, eps, alpha, passes, batch, cap)


@uap.wrong("attached")
def graph_kept(model, x, y, eps, alpha, passes, batch, cap):
    return uap(model, x, y, eps, alpha, passes, batch, cap).requires_grad_()


def same(v: Tensor, expected: Tensor) -> bool:
    """Whether a share of MOST of the pixels are the same."""
    return bool(((v - expected).abs() < SAME).double().mean() >= MOST)


def another(case: Case, v: Tensor, expected: Tensor) -> Finding:
    """What is said of a perturbation that no slip explains."""
    share = percent(((v - expected).abs() >= SAME).double().mean().item())
    told = f"{share} of the perturbation is not what the formula gives. Compare it with your lines."
    return Finding("formula", told)


PERTURBATION = Comparison(Student.__call__, called, same, another)


def seen_at_the_edge(task: Task, draw: Draw) -> Case:
    """A case in which it shows when the images are not clipped: by chance it may not."""
    for _ in range(20):
        case = task.case(draw, **AT_THE_EDGE)
        gap = (called(beyond_black_and_white, case) - called(uap, case)).abs()
        if gap.ge(SAME).double().mean() > 3 * (1 - MOST):
            break
    return case


def is_something(student: Student, draw: Draw) -> None:
    """The perturbation is neither 0 nor beyond the budget."""
    case = student.task.case(draw, grey=True)
    v, eps = student(case), case["eps"]
    size = v.abs().max().item()
    if size == 0:
        raise Finding("zero", "The perturbation is 0 everywhere. Is the changed v the one that you return?")
    if size > eps + 1e-6:
        told = f"The perturbation reaches {size:.3f}, more than the budget eps = {eps}. Clip it to [-eps, eps] after each step."
        raise Finding("budget", told, Picture(case["x"][0], (case["x"][0].double() + v).clamp(0, 1)))


def fools_other_images(student: Student, draw: Draw) -> None:
    """Added to digits that it was not made on, it changes the model's answer about as often as the author's does."""
    settings = {"eps": 0.3, "alpha": 0.05, "passes": 4, "batch": 16, "cap": 3.0}
    case = student.task.case(draw, "mnist-cnn", 64, **settings)
    others, _ = draw.images(HELD_OUT)
    model = case.victim.build()
    before = predict(model, others).argmax(1)
    theirs, ours = (
        (predict(model, (others + v.float()).clamp(0, 1)).argmax(1) != before).sum().item()
        for v in (student(case), called(uap, case))
    )
    if theirs < 0.6 * ours:
        told = f"On {HELD_OUT} digits that it was not made on, it changes {theirs} answers; a right one changes {ours}."
        raise Finding("weak", told)


uap.checks(
    answers,
    keeps_what_it_gets,
    gives(uap, PERTURBATION, **NOISE),
    is_something,
    asks_the_model,
    gives(uap, PERTURBATION, kind="linear", **NOISE),
    gives(uap, PERTURBATION, make=seen_at_the_edge),
    *LAST,
    fools_other_images,
)
