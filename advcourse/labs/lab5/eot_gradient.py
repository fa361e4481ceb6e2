"""Lab 5: the gradient of the expected loss over views that are known."""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, nll_loss

from advcourse.labs.checks import Student
from advcourse.labs.comparing import called, gives
from advcourse.labs.exercises import Case, Draw, Task, exercise
from advcourse.labs.lab5.cameras import View
from advcourse.labs.lab8.gradients import (
    gradient,
    kept_off_zero,
    of_ten_classes,
    own_logit,
    softmax_twice,
    summed,
)
from advcourse.labs.lab8.questions import FIRST, GRADIENTS, LAST, LOUD, alike, in_float64
from advcourse.labs.properties import (
    other_amount,
    other_classes,
    other_shape,
    other_type,
    treats_images_alone,
)
from advcourse.labs.running import TENSOR
from advcourse.labs.verdicts import Finding


def some_views(draw: Draw, x: Tensor | None, number: int = 3) -> dict[str, tuple[View, ...]]:
    """So many places at the road, all different: near and far, from the left and from the right."""
    places = [(6.0, -35.0), (12.0, 10.0), (25.0, 30.0), (18.0, -15.0)][:number]
    return {
        "views": tuple(
            View("view", draw.integer(), distance=d, angle=a + draw.number(-5, 5)) for d, a in places
        )
    }


@exercise(
    "What the next step should be for all views",
    4,
    some_views,
    (
        "For one view you would take the loss of model(view(x)) and ask for its gradient by x, not by the photograph. What "
        "becomes of that with several views?",
        "Start from x_i = x.clone().requires_grad_(), the image before any camera. Autograd carries each gradient back through "
        "its view.",
        'loss = sum(cross_entropy(model(view(x_i)), y, reduction="sum") for view in views) / len(views); return '
        "torch.autograd.grad(loss, x_i)[0].",
    ),
)
def eot_gradient(model, x, y, views):
    return gradient(lambda z: z, x, y, lambda z, y: sum(summed(model(view(z)), y) for view in views)) / len(
        views
    )


def each(model, x, y, views, loss=summed):
    """The gradient that each view gives, a list."""
    return [gradient(lambda z, view=view: model(view(z)), x, y, loss) for view in views]


def mean(parts):
    return sum(parts) / len(parts)


@eot_gradient.slip(
    "mean image",
    "You average the photographs, and take one loss of the mean. That is a blur of all views, which nobody ever sees. Take the "
    "loss of each photograph, then the mean.",
)
def of_the_mean_photograph(model, x, y, views):
    return gradient(lambda z: model(mean([view(z) for view in views])), x, y)


@eot_gradient.slip(
    "one view",
    "This is the gradient of a single view. Each of the views counts alike: loop over all of them.",
)
def of_the_first(model, x, y, views):
    return each(model, x, y, views[:1])[0]


@eot_gradient.slip("one view")
def of_the_last(model, x, y, views):
    for view in views:
        found = gradient(lambda z, view=view: model(view(z)), x, y)
    return found


@eot_gradient.slip(
    "not divided",
    "The views' gradients are added up. Divide by their number: the expected loss is a mean, and must not grow with the number "
    "of views.",
)
def added_up(model, x, y, views):
    return sum(each(model, x, y, views))


@eot_gradient.slip(
    "not mapped back",
    "These are the gradients by the photographs, averaged pixel by pixel. But a pixel of the photograph is another place of the "
    "image in each view: ask for the gradient by x, so that it goes back through the view.",
)
def by_the_photographs(model, x, y, views):
    return mean([gradient(model, view(x), y) for view in views])


@eot_gradient.slip(
    "no view",
    "This is the gradient of the model at x itself, as if no camera stood in between.",
)
def without_views(model, x, y, views):
    return gradient(model, x, y)


@eot_gradient.slip(
    "zero",
    "The gradient is 0 everywhere. Either the graph is cut, by .detach() or no_grad() around the view, or you average answers "
    "(argmax), which are steps.",
    test=lambda case, found: not found.any(),
)
def detached(model, x, y, views):
    x = x.detach().clone().requires_grad_()
    loss = sum(summed(model(view(x.detach())), y) for view in views) + 0 * x.sum()
    return torch.autograd.grad(loss, x)[0]


@eot_gradient.slip(
    "minus",
    "The sign is wrong: this gradient leads down the loss. An attack adds the gradient of the cross-entropy.",
)
def down(model, x, y, views):
    return -eot_gradient(model, x, y, views)


@eot_gradient.slip(
    "mean over the batch",
    "The losses of the images are averaged too, so that an image's gradient is smaller the more there are. Sum over the images, "
    'and average over the views: reduction="sum".',
)
def mean_loss(model, x, y, views):
    return mean(each(model, x, y, views, cross_entropy))


@eot_gradient.slip(
    "loss of the mean logits",
    "The logits are averaged, and the loss is taken once. That makes a good attack too, but here the losses are averaged: take "
    "the loss of each view, then the mean.",
)
def mean_logits(model, x, y, views):
    return gradient(lambda z: mean([model(view(z)) for view in views]), x, y)


@eot_gradient.slip(
    "loss of the mean probabilities",
    "The probabilities are averaged, and the loss is taken once. Take the loss of each view, then the mean.",
)
def mean_probabilities(model, x, y, views):
    x = x.detach().clone().requires_grad_()
    p = mean([model(view(x)).softmax(1) for view in views])
    return torch.autograd.grad(nll_loss(p.log(), y, reduction="sum"), x)[0]


@eot_gradient.slip(
    "mean of signs",
    "The signs of the gradients are averaged: each view has one vote for each pixel, however little the pixel matters to it. "
    "Average the gradients themselves.",
)
def signs_averaged(model, x, y, views):
    return mean([found.sign() for found in each(model, x, y, views)])


@eot_gradient.slip("sign", "This is the sign of the mean gradient. Return the mean itself.")
def sign_of_the_mean(model, x, y, views):
    return eot_gradient(model, x, y, views).sign()


@eot_gradient.slip(
    "worst view",
    "This is the gradient of the largest loss of each image. The expectation counts every view, not the hardest one alone.",
)
def of_the_largest_loss(model, x, y, views):
    x = x.detach().clone().requires_grad_()
    losses = torch.stack([cross_entropy(model(view(x)), y, reduction="none") for view in views])
    return torch.autograd.grad(losses.amax(0).sum(), x)[0]


@eot_gradient.slip("logit", "This is the gradient of the label's logit. Take that of the cross-entropy.")
def of_the_labels_logit(model, x, y, views):
    return mean(each(model, x, y, views, own_logit))


@eot_gradient.slip(
    "softmax twice",
    "The softmax is taken twice: cross_entropy wants logits, and takes the softmax itself. Give it model(...) as it is.",
)
def probabilities_as_logits(model, x, y, views):
    return mean(each(model, x, y, views, softmax_twice))


@eot_gradient.slip(
    "own answer", "This is the gradient of the loss of the model's own answers. The label is y."
)
def of_its_own_answers(model, x, y, views):
    return eot_gradient(model, x, model(x).argmax(1), views)


@eot_gradient.right
def mean_of_gradients(model, x, y, views):
    return mean(each(model, x, y, views))


@eot_gradient.right
def all_photographs_in_one_batch(model, x, y, views):
    x = x.detach().clone().requires_grad_()
    photographs = torch.cat([view(x) for view in views])
    loss = cross_entropy(model(photographs), y.repeat(len(views)), reduction="sum") / len(views)
    return torch.autograd.grad(loss, x)[0]


@eot_gradient.right
def backward_in_a_loop(model, x, y, views):
    x = x.detach().clone().requires_grad_()
    for view in views:
        (summed(model(view(x)), y) / len(views)).backward(inputs=[x])
    return x.grad.detach()


@eot_gradient.wrong("other amount")
def three_of_them(model, x, y, views):
    a, b, c = views
    return mean(each(model, x, y, (a, b, c)))


@eot_gradient.wrong("other classes")
def ten_classes(model, x, y, views):
    return mean(each(model, x, y, views, of_ten_classes))


@eot_gradient.wrong("logarithm of a softmax")
def kept_off_0(model, x, y, views):
    return mean(each(model, x, y, views, kept_off_zero))


@eot_gradient.wrong("parameter gradients")
def backward_everywhere(model, x, y, views):
    x = x.detach().clone().requires_grad_()
    mean([summed(model(view(x)), y) for view in views]).backward()
    return x.grad


@eot_gradient.wrong("input flags")
def flags_left(model, x, y, views):
    x.requires_grad_()
    return torch.autograd.grad(mean([summed(model(view(x)), y) for view in views]), x)[0]


@eot_gradient.wrong("crash")
def cut_off(model, x, y, views):
    x = x.detach().clone().requires_grad_()
    loss = sum(summed(model(view(x).detach()), y) for view in views)
    return torch.autograd.grad(loss, x)[0]


@eot_gradient.wrong("formula")
def weights_fall(model, x, y, views):
    found = each(model, x, y, views)
    return sum(g / 2 ** (i + 1) for i, g in enumerate(found))


@eot_gradient.wrong("shape")
def one_for_each_view(model, x, y, views):
    return torch.stack(each(model, x, y, views))


def two_views(task: Task, draw: Draw) -> Case:
    return task.case(draw, **some_views(draw, None, 2))


def four_views(task: Task, draw: Draw) -> Case:
    """A question in float64, with four views, and labels that the model does not give."""
    case = in_float64(task, draw).but(**some_views(draw, None, 4))
    with torch.no_grad():
        seen = case.victim.build(torch.float64)(case["x"]).argmax(1)
    return case.but(y=(seen + 1) % case.victim.classes)


def two_questions(task: Task, draw: Draw) -> tuple[Case, Case]:
    return in_float64(task, draw), four_views(task, draw)


def holds_at_large_logits(student: Student, draw: Draw) -> None:
    """Where logits lie thousands apart, and the label's is the smallest, the gradient is that of the cross-entropy too."""
    case = student.task.case(draw, "loud").to(torch.float64)
    case = case.but(replace(case.victim, gain=LOUD))
    with torch.no_grad():
        case = case.but(y=case.victim.build(torch.float64)(case["x"]).argmin(1))
    reply = student.ask(case)
    if reply.kind == TENSOR and alike(reply.value.double(), called(eot_gradient, case)):
        return
    told = (
        "Where logits are large, a softmax is 0 to the last digit, and log(0) or log(p + 1e-8) has no right gradient. Take "
        "cross_entropy, or log_softmax(1) of the logits, and no logarithm of a softmax."
    )
    raise Finding("logarithm of a softmax", told)


eot_gradient.checks(
    *FIRST,
    other_classes,
    other_amount("It works for three views and fails for two.", two_views),
    gives(eot_gradient, by=GRADIENTS, make=two_questions),
    holds_at_large_logits,
    treats_images_alone,
    other_type,
    other_shape,
    *LAST,
)
