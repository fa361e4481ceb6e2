"""Lab 5: tasks whose model stands behind a phone, how often photographs are misread, and what is asked of their attacks."""

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from advcourse import data
from advcourse.labs.checks import Student, picture
from advcourse.labs.exercises import Case, Draw, Task
from advcourse.labs.lab5.cameras import Net, Phone, Photographed, StrictPhone
from advcourse.labs.running import CRASH
from advcourse.labs.verdicts import Finding

SIGNS = "signs-phone"  # the net that reads photographs of signs
TRIED = 6  # photographs in which a sign must be read rightly before it is attacked


class PhotographedTask(Task):
    """A task whose model is `nn.Sequential(camera, f)`."""

    def case(self, draw: Draw, kind: str = "plain", n: int = 4, most: int = 0, **how: Any) -> Case:
        """As `Task.case`; `most`: of a strict phone, see `cameras.Photographed`."""
        case = super().case(draw, kind, n, **how)
        return case.but(Photographed(**vars(case.victim), most=most))


def logits_of_photographs(victim: Photographed, images: Tensor, seeds: list[int]) -> Tensor:
    """The logits (photographs, N, K) of one photograph of each image for each seed."""
    f, camera = Net.build(victim), Phone()
    with torch.no_grad():
        return torch.stack([f(camera(images.float(), seed)) for seed in seeds])


def misread(victim: Photographed, images: Tensor, y: Tensor, seeds: list[int]) -> Tensor:
    """The share of each image's photographs that are not read as y, (N,)."""
    return (logits_of_photographs(victim, images, seeds).argmax(2) != y).double().mean(0)


def unseen(draw: Draw, number: int) -> list[int]:
    """Seeds of photographs that no attack knows."""
    return [draw.integer() for _ in range(number)]


@cache
def readable() -> tuple[Tensor, Tensor]:
    """Held-out signs that the net reads rightly, on the screen and in some photographs of each; and their labels."""
    x, y = data.load("signs", "test").pick(400)
    victim = Photographed(SIGNS)
    with torch.no_grad():
        known = Net.build(victim)(x).argmax(1) == y
    known &= misread(victim, x, y, list(range(TRIED))) == 0
    return x[known], y[known]


def signs(task: Task, draw: Draw, n: int, **settings: Any) -> Case:
    """The question about `n` readable signs."""
    x, y = readable()
    chosen = draw.uniform((len(x),)).argsort()[:n]
    return task.case(draw, SIGNS, n, classes=16, x=x[chosen], y=y[chosen], **settings)


def loss_in_photographs(case: Case, images: Tensor, y: Tensor, seeds: list[int]) -> float:
    """The mean cross-entropy over photographs with these seeds."""
    logits = logits_of_photographs(case.victim, images, seeds)
    return cross_entropy(logits.flatten(0, 1), y.repeat(len(seeds))).item()


def stays_near_the_image(student: Student, draw: Draw) -> None:
    """With a small budget and three steps: within eps of x, and told apart where it is not."""
    case = student.task.case(draw, grey=True, eps=0.01, steps=3)
    images = student(case)
    moved = (images - case["x"].double()).abs().flatten(1).amax(1)
    size, worst = moved.max().item(), int(moved.argmax())
    if size <= 0.01 + 1e-5:
        return
    told = f"A pixel moves by {size:.3f}, and eps is 0.01."
    if size > 3.5 * 0.01:
        why = (
            "So much is what the camera changes: what you clip, or return, is a photograph. Look through the camera for the "
            "gradient alone, and change and clip the image that goes in, x_i."
        )
        raise Finding("clips the photograph", f"{told} {why}", picture(case, images, worst))
    why = (
        "The steps add up: each is kept near the image of the step before. The ball is around x, the clean image: x_i.clamp(x - "
        "eps, x + eps)."
    )
    raise Finding("ball around the last iterate", f"{told} {why}", picture(case, images, worst))


def takes_new_photographs(student: Student, draw: Draw) -> None:
    """No seed is asked for twice, and no more photographs are taken than `steps` steps of `draws` draws take."""
    case = student.task.case(draw, steps=3, draws=2, most=6)
    reply = student.ask(case)
    if reply.kind == CRASH and StrictPhone.AGAIN in reply.detail:
        told = (
            "The same seed is asked for again, so that the photographs are the old ones: the attack learns a few photographs by "
            "heart. Take another seed for each draw of each step: i * draws + k."
        )
        raise Finding("same draws", told)
    if reply.kind == CRASH and StrictPhone.TOO_MANY in reply.detail:
        told = (
            "steps is 3 and draws is 2, and more than 6 photographs are taken with a gradient. Take `steps` steps, and `draws` "
            "photographs for each."
        )
        raise Finding("too many draws", told)
    student.images(reply, case)


def heeds_draws(student: Student, draw: Draw) -> None:
    """Another number of draws gives other images."""
    case = student.task.case(draw, grey=True, draws=1)
    first, second = student(case), student(case.but(draws=4))
    if torch.equal(first, second):
        told = (
            "One draw a step and four give the very same images. `draws` says over how many photographs each step averages: loop "
            "over range(draws)."
        )
        raise Finding("draws ignored", told, picture(case, first, 0))
