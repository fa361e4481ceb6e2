"""Lab 12: an attack on what the player of a game sees."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from advcourse.labs.comparing import follows, recognises
from advcourse.labs.definitions import logits
from advcourse.labs.exercises import Case, Draw, Task, exercise
from advcourse.labs.lab12.games import FRAMES, frames_of
from advcourse.labs.lab12.seeing import gradient_of_loss, near, preferred, walk
from advcourse.labs.properties import (
    answers,
    asks_the_model,
    changes_the_images,
    keeps_what_it_gets,
    leaves_nothing_behind,
    other_device,
    other_shape,
    other_type,
    stays_in_budget,
    stays_in_the_box,
    treats_images_alone,
)

MOST_DRAWN = 40  # until not all games have the same preferred action


def six_steps(draw: Draw, x: Tensor) -> dict[str, Any]:
    """Steps that reach the border of the ball."""
    eps = draw.number(0.1, 0.2)
    return {"eps": eps, "alpha": round(eps * draw.number(0.25, 0.35), 4), "steps": 6}


class GameTask(Task):
    """Its images are frames of Catch, two for each game, and its classes three actions, of which several are preferred."""

    def case(
        self,
        draw: Draw,
        kind: str = "plain",
        n: int = 4,
        grey: bool = False,
        mixed: bool = False,
        shape: tuple[int, int, int] = FRAMES,
        classes: int = 3,
        **overrides: Any,
    ) -> Case:
        """A fresh question, see `Task.case`. Of `grey` frames no attack of a small budget is clipped."""
        if shape != FRAMES:
            return super().case(draw, kind, n, grey, mixed, shape, classes, **overrides)
        for _ in range(MOST_DRAWN):
            x = frames_of(draw, n)
            given = {"x": 0.4 + 0.2 * x if grey else x, **overrides}
            case = super().case(draw, kind, n, grey, mixed, shape, classes, **given)
            if n == 1 or len(logits(case, case["x"].double()).argmax(1).unique()) > 1:
                break
        return case


@exercise(
    "What the player sees",
    4,
    six_steps,
    (
        "There are no labels in a game. Ask the player once, at the frames as they are: action = model(x).argmax(1). Then it is "
        "PGD: `steps` steps of alpha up the cross-entropy of that action.",
        "Each turn: x_i = x_i.detach().requires_grad_(); the gradient of cross_entropy(model(x_i), action, reduction='sum'); "
        "a step of alpha along its sign; back in the ball around x, and in [0, 1].",
        "x_i = (x_i + alpha * gradient.sign()).clamp(x - eps, x + eps).clamp(0, 1). The action stays the one of the clean x in "
        "all turns. Return x_i.detach().",
    ),
    kind=GameTask,
)
def disturb(model, x, eps, alpha, steps):
    return walk(model, x, preferred(model, x), eps, alpha, steps)


@disturb.slip(
    "descends",
    "The steps go down: the player becomes surer of the action that it prefers. Add alpha times the sign, so that the loss of "
    "that action rises.",
)
def missing_sign(model, x, eps, alpha, steps):
    return walk(model, x, preferred(model, x), eps, -alpha, steps)


@disturb.slip(
    "wrong action",
    "The loss is that of another action than the one that the player prefers: the least likely, or the same for all games. Away "
    "from that leads back to what the player would have done: action = model(x).argmax(1).",
)
def away_from_the_least_likely(model, x, eps, alpha, steps):
    with torch.no_grad():
        action = model(x).argmin(1)
    return walk(model, x, action, eps, alpha, steps)


@disturb.slip("wrong action")
def away_from_left(model, x, eps, alpha, steps):
    return walk(model, x, torch.zeros_like(preferred(model, x)), eps, alpha, steps)


@disturb.slip(
    "one action for all",
    "All games get the action of the first. Each game has a preferred action of its own: argmax(1), over the actions.",
)
def the_first_games_action(model, x, eps, alpha, steps):
    action = preferred(model, x)
    return walk(model, x, action[:1].expand_as(action), eps, alpha, steps)


@disturb.slip(
    "towards the least likely",
    "You go down the loss of the least likely action. That is another attack, ILLC: here go up the loss of the preferred one.",
)
def towards_the_least_likely(model, x, eps, alpha, steps):
    with torch.no_grad():
        action = model(x).argmin(1)
    return walk(model, x, action, eps, -alpha, steps)


@disturb.slip(
    "action asked anew",
    "You ask for the preferred action at each step, at the disturbed frames. Once the player has changed its mind, the next step "
    "drives it back. Ask once, at the clean x, before the loop.",
)
def asks_for_the_action_each_time(model, x, eps, alpha, steps):
    x_i = x
    for _ in range(steps):
        x_i = walk_one(model, x_i, preferred(model, x_i), x, eps, alpha)
    return x_i


def walk_one(model, x_i, action, x, eps, alpha):
    """One step up J(x_i, action), back in the ball around x."""
    return near(x_i + alpha * gradient_of_loss(model, x_i, action).sign(), x, eps)


@disturb.slip(
    "ball around the last frame",
    "The ball lies around the frames of the last step, and so moves along: after `steps` steps they are steps * alpha away. It "
    "lies around the clean x.",
)
def moving_ball(model, x, eps, alpha, steps):
    x_i, action = x, preferred(model, x)
    for _ in range(steps):
        x_i = walk_one(model, x_i, action, x_i, eps, alpha)
    return x_i


@disturb.slip(
    "frames pooled",
    "The two frames share one budget, or one sign. In L-infinity each pixel of each frame has its own eps: no sum, no mean, no "
    "share over the channels.",
)
def half_for_each_frame(model, x, eps, alpha, steps):
    return walk(model, x, preferred(model, x), eps / x.shape[1], alpha, steps)


@disturb.slip("frames pooled")
def one_sign_for_both(model, x, eps, alpha, steps):
    x_i, action = x, preferred(model, x)
    for _ in range(steps):
        slope = gradient_of_loss(model, x_i, action).mean(1, keepdim=True)
        x_i = near(x_i + alpha * slope.sign(), x, eps)
    return x_i


@disturb.slip("frames pooled")
def shared_over_the_frames(model, x, eps, alpha, steps):
    x_i, action = x, preferred(model, x)
    for _ in range(steps):
        moved = x_i + alpha * gradient_of_loss(model, x_i, action).sign() - x
        total = moved.abs().sum(1, keepdim=True)
        x_i = (x + moved * (eps / total.clamp_min(1e-12)).clamp_max(1)).clamp(0, 1)
    return x_i


@disturb.slip(
    "newest frame alone",
    "Only one of the two frames is disturbed. The player sees both, and so both are in x.",
)
def leaves_the_older_frame(model, x, eps, alpha, steps):
    found = x.clone()
    found[:, 1:] = disturb(model, x, eps, alpha, steps)[:, 1:]
    return found


@disturb.slip("newest frame alone")
def never_moves_the_older_frame(model, x, eps, alpha, steps):
    x_i, action = x, preferred(model, x)
    for _ in range(steps):
        slope = gradient_of_loss(model, x_i, action)
        slope[:, :1] = 0
        x_i = near(x_i + alpha * slope.sign(), x, eps)
    return x_i


@disturb.slip(
    "gradient at x",
    "All steps follow the gradient at the clean x: FGSM in small steps. Take it anew at x_i.",
)
def one_gradient(model, x, eps, alpha, steps):
    slope, x_i = gradient_of_loss(model, x, preferred(model, x)), x
    for _ in range(steps):
        x_i = near(x_i + alpha * slope.sign(), x, eps)
    return x_i


@disturb.slip(
    "no sign",
    "The steps follow the gradient itself, long or short as it happens to be. Take its sign.",
)
def sign_forgotten(model, x, eps, alpha, steps):
    x_i, action = x, preferred(model, x)
    for _ in range(steps):
        x_i = near(x_i + alpha * gradient_of_loss(model, x_i, action), x, eps)
    return x_i


@disturb.slip("no sign")
def mean_without_sign(model, x, eps, alpha, steps):
    x_i, action = x, preferred(model, x)
    for _ in range(steps):
        x_i = near(x_i + alpha * gradient_of_loss(model, x_i, action) / len(x), x, eps)
    return x_i


@disturb.slip("too few steps", "One step is missing: the loop takes range(steps).")
def starts_counting_at_one(model, x, eps, alpha, steps):
    return disturb(model, x, eps, alpha, steps - 1)


@disturb.right
def with_a_perturbation(model, x, eps, alpha, steps):
    delta = torch.zeros_like(x)
    action = model(x).detach().argmax(dim=1)
    for _ in range(steps):
        delta.requires_grad_()
        loss = cross_entropy(model(x + delta), action)
        (slope,) = torch.autograd.grad(loss, delta)
        with torch.no_grad():
            delta = (delta + alpha * slope.sign()).clamp(-eps, eps)
            delta = (x + delta).clamp(0, 1) - x
    return x + delta


@disturb.right
def game_by_game(model, x, eps, alpha, steps):
    found = []
    for frames in x.split(1):
        with torch.no_grad():
            action = int(model(frames).argmax())
        x_i, lowest, highest = frames.clone(), (frames - eps).clamp_min(0), (frames + eps).clamp_max(1)
        for _ in range(steps):
            x_i.requires_grad_()
            loss = -model(x_i).log_softmax(1)[0, action]
            loss.backward(inputs=[x_i])
            step = alpha * x_i.grad.sign()
            x_i = torch.min(torch.max(x_i.detach() + step, lowest), highest)
        found.append(x_i)
    return torch.cat(found)


@disturb.wrong("box")
def no_box(model, x, eps, alpha, steps):
    x_i, action = x, preferred(model, x)
    for _ in range(steps):
        step = alpha * gradient_of_loss(model, x_i, action).sign()
        x_i = (x_i + step).clamp(x - eps, x + eps)
    return x_i


@disturb.wrong("other range")
def box_from_minus_one(model, x, eps, alpha, steps):
    x_i, action = x, preferred(model, x)
    for _ in range(steps):
        step = alpha * gradient_of_loss(model, x_i, action).sign()
        x_i = (x_i + step).clamp(x - eps, x + eps).clamp(-1, 1)
    return x_i


@disturb.wrong("budget")
def no_ball(model, x, eps, alpha, steps):
    x_i, action = x, preferred(model, x)
    for _ in range(steps):
        x_i = (x_i + 1.5 * alpha * gradient_of_loss(model, x_i, action).sign()).clamp(0, 1)
    return x_i


@disturb.wrong("units")
def eps_in_grey_levels(model, x, eps, alpha, steps):
    return disturb(model, x, eps / 255, alpha / 255, steps)


@disturb.wrong("perturbation")
def returns_the_change(model, x, eps, alpha, steps):
    return disturb(model, x, eps, alpha, steps) - x


@disturb.wrong("clean image")
def returns_the_frames(model, x, eps, alpha, steps):
    disturb(model, x, eps, alpha, steps)
    return x


@disturb.wrong("ignores the model")
def noise(model, x, eps, alpha, steps):
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, x.shape, generator=generator).to(x) * 2 - 1
    return (x + eps * signs).clamp(0, 1)


@disturb.wrong("mixes images")
def one_disturbance_for_all(model, x, eps, alpha, steps):
    x_i, action = x, preferred(model, x)
    for _ in range(steps):
        slope = gradient_of_loss(model, x_i, action).sum(0, keepdim=True)
        x_i = near(x_i + alpha * slope.sign(), x, eps)
    return x_i


@disturb.wrong("parameter gradients")
def backward_everywhere(model, x, eps, alpha, steps):
    x_i, action = x, preferred(model, x)
    for _ in range(steps):
        x_i = x_i.detach().requires_grad_()
        cross_entropy(model(x_i), action).backward()
        x_i = near(x_i + alpha * x_i.grad.sign(), x, eps)
    return x_i.detach()


@disturb.wrong("attached")
def never_detached(model, x, eps, alpha, steps):
    x_i, action = x.clone().requires_grad_(), preferred(model, x)
    for _ in range(steps):
        (slope,) = torch.autograd.grad(cross_entropy(model(x_i), action), x_i)
        x_i = near(x_i + alpha * slope.sign(), x, eps)
    return x_i


@disturb.wrong("crash")
def needs_a_label(model, x, eps, alpha, steps):
    return walk(model, x, y, eps, alpha, steps)  # noqa: F821


disturb.checks(
    answers,
    keeps_what_it_gets,
    changes_the_images,
    asks_the_model,
    stays_in_the_box,
    recognises(disturb, make=GameTask.case, grey=True, n=6),
    stays_in_budget(),
    treats_images_alone,
    follows(disturb, make=GameTask.case, grey=True),
    follows(disturb, make=GameTask.case),
    other_type,
    other_shape,
    other_device,
    leaves_nothing_behind,
)
