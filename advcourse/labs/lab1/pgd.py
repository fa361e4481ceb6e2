"""Lab 1: many steps from random starts, the best of which is kept."""

import torch
import torch.nn.functional as F
from torch import Tensor

from advcourse import attacks
from advcourse.labs.comparing import follows, recognises
from advcourse.labs.exercises import Draw, exercise
from advcourse.labs.lab1 import loud, many_starts
from advcourse.labs.lab1.fgsm import DESCENDS
from advcourse.labs.lab1.gradients import (
    climb,
    cross_entropies,
    gradient,
    log_odds,
    margin,
    own_logit,
    softmax_twice,
)
from advcourse.labs.lab1.many_steps import projected_too_early
from advcourse.labs.lab1.project import project
from advcourse.labs.lab1.questions import FIRST, LAST, TWO_CLASSES, library
from advcourse.labs.properties import fools, stays_in_budget, uses_seed


def two_starts(draw: Draw, x: Tensor) -> dict[str, float]:
    """Steps that cross the ball from one side to the other."""
    return {
        "eps": (eps := draw.number(0.1, 0.2)),
        "alpha": eps / 2,
        "steps": 6,
        "restarts": 2,
        "seed": draw.integer(),
    }


def noise_like(x, restarts, seed):
    generator = torch.Generator().manual_seed(seed)
    return [2 * torch.rand(x.shape, generator=generator).to(x) - 1 for _ in range(restarts)]


def random_starts(x, eps, restarts, seed):
    return [project(x + eps * u, x, eps) for u in noise_like(x, restarts, seed)]


def best_of(model, y, images, score=log_odds):
    best, most = images[0], torch.full((len(y),), -torch.inf).to(images[0])
    for x_i in images:
        with torch.no_grad():
            loss = score(model(x_i), y)
        best = torch.where((loss > most).view(-1, 1, 1, 1), x_i, best)
        most = torch.maximum(loss, most)
    return best


def best_from(starts, model, x, y, eps, alpha, steps, loss=log_odds):
    return best_of(model, y, [climb(model, start, x, y, eps, alpha, steps, loss) for start in starts])


@exercise(
    "Random starts, and the best of many",
    5,
    two_starts,
    (
        "Make the generator once, before the loop over restarts: then each restart draws another start. The inner loop is bim's, "
        "from that start.",
        "start = x + eps * (2 * u - 1) with u = torch.rand(x.shape, generator=generator).to(x), then project it. For the best "
        "you need one loss for each image: log_odds gives that.",
        "Keep best and best_loss (N,), which begins at minus infinity. After each restart: better = loss > best_loss; "
        "best = torch.where(better.view(-1, 1, 1, 1), x_i, best); and the same for best_loss.",
    ),
)
def pgd(model, x, y, eps, alpha, steps, restarts, seed):
    return best_from(random_starts(x, eps, restarts, seed), model, x, y, eps, alpha, steps)


@pgd.slip("descends", DESCENDS)
def sign_flipped(model, x, y, eps, alpha, steps, restarts, seed):
    return pgd(model, x, y, eps, -alpha, steps, restarts, seed)


@pgd.right
def all_restarts_at_once(model, x, y, eps, alpha, steps, restarts, seed):
    n, rest = len(x), x.shape[1:]
    generator = torch.Generator().manual_seed(seed)
    centre, label = x.repeat(restarts, 1, 1, 1), y.repeat(restarts)
    low, high = (centre - eps).clamp_min(0), (centre + eps).clamp_max(1)
    point = torch.empty(centre.shape).uniform_(-eps, eps, generator=generator).to(x) + centre
    point = torch.min(torch.max(point, low), high)
    for _ in range(steps):
        point.requires_grad_(True)
        log_odds(model(point), label).sum().backward(inputs=[point])
        point = torch.min(torch.max(point.detach() + alpha * point.grad.sign(), low), high)
    with torch.no_grad():
        logits = model(point)
        own = logits.gather(1, label[:, None])[:, 0]
        others = logits.scatter(1, label[:, None], -torch.inf).amax(1)
    chosen = (own - others).view(restarts, n).argmin(0)
    return point.view(restarts, n, *rest)[chosen, torch.arange(n, device=x.device)]


def losses(model, x, y):
    with torch.no_grad():
        return cross_entropies(model(x), y)


@pgd.right
def numpy_seed(model, x, y, eps, alpha, steps, restarts, seed):
    import numpy

    def of_quieter(logits, y):
        now = logits.detach()
        lead = now.gather(1, y[:, None]) - now.scatter(1, y[:, None], -torch.inf).amax(1, keepdim=True)
        return F.cross_entropy(logits / (lead / 8).clamp_min(1), y)

    numbers, best = numpy.random.default_rng(seed), None
    for _ in range(restarts):
        noise = torch.from_numpy(numbers.uniform(-eps, eps, size=tuple(x.shape))).to(x)
        x_i = project(x + noise, x, eps)
        for _ in range(steps):
            x_i = project(x_i + alpha * gradient(model, x_i, y, of_quieter).sign(), x, eps)
        if best is None:
            best = x_i
        here, there = losses(model, best, y).tolist(), losses(model, x_i, y).tolist()
        for i in range(len(x)):
            if there[i] > here[i]:
                best[i] = x_i[i]
    return best


@pgd.wrong("keeps the last")
def last_restart(model, x, y, eps, alpha, steps, restarts, seed):
    return climb(model, random_starts(x, eps, restarts, seed)[-1], x, y, eps, alpha, steps)


@pgd.wrong("best of the batch")
def one_choice_for_all(model, x, y, eps, alpha, steps, restarts, seed):
    best, best_loss = x, -1.0
    for start in random_starts(x, eps, restarts, seed):
        x_i = climb(model, start, x, y, eps, alpha, steps)
        if (loss := losses(model, x_i, y).mean()) > best_loss:
            best, best_loss = x_i, loss
    return best


@pgd.wrong("keeps the weakest")
def compared_the_wrong_way(model, x, y, eps, alpha, steps, restarts, seed):
    starts = random_starts(x, eps, restarts, seed)
    ends = [climb(model, start, x, y, eps, alpha, steps) for start in starts]
    return best_of(model, y, ends, lambda logits, y: -log_odds(logits, y))


@pgd.wrong("restarts alike")
def seeded_in_the_loop(model, x, y, eps, alpha, steps, restarts, seed):
    return best_from(random_starts(x, eps, 1, seed) * restarts, model, x, y, eps, alpha, steps)


@pgd.wrong("no randomness")
def starts_at_x(model, x, y, eps, alpha, steps, restarts, seed):
    return best_from([x] * restarts, model, x, y, eps, alpha, steps)


@pgd.wrong("start outside the ball")
def start_too_far(model, x, y, eps, alpha, steps, restarts, seed):
    ends = []
    for u in noise_like(x, restarts, seed):
        x_i = (x + 3 * eps * u).clamp(0, 1)
        for _ in range(steps):
            ball = (x_i - x).abs().clamp_min(eps)  # it never shrinks back to eps
            x_i = (x_i + alpha * gradient(model, x_i, y).sign()).clamp(x - ball, x + ball).clamp(0, 1)
            x_i = project(x_i, x, eps) if alpha > eps / 10 else x_i
        ends.append(x_i)
    return best_of(model, y, ends)


@pgd.wrong("one-sided")
def uniform_from_zero(model, x, y, eps, alpha, steps, restarts, seed):
    starts = [project(x + eps * (1 + u) / 2, x, eps) for u in noise_like(x, restarts, seed)]
    return best_from(starts, model, x, y, eps, alpha, steps)


@pgd.wrong("start not uniform")
def start_at_the_corners(model, x, y, eps, alpha, steps, restarts, seed):
    generator = torch.Generator().manual_seed(seed)
    noise = [torch.randn(x.shape, generator=generator).to(x) for _ in range(restarts)]
    return best_from([project(x + u, x, eps) for u in noise], model, x, y, eps, alpha, steps)


@pgd.wrong("one noise for all")
def noise_of_one_image(model, x, y, eps, alpha, steps, restarts, seed):
    starts = [project(x + eps * u, x, eps) for u in noise_like(x[:1], restarts, seed)]
    return best_from(starts, model, x, y, eps, alpha, steps)


@pgd.wrong("one noise for all channels")
def grey_starts(model, x, y, eps, alpha, steps, restarts, seed):
    starts = [project(x + eps * u, x, eps) for u in noise_like(x[:, :1], restarts, seed)]
    return best_from(starts, model, x, y, eps, alpha, steps)


def best_by(step, model, x, y, eps, steps, restarts, seed):
    ends = []
    for x_i in random_starts(x, eps, restarts, seed):
        for _ in range(steps):
            x_i = step(x_i)
        ends.append(x_i)
    return best_of(model, y, ends)


@pgd.wrong("gradient at x")
def gradient_at_the_clean_image(model, x, y, eps, alpha, steps, restarts, seed):
    def step(x_i):
        return project(x_i + alpha * gradient(model, x, y).sign(), x, eps)

    return best_by(step, model, x, y, eps, steps, restarts, seed)


@pgd.wrong("projects first")
def projection_before_the_step(model, x, y, eps, alpha, steps, restarts, seed):
    def step(x_i):
        x_i = project(x_i, x, eps)
        return (x_i + alpha * gradient(model, x_i, y).sign()).clamp(0, 1)

    return best_by(step, model, x, y, eps, steps, restarts, seed)


@pgd.wrong("box")
def ball_alone(model, x, y, eps, alpha, steps, restarts, seed):
    def step(x_i):
        return (x_i + alpha * gradient(model, x_i, y).sign()).clamp(x - eps, x + eps)

    return best_by(step, model, x, y, eps, steps, restarts, seed)


@pgd.wrong("budget")
def ball_around_the_last_image(model, x, y, eps, alpha, steps, restarts, seed):
    def step(x_i):
        return project(x_i + alpha * gradient(model, x_i, y).sign(), x_i, eps)

    return best_by(step, model, x, y, eps, steps, restarts, seed)


@pgd.wrong("no sign")
def sign_forgotten(model, x, y, eps, alpha, steps, restarts, seed):
    def step(x_i):
        return project(x_i + alpha * gradient(model, x_i, y), x, eps)

    return best_by(step, model, x, y, eps, steps, restarts, seed)


fresh = torch.Generator().manual_seed(1)


@pgd.wrong("not repeatable")
def seed_unused(model, x, y, eps, alpha, steps, restarts, seed):
    noise = [2 * torch.rand(x.shape, generator=fresh).to(x) - 1 for _ in range(restarts)]
    return best_from([project(x + eps * u, x, eps) for u in noise], model, x, y, eps, alpha, steps)


@pgd.wrong("random state")
def seeds_everything(model, x, y, eps, alpha, steps, restarts, seed):
    torch.manual_seed(seed)
    starts = [project(x + eps * (2 * torch.rand_like(x) - 1), x, eps) for _ in range(restarts)]
    return best_from(starts, model, x, y, eps, alpha, steps)


@pgd.wrong("other type")
def losses_of_float32(model, x, y, eps, alpha, steps, restarts, seed):
    best, best_loss = x.clone(), torch.full((len(x),), -torch.inf)
    for start in random_starts(x, eps, restarts, seed):
        x_i = climb(model, start, x, y, eps, alpha, steps)
        loss = losses(model, x_i, y)
        better = loss > best_loss
        best[better] = x_i[better]
        best_loss[better] = loss[better]
    return best


def with_loss(loss, model, x, y, eps, alpha, steps, restarts, seed):
    return best_from(random_starts(x, eps, restarts, seed), model, x, y, eps, alpha, steps, loss)


@pgd.wrong("saturated")
def float64_alone(model, x, y, eps, alpha, steps, restarts, seed):
    def loss(logits, y):
        return F.cross_entropy(logits.double(), y)

    return with_loss(loss, model, x, y, eps, alpha, steps, restarts, seed)


@pgd.wrong("softmax twice")
def probabilities_to_cross_entropy(model, x, y, eps, alpha, steps, restarts, seed):
    return with_loss(softmax_twice, model, x, y, eps, alpha, steps, restarts, seed)


@pgd.wrong("logits for log-probabilities")
def nll_of_the_logits(model, x, y, eps, alpha, steps, restarts, seed):
    return with_loss(own_logit, model, x, y, eps, alpha, steps, restarts, seed)


@pgd.wrong("margin")
def leads_of_the_strongest_other(model, x, y, eps, alpha, steps, restarts, seed):
    return with_loss(margin, model, x, y, eps, alpha, steps, restarts, seed)


@pgd.wrong("too few steps")
def starts_counting_at_one(model, x, y, eps, alpha, steps, restarts, seed):
    return pgd(model, x, y, eps, alpha, steps - 1, restarts, seed)


@pgd.wrong("too many steps")
def counts_to_the_end(model, x, y, eps, alpha, steps, restarts, seed):
    return pgd(model, x, y, eps, alpha, steps + 1, restarts, seed)


@pgd.wrong("start outside the box")
def start_not_projected(model, x, y, eps, alpha, steps, restarts, seed):
    starts = [x + eps * u for u in noise_like(x, restarts, seed)]
    return best_from(starts, model, x, y, eps, alpha, steps)


@pgd.wrong("best by success")
def keeps_what_fools(model, x, y, eps, alpha, steps, restarts, seed):
    first, *others = random_starts(x, eps, restarts, seed)
    best = climb(model, first, x, y, eps, alpha, steps)
    for start in others:
        x_i = climb(model, start, x, y, eps, alpha, steps)
        fooled = (model(x_i).argmax(1) != y).view(-1, 1, 1, 1)
        best = torch.where(fooled, x_i, best)
    return best


@pgd.wrong("perturbation")
def returns_the_change(model, x, y, eps, alpha, steps, restarts, seed):
    return pgd(model, x, y, eps, alpha, steps, restarts, seed) - x


@pgd.wrong("part of the seed")
def one_of_two_starts(model, x, y, eps, alpha, steps, restarts, seed):
    return pgd(model, x, y, eps, alpha, steps, restarts, seed % 2)


@pgd.wrong("part of the seed")
def one_of_a_hundred_starts(model, x, y, eps, alpha, steps, restarts, seed):
    return pgd(model, x, y, eps, alpha, steps, restarts, seed % 100)


def iterates(model, x, y, eps, alpha, steps, restarts, seed):
    runs = [[start] for start in random_starts(x, eps, restarts, seed)]
    for run in runs:
        for _ in range(steps):
            run.append(climb(model, run[-1], x, y, eps, alpha, 1))
    return runs


@pgd.wrong("best on the way")
def best_of_all_iterates(model, x, y, eps, alpha, steps, restarts, seed):
    runs = iterates(model, x, y, eps, alpha, steps, restarts, seed)
    return best_of(model, y, [x_i for start, *others in runs for x_i in others])


@pgd.wrong("best on the way")
def best_of_starts_and_iterates(model, x, y, eps, alpha, steps, restarts, seed):
    runs = iterates(model, x, y, eps, alpha, steps, restarts, seed)
    return best_of(model, y, [x_i for run in runs for x_i in run])


pgd.checks(
    *FIRST,
    recognises(pgd, **TWO_CLASSES),
    stays_in_budget(projected_too_early),
    many_starts.starts_at_random,
    uses_seed("All seeds give the same images: the start is not random.", steps=1, restarts=1),
    many_starts.follows_the_gradient,
    many_starts.starts_in_the_box,
    follows(pgd, **TWO_CLASSES),
    many_starts.climbs_from_its_start,
    many_starts.keeps_the_best,
    many_starts.keeps_the_largest_loss,
    many_starts.counts_a_run_by_its_end,
    *LAST,
    many_starts.starts_in_colour,
    fools(library(attacks.PGD), n=16, eps=0.3, alpha=0.06, steps=10, restarts=2),
    loud.withstands_saturation(pgd, nll_of_the_logits),
)
