"""What is asked of attacks of many starts: where they start, how they climb, and which of their runs they keep."""

import torch

from advcourse.core.inputs import predict
from advcourse.labs.checks import Student, picture
from advcourse.labs.comparing import MOST, agree, called, formula
from advcourse.labs.definitions import clean, model_of
from advcourse.labs.exercises import Draw
from advcourse.labs.lab1 import loud
from advcourse.labs.lab1.fgsm import fgsm, one_step_from
from advcourse.labs.lab1.gradients import climb, gradient
from advcourse.labs.lab1.questions import COLOUR, each_pixel_has_its_own
from advcourse.labs.verdicts import Finding
from advcourse.labs.victims import Victim
from advcourse.metrics import succeeded

RESTARTS = 20  # on two hills each start fails with probability 1/2, so a right answer with 2^-20
SINGLES = 6  # images attacked alone, to tell the last restart from the best


def starts_at_random(student: Student, draw: Draw) -> None:
    """After one step of next to nothing the images show the start: uniform in the ball. Grey images, so nothing is clipped."""
    eps = draw.number(0.1, 0.2)
    case = student.task.case(draw, grey=True, eps=eps, alpha=eps * 1e-4, steps=1, restarts=1)
    images = student(case)
    u = (images - clean(case)) / eps
    shown = picture(case, images, 0)
    if u.abs().max() < 0.02:
        told = "The first step starts from x. Start from a random point of the ball: x plus numbers drawn from [-eps, eps]."
        raise Finding("no randomness", told, shown)
    if u.abs().max() > 1.01:
        told = f"A start is {u.abs().max() * eps:.3f} away from x; the budget eps is {eps}. The start must lie in the ball too."
        raise Finding("start outside the ball", told, shown)
    if u.mean().abs() > 0.2:
        told = "The starts all lie on one side of x. Numbers from torch.rand are in [0, 1): stretch them to [-eps, eps]."
        raise Finding("one-sided", told, shown)
    if (u[0] - u[1]).abs().max() < 0.02:
        told = "All images of the batch start with the same noise. Draw numbers for the whole shape of x."
        raise Finding("one noise for all", told, shown)
    if (u.abs() > 0.98).double().mean() > 0.1 or abs(u.std() - 3**-0.5) > 0.1:
        told = "The starts are not spread evenly over the ball. Draw each pixel's change uniformly from [-eps, eps]."
        raise Finding("start not uniform", told, shown)


def starts_in_colour(student: Student, draw: Draw) -> None:
    """In colour, too, each value of an image starts at a place of its own."""
    eps = draw.number(0.1, 0.2)
    settings = {"eps": eps, "alpha": eps * 1e-4, "steps": 1, "restarts": 1}
    case = student.task.case(draw, grey=True, **COLOUR, **settings)
    images = student(case)
    each_pixel_has_its_own(case, (images - clean(case)) / eps, images)


def follows_the_gradient(student: Student, draw: Draw) -> None:
    """One seed, one start: what two step sizes give differs by the step, which is that of fgsm from the start."""
    case, size = loud.hesitant(student.task, draw, eps=0.2, alpha=5e-7, steps=1, restarts=1), 0.03
    start, images = student(case), student(case.but(alpha=size))
    free = (start - clean(case)).abs() < 0.13  # not cut by the ball, whichever way the step goes
    step = ((images - start) / size)[free]
    shown = picture(case, images, 0)

    def along(expected):
        return ((images - expected)[free].abs() < 0.01 * size).double().mean() >= MOST

    def stepped(function, x):
        return called(function, one_step_from(case, x, size))

    if along(stepped(fgsm, start)):
        return
    if along(start):
        told = "With steps=1 the images stay at their random start. The loop takes range(steps), and x_i must be what it changes."
        raise Finding("too few steps", told, shown)
    if along(start + stepped(fgsm, clean(case)) - clean(case)):
        told = (
            "The gradient is taken at x. Take it at x_i, the image so far, which begins at the random start."
        )
        raise Finding("gradient at x", told, shown)
    forth_and_back = (step.abs() - 1).abs() > 0.99  # 2, or 0
    if step.abs().mean() > 1.2 and forth_and_back.double().mean() > MOST:
        raise Finding(
            "too many steps", "With steps=1 two steps are taken: the loop takes range(steps).", shown
        )
    uphill = gradient(model_of(case), start, case.labels)[free]
    if torch.nn.functional.cosine_similarity(step, uphill, dim=0).abs() > 0.9:
        told = "The step is the gradient itself, long or short as it happens to be. Take its sign."
        raise Finding("no sign", told, shown)
    for slip in fgsm.slips:
        if slip.test is None and along(stepped(slip.function, start)):
            raise Finding(slip.key, slip.message, shown)
    raise formula(case, images, stepped(fgsm, start))


def starts_in_the_box(student: Student, draw: Draw) -> None:
    """A step from where x is 0 leads to 0 or alpha, if it began in the box at 0."""
    case = student.task.case(draw, eps=0.2, alpha=1e-6, steps=1, restarts=1)
    longer = case.but(alpha=0.06)
    start, images = student(case), student(longer)
    black = (case["x"] == 0) & (start < 1e-5)
    between = (images[black] > 0.003) & (images[black] < 0.057)
    if between.double().mean() > 0.05:
        told = "A start leaves [0, 1], and the first gradient is taken where no image is. Project the start, too."
        raise Finding("start outside the box", told, picture(case, images, 0))


def _on_two_hills(student, draw, n, restarts, kind="two hills"):
    """A case in which a random start decides: half of the starts end on a hill that fools nothing."""
    eps, shape = draw.number(0.1, 0.2), (1, 4, 4)
    x = 0.3 + 0.4 * draw.uniform((n, *shape))
    x[:, 0, 0, 0] = 0.5
    settings = {"x": x, "y": torch.zeros(n, dtype=torch.long), "eps": eps, "alpha": eps / 2, "steps": 4}
    case = student.task.case(draw, n=n, shape=shape, restarts=restarts, **settings)
    return case.but(Victim(kind, shape=shape, classes=2, size=eps))


def _fooled(case, images):
    return succeeded(predict(case.victim.build(), images.float().clamp(0, 1)), case.labels)


def climbs_from_its_start(student: Student, draw: Draw) -> None:
    """On two hills the way up shows at the start alone: at x, in the valley, the model has no gradient."""
    case = _on_two_hills(student, draw, 16, restarts=1)
    images = student(case)
    along = (images - clean(case))[:, 0, 0, 0].abs()
    if (along < 0.99 * case["eps"]).any():
        told = (
            "The steps do not climb from the place that they have reached. Take the gradient at x_i, which begins at the random "
            "start; at x itself this model has none."
        )
        raise Finding("gradient at x", told)


def counts_a_run_by_its_end(student: Student, draw: Draw) -> None:
    """A run counts by its end: steps from corner to corner of the ball lose what the first of them has gained."""
    eps = draw.number(0.1, 0.2)
    case = student.task.case(draw, n=8, grey=True, eps=eps, alpha=2 * eps, steps=2, restarts=1)
    before, images = student(case.but(steps=1)), student(case)
    expected = climb(model_of(case), before, clean(case), case.labels, eps, case["alpha"], 1)
    if agree(images, expected):
        return
    if agree(images, before):
        told = (
            "Of one run the best image on the way is kept, here that after the first of two steps. The runs are compared by "
            "their ends: take the loss after the last step."
        )
        raise Finding("best on the way", told, picture(case, images, 0))
    raise formula(case, images, expected)


def keeps_the_best(student: Student, draw: Draw) -> None:
    """Of many restarts it keeps, for each image, the one that does best."""
    case = _on_two_hills(student, draw, 16, restarts=RESTARTS)
    images = student(case)
    singles = [case.image(i).but(seed=draw.integer()) for i in range(SINGLES)]
    if all(torch.equal(student(asked), student(asked.but(restarts=1))) for asked in (case, *singles)):
        told = f"{RESTARTS} restarts give what one gives. Draw a new start in each, from one generator made before the loop."
        raise Finding("restarts alike", told)
    fooled = [bool(_fooled(one, student(one))) for one in singles]
    if not any(fooled):
        told = f"Of {RESTARTS} restarts the weakest is kept. Compare the losses the other way round."
        raise Finding("keeps the weakest", told)
    left = ~_fooled(case, images)
    if left.any():  # each image alone: the last of all restarts may have fooled those few by luck
        more = [case.image(i).but(seed=draw.integer()) for i in range(len(left))]
        fooled += [bool(_fooled(one, student(one))) for one in more]
    if not all(fooled):
        told = (
            f"With {RESTARTS} restarts {len(fooled) - sum(fooled)} of {len(fooled)} images still withstand, though about every "
            "second start fools them. Keep the best result so far; the last is only one of them."
        )
        raise Finding("keeps the last", told)
    if left.any():
        told = (
            f"Alone each image is fooled; in a batch {int(left.sum())} of {len(left)} are not. "
            "The best restart is another one for each image: compare and choose image by image."
        )
        raise Finding("best of the batch", told)


def keeps_the_largest_loss(student: Student, draw: Draw) -> None:
    """Where no restart fools, the best is the one with the largest loss all the same."""
    case = _on_two_hills(student, draw, 16, RESTARTS, "low hills")
    low = (student(case) - clean(case))[:, 0, 0, 0] < 0
    if low.any():
        told = (
            f"Where no restart fools the model, {int(low.sum())} of {len(low)} images come back with less than their largest "
            "loss. Choose by the loss of each image, not by whether it fools."
        )
        raise Finding("best by success", told)
