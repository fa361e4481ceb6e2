"""Lab 8: a vote in the neighbourhood."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from advcourse.labs.checks import Student
from advcourse.labs.comparing import NUMBERS, gives
from advcourse.labs.exercises import Case, Draw, Task, exercise
from advcourse.labs.lab8.defended import AtMost
from advcourse.labs.lab8.questions import FIRST, LAST, DefendedTask
from advcourse.labs.properties import other_classes, other_shape, treats_images_alone
from advcourse.labs.running import CRASH
from advcourse.labs.verdicts import Finding


class InParts(DefendedTask):
    """Its model refuses more than `most` images at once."""

    parts = (("at most", "most"),)


def voters(draw: Draw, x: Tensor, number: int = 30, most: int = 16) -> dict[str, Tensor | int]:
    """Uniform noise of a cube, and how many images may go through the model at once."""
    radius = draw.number(0.35, 0.45)
    noise = radius * (2 * draw.uniform((number, *x.shape[1:])) - 1)
    return {"noise": noise, "most": most}


def logits_of(model, images, most):
    """The logits of any number of images, in parts."""
    with torch.no_grad():
        return torch.cat([model(part) for part in images.split(most)])


def noisy(x, noise):
    return (x[:, None] + noise).clamp(0, 1).flatten(0, 1)


def counted(logits, n):
    """The votes (n, K) of the logits of n times as many images."""
    return one_hot(logits.argmax(1), logits.shape[1]).view(n, -1, logits.shape[1]).sum(1)


@exercise(
    "A vote in the neighbourhood",
    3,
    voters,
    (
        "All N * M noisy images: x[:, None] + noise is (N, M, C, H, W). Clip them, and flatten the first two axes.",
        "images.split(most) gives parts of at most `most`. For each part: model(part).argmax(1); torch.cat joins the answers, "
        "and view(N, M) puts them in order again.",
        "logits = torch.cat([model(part) for part in images.split(most)]); one_hot(logits.argmax(1), "
        "logits.shape[1]).view(N, M, -1).sum(1) are the votes, under torch.no_grad().",
    ),
    shape=lambda case: (len(case["x"]), case.victim.classes),
    numbers="whole",
    kind=InParts,
)
def region_votes(model, x, noise, most):
    return counted(logits_of(model, noisy(x, noise), most), len(x))


@region_votes.slip(
    "no clip",
    "The noisy images are not clipped to [0, 1]. The model is then asked for things that are no images: (x + u).clamp(0, 1).",
)
def unclipped(model, x, noise, most):
    return counted(logits_of(model, (x[:, None] + noise).flatten(0, 1), most), len(x))


@region_votes.slip(
    "clipped noise", "The noise is clipped, not the sum: its dark half is lost. Add first, then clip."
)
def clipped_too_early(model, x, noise, most):
    return region_votes(model, x, noise.clamp(0, 1), most)


@region_votes.slip("no noise", "All voters see the image itself. Each has noise of its own: x + noise[j].")
def m_times_the_same(model, x, noise, most):
    return region_votes(model, x, torch.zeros_like(noise), most)


@region_votes.slip("noise alone", "The voters see the noise without the image.")
def without_the_image(model, x, noise, most):
    return region_votes(model, torch.zeros_like(x), noise, most)


@region_votes.slip(
    "itself too", "The image itself votes too. Only the M noisy ones do; each row must sum to M."
)
def one_more_voter(model, x, noise, most):
    return region_votes(model, x, torch.cat([torch.zeros_like(noise[:1]), noise]), most)


def probabilities(model, x, noise, most):
    """Those of all voters, (N, M, K)."""
    return logits_of(model, noisy(x, noise), most).softmax(1).unflatten(0, (len(x), -1))


@region_votes.slip(
    "probabilities",
    "The voters' probabilities are added up. A voter has one vote, for the class that it sees, however sure it is.",
)
def soft_votes(model, x, noise, most):
    return probabilities(model, x, noise, most).sum(1)


@region_votes.slip(
    "mean probabilities",
    "This is the mean of the voters' probabilities. A voter has one vote, for the class that it sees, however sure it is.",
)
def mean_of_soft_votes(model, x, noise, most):
    return probabilities(model, x, noise, most).mean(1)


@region_votes.slip(
    "logits",
    "The voters' logits are averaged. That is no vote: one voter with large logits outvotes many. Count argmax.",
)
def mean_logits(model, x, noise, most):
    return logits_of(model, noisy(x, noise), most).unflatten(0, (len(x), -1)).mean(1)


@region_votes.slip("shares", "These are shares. Return the counts: each row sums to M.")
def divided(model, x, noise, most):
    return region_votes(model, x, noise, most) / len(noise)


@region_votes.slip(
    "winner alone",
    "Only the winner of the mean logits has votes, and it has all. Count each voter's own argmax.",
)
def winner_of_the_mean(model, x, noise, most):
    mean = mean_logits(model, x, noise, most)
    return len(noise) * one_hot(mean.argmax(1), mean.shape[1])


@region_votes.slip(
    "one row for all", "Every image has the votes of all images together. Keep a row for each."
)
def summed_over_images(model, x, noise, most):
    return region_votes(model, x, noise, most).sum(0, keepdim=True).repeat(len(x), 1)


@region_votes.slip(
    "last part lost",
    "The votes of the last part are missing: it is smaller than the others. tensor.split(most) gives it too.",
)
def full_parts_alone(model, x, noise, most):
    images = noisy(x, noise)
    votes = torch.zeros(len(x), 10, device=x.device)
    for k in range(len(images) // most):
        part = images[k * most : (k + 1) * most]
        with torch.no_grad():
            seen = model(part).argmax(1)
        for i, c in enumerate(seen.tolist()):
            votes[(k * most + i) // len(noise), c] += 1
    return votes


@region_votes.slip("last part lost")
def full_parts_of_voters_alone(model, x, noise, most):
    images = (x + noise[:, None]).clamp(0, 1).flatten(0, 1)  # voter by voter
    whole = len(images) // most * most
    logits = logits_of(model, images[:whole], most)
    votes = logits.new_zeros(len(images), logits.shape[1])
    votes[:whole] = one_hot(logits.argmax(1), logits.shape[1]).to(votes)
    return votes.unflatten(0, (-1, len(x))).sum(0)


@region_votes.right
def image_by_image(model, x, noise, most):
    rows = []
    for image in x:
        seen = logits_of(model, (image + noise).clamp(0, 1), most)
        rows.append(torch.bincount(seen.argmax(1), minlength=seen.shape[1]))
    return torch.stack(rows)


@region_votes.right
def by_numbers(model, x, noise, most):
    votes = None
    for pairs in torch.arange(len(x) * len(noise), device=x.device).split(most):
        image, voter = pairs // len(noise), pairs % len(noise)
        with torch.no_grad():
            logits = model((x[image] + noise[voter]).clamp(0, 1))
        votes = logits.new_zeros(len(x), logits.shape[1]) if votes is None else votes
        votes.index_add_(0, image, one_hot(logits.argmax(1), logits.shape[1]).to(votes))
    return votes


@region_votes.wrong("too many at once")
def voter_by_voter(model, x, noise, most):
    with torch.no_grad():
        seen = torch.stack([model((x + u).clamp(0, 1)).argmax(1) for u in noise])
    return one_hot(seen, 10).sum(0)


@region_votes.wrong("formula")
def subtracted(model, x, noise, most):
    return region_votes(model, x, -noise, most)


@region_votes.wrong("shape")
def the_class(model, x, noise, most):
    return region_votes(model, x, noise, most).argmax(1)


@region_votes.wrong("input")
def added_in_place(model, x, noise, most):
    x += 0 * noise[0]
    noise *= 0.5
    return region_votes(model, x, 2 * noise, most)


@region_votes.wrong("buffers")
def in_training_mode(model, x, noise, most):
    model.train()
    votes = region_votes(model, x, noise, most)
    model.eval()
    return votes


@region_votes.wrong("crash")
def noise_without_an_axis(model, x, noise, most):
    return one_hot(model((x + noise).clamp(0, 1)).argmax(1), 10)


@region_votes.wrong("other classes")
def ten_classes(model, x, noise, most):
    seen = logits_of(model, noisy(x, noise), most).argmax(1)
    return one_hot(seen, 10).view(len(x), len(noise), 10).sum(1)


def many_of_both(task: Task, draw: Draw) -> list[Case]:
    """More voters than go through at once; and more images. The last part is not full."""
    sizes = ((3, 41, 16), (24, 6, 7))
    cases = [
        task.case(draw, n=n, **voters(draw, torch.empty(n, 1, 28, 28), number, most))
        for n, number, most in sizes
    ]
    return [case.to(torch.float64) for case in cases]


def asks_in_parts(student: Student, draw: Draw) -> None:
    """No more than `most` images go through the model at once, whether there are many voters or many images."""
    for case in many_of_both(student.task, draw):
        reply = student.ask(case)
        if reply.kind == CRASH and AtMost.TOLD in reply.detail:
            given = reply.detail.splitlines()[-1].split(":", 1)[1].strip()
            told = (
                f"The model was given {given}, the limit `most`. Make the N * M noisy images, or their numbers, and take "
                "them in parts of at most `most`. N and M may each be larger than that."
            )
            raise Finding("too many at once", told)


region_votes.checks(
    *FIRST,
    asks_in_parts,
    gives(region_votes, by=NUMBERS, make=many_of_both),
    other_classes,
    treats_images_alone,
    other_shape,
    *LAST,
)
