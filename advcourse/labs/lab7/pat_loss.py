"""Lab 7: the loss of adversarial images alone, those of PGD's last iterates."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from advcourse.labs.exercises import Case, Draw, Task, exercise
from advcourse.labs.lab7.answering import evaluating, kept_off, of_probabilities, of_ten_classes, own
from advcourse.labs.lab7.given import climb
from advcourse.labs.lab7.losses import (
    FIRST,
    LAST,
    PARTLY,
    SOFTMAX_TWICE,
    in_logarithms,
    learning,
    one_number,
    trains_as,
    two_learning,
)


def near_start(draw: Draw, x: Tensor) -> dict[str, Tensor | float]:
    """A budget, a step so long that the last point is not always the best, and a random point of the ball."""
    eps = draw.number(0.1, 0.2)
    start = (x + eps * (2 * draw.uniform(x.shape) - 1)).clamp(0, 1)
    return {"start": start, "eps": eps, "alpha": round(1.2 * eps, 3), "steps": 4 + draw.integer() % 3}


def attacked(model, x, y, start, eps, alpha, steps):
    """All iterates, made in eval mode."""
    with evaluating(model):
        return climb(model, x, y, start, eps, alpha, steps)


def mean_losses(model, points, y):
    """The mean loss at each of several points."""
    return torch.stack([cross_entropy(model(x_i), y) for x_i in points])


@exercise(
    "Adversarial images alone",
    4,
    near_start,
    (
        "Three things in this order: the attack in eval mode; the mode that the model had before; the loss. climb asks the "
        "model in the mode that it is in.",
        "was = model.training; model.eval(); x_adv = climb(model, x, y, start, eps, alpha, steps)[-1]; model.train(was).",
        "Then return cross_entropy(model(x_adv), y). No clean image has a part in it.",
    ),
    shape=one_number,
)
def pat_loss(model, x, y, start, eps, alpha, steps):
    return cross_entropy(model(attacked(model, x, y, start, eps, alpha, steps)[-1]), y)


@pat_loss.slip(
    "attack in training mode",
    "The attack asks the model in training mode, where each batch has statistics of its own, and every step moves the "
    "running ones. Switch to model.eval() before the attack, and back before the loss.",
)
def never_in_eval_mode(model, x, y, start, eps, alpha, steps):
    return cross_entropy(model(climb(model, x, y, start, eps, alpha, steps)[-1]), y)


@pat_loss.slip(*PARTLY)
def batch_normalisation_alone_in_eval_mode(model, x, y, start, eps, alpha, steps):
    with evaluating(model, nn.BatchNorm2d):
        x_adv = climb(model, x, y, start, eps, alpha, steps)[-1]
    return cross_entropy(model(x_adv), y)


@pat_loss.slip("partly in training mode")
def dropout_alone_in_eval_mode(model, x, y, start, eps, alpha, steps):
    with evaluating(model, nn.Dropout):
        x_adv = climb(model, x, y, start, eps, alpha, steps)[-1]
    return cross_entropy(model(x_adv), y)


@pat_loss.slip(
    "loss in eval mode",
    "The attack is made in eval mode, and the loss is taken in it too. Put the mode back before the loss, not after it.",
)
def back_too_late(model, x, y, start, eps, alpha, steps):
    with evaluating(model):
        return pat_loss(model, x, y, start, eps, alpha, steps)


@pat_loss.slip(*SOFTMAX_TWICE)
def probabilities_as_logits(model, x, y, start, eps, alpha, steps):
    return of_probabilities(model(attacked(model, x, y, start, eps, alpha, steps)[-1]), y).mean()


@pat_loss.slip("clean loss", "This is the loss of the clean images. Give the model the attacked ones.")
def attack_unused(model, x, y, start, eps, alpha, steps):
    attacked(model, x, y, start, eps, alpha, steps)
    return cross_entropy(model(x), y)


@pat_loss.slip(
    "clean images too",
    "Half of the loss is that of the clean images. The loss of Madry et al. is that of the adversarial ones alone; the "
    "mixture buys clean accuracy with robustness.",
)
def half_and_half(model, x, y, start, eps, alpha, steps):
    return (pat_loss(model, x, y, start, eps, alpha, steps) + cross_entropy(model(x), y)) / 2


@pat_loss.slip("clean images too")
def both_in_one_batch(model, x, y, start, eps, alpha, steps):
    x_adv = attacked(model, x, y, start, eps, alpha, steps)[-1]
    return cross_entropy(model(torch.cat([x, x_adv])), torch.cat([y, y]))


@pat_loss.slip(
    "from the image", "The attack starts at x. There the loss of a trained model is flat. Start at `start`."
)
def no_random_start(model, x, y, start, eps, alpha, steps):
    return pat_loss(model, x, y, x, eps, alpha, steps)


@pat_loss.slip(
    "start alone",
    "This is the loss at the start, before any step. Take the last iterate: climb(...)[-1].",
)
def first_of_all(model, x, y, start, eps, alpha, steps):
    return cross_entropy(model(attacked(model, x, y, start, eps, alpha, steps)[0]), y)


@pat_loss.slip("one step", "This is the loss after the first step. Take the last iterate: climb(...)[-1].")
def one_step(model, x, y, start, eps, alpha, steps):
    return pat_loss(model, x, y, start, eps, alpha, 1)


@pat_loss.slip(
    "last but one",
    "This is the loss of the last iterate but one. climb gives steps + 1 points, for the start is one: the last is [-1].",
)
def counted_from_one(model, x, y, start, eps, alpha, steps):
    return cross_entropy(model(attacked(model, x, y, start, eps, alpha, steps)[steps - 1]), y)


@pat_loss.slip(
    "best iterate",
    "Of several points you take the one of the largest loss, for each image or for the batch. That makes an attack stronger; the "
    "training of Madry et al. takes the last iterate, whatever its loss.",
)
def strongest_of_all(model, x, y, start, eps, alpha, steps):
    iterates = attacked(model, x, y, start, eps, alpha, steps)
    still = copy.deepcopy(model).eval()
    with torch.no_grad():
        best = torch.stack([own(still(x_i), y) for x_i in iterates]).argmax(0)
    return cross_entropy(model(iterates[best, torch.arange(len(x), device=x.device)]), y)


@pat_loss.slip("best iterate")
def best_for_the_batch(model, x, y, start, eps, alpha, steps):
    iterates = attacked(model, x, y, start, eps, alpha, steps)
    with torch.no_grad():
        best = mean_losses(copy.deepcopy(model).eval(), iterates, y).argmax()
    return cross_entropy(model(iterates[best]), y)


@pat_loss.slip("best iterate")
def largest_loss(model, x, y, start, eps, alpha, steps):
    return mean_losses(model, attacked(model, x, y, start, eps, alpha, steps), y).max()


@pat_loss.slip("best iterate")
def start_if_it_is_worse(model, x, y, start, eps, alpha, steps):
    return mean_losses(model, attacked(model, x, y, start, eps, alpha, steps)[[0, -1]], y).max()


@pat_loss.slip("best iterate")
def clean_images_if_they_are_worse(model, x, y, start, eps, alpha, steps):
    return mean_losses(model, [x, attacked(model, x, y, start, eps, alpha, steps)[-1]], y).max()


@pat_loss.slip("best iterate")
def last_but_one_if_it_is_worse(model, x, y, start, eps, alpha, steps):
    return mean_losses(model, attacked(model, x, y, start, eps, alpha, steps)[-2:], y).max()


@pat_loss.slip(
    "own answer",
    "The attack climbs the loss of the model's own answers. Here it climbs that of the labels y.",
)
def climbs_its_own_answer(model, x, y, start, eps, alpha, steps):
    answer = copy.deepcopy(model).eval()(x).argmax(1)
    return cross_entropy(model(attacked(model, x, answer, start, eps, alpha, steps)[-1]), y)


@pat_loss.slip(
    "downhill",
    "The attack makes the loss smaller, so that the model learns from images that help it. Go up the gradient.",
)
def step_of_the_wrong_sign(model, x, y, start, eps, alpha, steps):
    return pat_loss(model, x, y, start, eps, -alpha, steps)


@pat_loss.slip(
    "no budget",
    "The iterates leave the ball of size eps around x. Clip each to [x - eps, x + eps], then to [0, 1].",
)
def anywhere(model, x, y, start, eps, alpha, steps):
    return pat_loss(model, x, y, start, 1.0, alpha, steps)


@pat_loss.right
def on_a_copy(model, x, y, start, eps, alpha, steps):
    still = copy.deepcopy(model).eval()
    x_adv = start.clone()
    for _ in range(steps):
        x_adv = x_adv.detach().requires_grad_()
        (-torch.log_softmax(still(x_adv), 1).gather(1, y[:, None])).sum().backward()
        x_adv = x_adv + alpha * x_adv.grad.sign()
        x_adv = torch.minimum(torch.maximum(x_adv, x - eps), x + eps).clamp(0, 1)
    return -torch.log_softmax(model(x_adv.detach()), 1).gather(1, y[:, None]).mean()


@pat_loss.wrong("mode lost")
def left_in_eval_mode(model, x, y, start, eps, alpha, steps):
    return pat_loss(model.eval(), x, y, start, eps, alpha, steps)


@pat_loss.wrong("always training")
def back_to_training_in_any_case(model, x, y, start, eps, alpha, steps):
    return pat_loss(model.train(), x, y, start, eps, alpha, steps)


@pat_loss.wrong("plain number")
def item(model, x, y, start, eps, alpha, steps):
    return pat_loss(model, x, y, start, eps, alpha, steps).item()


@pat_loss.wrong("parameter gradients")
def own_loop_that_goes_backward(model, x, y, start, eps, alpha, steps):
    x_i = start.clone()
    with evaluating(model):
        for _ in range(steps):
            x_i = x_i.detach().requires_grad_()
            cross_entropy(model(x_i), y, reduction="sum").backward()
            x_i = (x_i.detach() + alpha * x_i.grad.sign()).clamp(x - eps, x + eps).clamp(0, 1)
    return cross_entropy(model(x_i), y)


@pat_loss.wrong("shape")
def all_iterates(model, x, y, start, eps, alpha, steps):
    return mean_losses(model, attacked(model, x, y, start, eps, alpha, steps), y)


@pat_loss.wrong("formula")
def twice_the_budget(model, x, y, start, eps, alpha, steps):
    return pat_loss(model, x, y, start, 2 * eps, alpha, steps)


@pat_loss.wrong("crash")
def batch_and_iterates_mixed_up(model, x, y, start, eps, alpha, steps):
    return cross_entropy(model(attacked(model, x, y, start, eps, alpha, steps)), y)


@pat_loss.wrong("logarithm of a softmax")
def kept_off_0(model, x, y, start, eps, alpha, steps):
    return kept_off(1e-8)(model(attacked(model, x, y, start, eps, alpha, steps)[-1]), y).mean()


@pat_loss.wrong("logarithm of a softmax")
def logarithm_of_the_softmax(model, x, y, start, eps, alpha, steps):
    p = model(attacked(model, x, y, start, eps, alpha, steps)[-1]).softmax(1)
    return -p.log().gather(1, y[:, None]).mean()


@pat_loss.wrong("formula")
def always_five_steps(model, x, y, start, eps, alpha, steps):
    return pat_loss(model, x, y, start, eps, alpha, 5)


@pat_loss.wrong("formula")
def summed(model, x, y, start, eps, alpha, steps):
    return len(x) * pat_loss(model, x, y, start, eps, alpha, steps)


@pat_loss.wrong("formula")
def mean_of_all_iterates(model, x, y, start, eps, alpha, steps):
    return mean_losses(model, attacked(model, x, y, start, eps, alpha, steps), y).mean()


@pat_loss.wrong("other classes")
def ten_classes(model, x, y, start, eps, alpha, steps):
    return of_ten_classes(model(attacked(model, x, y, start, eps, alpha, steps)[-1]), y).mean()


def some_lengths(task: Task, draw: Draw) -> tuple[Case, ...]:
    """Some steps, one more, and a single one; and one over a ridge, beyond which the loss is far below that of the start."""
    some, more = two_learning(task, draw)
    steps = some["steps"] + 2
    lengths = some.but(steps=steps), more.but(steps=steps + 1), some.but(steps=1)
    return *lengths, over_the_ridge(task, draw)


def over_the_ridge(task: Task, draw: Draw) -> Case:
    """Images just below a ridge, and high: the step crosses it, and beyond it the loss is next to 0."""
    case = learning(task, draw, "ridge", n=3, classes=2)
    eps, along = draw.number(0.05, 0.1), case.victim.build().slopes[0].detach().view(1, *case["x"].shape[1:])
    x = 0.5 + (0.35 + 0.1 * draw.uniform((3, 1, 1, 1))) * along
    start = x - 0.1 * eps * along
    x[:, 0, 0, 0], start[:, 0, 0, 0] = 0.5 - 0.5 * eps, 0.5 - 0.3 * eps
    x[:, -1, -1, -1] = start[:, -1, -1, -1] = 0.0
    alpha = round(1.2 * eps, 3)
    return case.but(x=x, y=torch.zeros(3, dtype=torch.long), start=start, eps=eps, alpha=alpha, steps=1)


def no_attack(case: Case) -> dict[str, Tensor | float]:
    """A budget of 0, where all iterates are the image."""
    return {"start": case["x"], "eps": 0.0}


pat_loss.checks(*FIRST, trains_as(pat_loss, some_lengths), in_logarithms(pat_loss, change=no_attack), *LAST)
