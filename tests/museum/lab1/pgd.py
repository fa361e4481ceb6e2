"""Answers to pgd(model, x, y, eps, alpha, steps, restarts, seed)."""

import torch
import torch.nn.functional as F

from museum import Room

room = Room("pgd")


def project(x_adv, x, eps):
    return x_adv.clamp(x - eps, x + eps).clamp(0, 1)


def log_odds(logits, label):
    others = logits.scatter(1, label[:, None], -torch.inf)
    return others.logsumexp(1) - logits.gather(1, label[:, None])[:, 0]


def gradient_at(model, x, y):
    x_in = x.clone().requires_grad_()
    return torch.autograd.grad(log_odds(model(x_in), y).sum(), x_in)[0]


def gradient_by(loss, model, x, y):
    x_in = x.clone().requires_grad_()
    return torch.autograd.grad(loss(model(x_in), y), x_in)[0]


def losses(model, x, y):
    with torch.no_grad():
        return F.cross_entropy(model(x), y, reduction="none")


def uniform(x, eps, generator):
    return project(x + eps * (2 * torch.rand(x.shape, generator=generator).to(x) - 1), x, eps)


def climb(model, x_i, x, y, eps, alpha, steps):
    for _ in range(steps):
        x_i = project(x_i + alpha * gradient_at(model, x_i, y).sign(), x, eps)
    return x_i


@room.right
def best_loss(model, x, y, eps, alpha, steps, restarts, seed):
    generator = torch.Generator().manual_seed(seed)
    best, best_loss = x.clone(), torch.full((len(x),), -torch.inf).to(x)
    for _ in range(restarts):
        x_i = climb(model, uniform(x, eps, generator), x, y, eps, alpha, steps)
        loss = losses(model, x_i, y)
        better = loss > best_loss
        best = torch.where(better.view(-1, 1, 1, 1), x_i, best)
        best_loss = torch.where(better, loss, best_loss)
    return best


@room.right
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


@room.right
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
            x_i = project(x_i + alpha * gradient_by(of_quieter, model, x_i, y).sign(), x, eps)
        if best is None:
            best = x_i
        here, there = losses(model, best, y).tolist(), losses(model, x_i, y).tolist()
        for i in range(len(x)):
            if there[i] > here[i]:
                best[i] = x_i[i]
    return best


@room.wrong("keeps the last")
def last_restart(model, x, y, eps, alpha, steps, restarts, seed):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(restarts):
        best = climb(model, uniform(x, eps, generator), x, y, eps, alpha, steps)
    return best


@room.wrong("best of the batch")
def one_choice_for_all(model, x, y, eps, alpha, steps, restarts, seed):
    generator = torch.Generator().manual_seed(seed)
    best, best_loss = x, -1.0
    for _ in range(restarts):
        x_i = climb(model, uniform(x, eps, generator), x, y, eps, alpha, steps)
        if (loss := losses(model, x_i, y).mean()) > best_loss:
            best, best_loss = x_i, loss
    return best


@room.wrong("keeps the weakest")
def compared_the_wrong_way(model, x, y, eps, alpha, steps, restarts, seed):
    generator = torch.Generator().manual_seed(seed)
    best, best_loss = x.clone(), torch.full((len(x),), torch.inf).to(x)
    for _ in range(restarts):
        x_i = climb(model, uniform(x, eps, generator), x, y, eps, alpha, steps)
        loss = losses(model, x_i, y)
        better = loss < best_loss
        best = torch.where(better.view(-1, 1, 1, 1), x_i, best)
        best_loss = torch.where(better, loss, best_loss)
    return best


@room.wrong("restarts alike")
def seeded_in_the_loop(model, x, y, eps, alpha, steps, restarts, seed):
    best, best_loss = x.clone(), torch.full((len(x),), -torch.inf).to(x)
    for _ in range(restarts):
        generator = torch.Generator().manual_seed(seed)
        x_i = climb(model, uniform(x, eps, generator), x, y, eps, alpha, steps)
        loss = losses(model, x_i, y)
        better = loss > best_loss
        best = torch.where(better.view(-1, 1, 1, 1), x_i, best)
        best_loss = torch.where(better, loss, best_loss)
    return best


def kept(model, x, y, starts, eps, alpha, steps):
    best = x.clone()
    for i, start in enumerate(starts):
        x_i = climb(model, start, x, y, eps, alpha, steps)
        better = (losses(model, x_i, y) > losses(model, best, y)) | (i == 0)
        best = torch.where(better.view(-1, 1, 1, 1), x_i, best)
    return best


@room.wrong("no randomness")
def starts_at_x(model, x, y, eps, alpha, steps, restarts, seed):
    return kept(model, x, y, [x] * restarts, eps, alpha, steps)


@room.wrong("start outside the ball")
def start_too_far(model, x, y, eps, alpha, steps, restarts, seed):
    generator = torch.Generator().manual_seed(seed)
    best, best_loss = x.clone(), torch.full((len(x),), -torch.inf).to(x)
    for _ in range(restarts):
        x_i = (x + 3 * eps * (2 * torch.rand(x.shape, generator=generator).to(x) - 1)).clamp(0, 1)
        for _ in range(steps):
            ball = torch.maximum(
                (x_i - x).abs(), torch.full_like(x, eps)
            )  # the ball never shrinks back to eps
            x_i = (x_i + alpha * gradient_at(model, x_i, y).sign()).clamp(x - ball, x + ball).clamp(0, 1)
            x_i = project(x_i, x, eps) if alpha > eps / 10 else x_i
        loss = losses(model, x_i, y)
        better = loss > best_loss
        best = torch.where(better.view(-1, 1, 1, 1), x_i, best)
        best_loss = torch.where(better, loss, best_loss)
    return best


@room.wrong("one-sided")
def uniform_from_zero(model, x, y, eps, alpha, steps, restarts, seed):
    generator = torch.Generator().manual_seed(seed)
    starts = [
        project(x + eps * torch.rand(x.shape, generator=generator).to(x), x, eps) for _ in range(restarts)
    ]
    return kept(model, x, y, starts, eps, alpha, steps)


@room.wrong("start not uniform")
def start_at_the_corners(model, x, y, eps, alpha, steps, restarts, seed):
    generator = torch.Generator().manual_seed(seed)
    starts = [project(x + torch.randn(x.shape, generator=generator).to(x), x, eps) for _ in range(restarts)]
    return kept(model, x, y, starts, eps, alpha, steps)


@room.wrong("one noise for all")
def noise_of_one_image(model, x, y, eps, alpha, steps, restarts, seed):
    generator = torch.Generator().manual_seed(seed)
    starts = [x + uniform(x[:1] * 0 + 0.5, eps, generator) - 0.5 for _ in range(restarts)]
    return kept(model, x, y, [project(start, x, eps) for start in starts], eps, alpha, steps)


@room.wrong("gradient at x")
def gradient_at_the_clean_image(model, x, y, eps, alpha, steps, restarts, seed):
    generator = torch.Generator().manual_seed(seed)
    gradient, best = gradient_at(model, x, y), x.clone()
    for i in range(restarts):
        x_i = uniform(x, eps, generator)
        for _ in range(steps):
            x_i = project(x_i + alpha * gradient.sign(), x, eps)
        better = (losses(model, x_i, y) > losses(model, best, y)) | (i == 0)
        best = torch.where(better.view(-1, 1, 1, 1), x_i, best)
    return best


@room.wrong("projects first")
def projection_before_the_step(model, x, y, eps, alpha, steps, restarts, seed):
    generator = torch.Generator().manual_seed(seed)
    best = x.clone()
    for i in range(restarts):
        x_i = uniform(x, eps, generator)
        for _ in range(steps):
            x_i = project(x_i, x, eps)
            x_i = (x_i + alpha * gradient_at(model, x_i, y).sign()).clamp(0, 1)
        better = (losses(model, x_i, y) > losses(model, best, y)) | (i == 0)
        best = torch.where(better.view(-1, 1, 1, 1), x_i, best)
    return best


@room.wrong("descends")
def sign_flipped(model, x, y, eps, alpha, steps, restarts, seed):
    generator = torch.Generator().manual_seed(seed)
    return kept(model, x, y, [uniform(x, eps, generator) for _ in range(restarts)], eps, -alpha, steps)


@room.wrong("not repeatable")
def seed_unused(model, x, y, eps, alpha, steps, restarts, seed):
    return kept(model, x, y, [uniform(x, eps, fresh) for _ in range(restarts)], eps, alpha, steps)


fresh = torch.Generator().manual_seed(1)


@room.wrong("random state")
def seeds_everything(model, x, y, eps, alpha, steps, restarts, seed):
    torch.manual_seed(seed)
    starts = [project(x + eps * (2 * torch.rand_like(x) - 1), x, eps) for _ in range(restarts)]
    return kept(model, x, y, starts, eps, alpha, steps)


@room.wrong("box")
def ball_alone(model, x, y, eps, alpha, steps, restarts, seed):
    generator = torch.Generator().manual_seed(seed)
    best = x.clone()
    for i in range(restarts):
        x_i = uniform(x, eps, generator)
        for _ in range(steps):
            x_i = (x_i + alpha * gradient_at(model, x_i, y).sign()).clamp(x - eps, x + eps)
        better = (losses(model, x_i, y) > losses(model, best, y)) | (i == 0)
        best = torch.where(better.view(-1, 1, 1, 1), x_i, best)
    return best


@room.wrong("other type")
def losses_of_float32(model, x, y, eps, alpha, steps, restarts, seed):
    generator = torch.Generator().manual_seed(seed)
    best, best_loss = x.clone(), torch.full((len(x),), -torch.inf)
    for _ in range(restarts):
        x_i = climb(model, uniform(x, eps, generator), x, y, eps, alpha, steps)
        loss = losses(model, x_i, y)
        better = loss > best_loss
        best[better] = x_i[better]
        best_loss[better] = loss[better]
    return best


def with_loss(loss, model, x, y, eps, alpha, steps, restarts, seed):
    generator = torch.Generator().manual_seed(seed)
    best = x.clone()
    for i in range(restarts):
        x_i = uniform(x, eps, generator)
        for _ in range(steps):
            x_i = project(x_i + alpha * gradient_by(loss, model, x_i, y).sign(), x, eps)
        better = (losses(model, x_i, y) > losses(model, best, y)) | (i == 0)
        best = torch.where(better.view(-1, 1, 1, 1), x_i, best)
    return best


@room.wrong("saturated")
def float64_alone(model, x, y, eps, alpha, steps, restarts, seed):
    def loss(logits, y):
        return F.cross_entropy(logits.double(), y)

    return with_loss(loss, model, x, y, eps, alpha, steps, restarts, seed)


@room.wrong("softmax twice")
def probabilities_to_cross_entropy(model, x, y, eps, alpha, steps, restarts, seed):
    def loss(logits, y):
        return F.cross_entropy(logits.softmax(1), y)

    return with_loss(loss, model, x, y, eps, alpha, steps, restarts, seed)


@room.wrong("logits for log-probabilities")
def nll_of_the_logits(model, x, y, eps, alpha, steps, restarts, seed):
    return with_loss(F.nll_loss, model, x, y, eps, alpha, steps, restarts, seed)


@room.wrong("margin")
def leads_of_the_strongest_other(model, x, y, eps, alpha, steps, restarts, seed):
    def loss(logits, y):
        own = F.one_hot(y, logits.shape[1]).bool()
        return (logits.masked_fill(own, -torch.inf).amax(1) - logits[own]).sum()

    return with_loss(loss, model, x, y, eps, alpha, steps, restarts, seed)


@room.wrong("too few steps")
def starts_counting_at_one(model, x, y, eps, alpha, steps, restarts, seed):
    return best_loss(model, x, y, eps, alpha, steps - 1, restarts, seed)


@room.wrong("too many steps")
def counts_to_the_end(model, x, y, eps, alpha, steps, restarts, seed):
    return best_loss(model, x, y, eps, alpha, steps + 1, restarts, seed)


@room.wrong("no sign")
def sign_forgotten(model, x, y, eps, alpha, steps, restarts, seed):
    generator = torch.Generator().manual_seed(seed)
    best = x.clone()
    for i in range(restarts):
        x_i = uniform(x, eps, generator)
        for _ in range(steps):
            x_i = project(x_i + alpha * gradient_at(model, x_i, y), x, eps)
        better = (losses(model, x_i, y) > losses(model, best, y)) | (i == 0)
        best = torch.where(better.view(-1, 1, 1, 1), x_i, best)
    return best


@room.wrong("start outside the box")
def start_not_projected(model, x, y, eps, alpha, steps, restarts, seed):
    generator = torch.Generator().manual_seed(seed)
    starts = [x + eps * (2 * torch.rand(x.shape, generator=generator).to(x) - 1) for _ in range(restarts)]
    return kept(model, x, y, starts, eps, alpha, steps)


@room.wrong("best by success")
def keeps_what_fools(model, x, y, eps, alpha, steps, restarts, seed):
    generator = torch.Generator().manual_seed(seed)
    best = climb(model, uniform(x, eps, generator), x, y, eps, alpha, steps)
    for _ in range(restarts - 1):
        x_i = climb(model, uniform(x, eps, generator), x, y, eps, alpha, steps)
        fooled = (model(x_i).argmax(1) != y).view(-1, 1, 1, 1)
        best = torch.where(fooled, x_i, best).detach()
    return best


@room.wrong("perturbation")
def returns_the_change(model, x, y, eps, alpha, steps, restarts, seed):
    return best_loss(model, x, y, eps, alpha, steps, restarts, seed) - x


@room.wrong("budget")
def ball_around_the_last_image(model, x, y, eps, alpha, steps, restarts, seed):
    generator = torch.Generator().manual_seed(seed)
    best = x.clone()
    for i in range(restarts):
        x_i = uniform(x, eps, generator)
        for _ in range(steps):
            x_i = project(x_i + alpha * gradient_at(model, x_i, y).sign(), x_i, eps)
        better = (losses(model, x_i, y) > losses(model, best, y)) | (i == 0)
        best = torch.where(better.view(-1, 1, 1, 1), x_i, best)
    return best


@room.wrong("part of the seed")
def one_of_two_starts(model, x, y, eps, alpha, steps, restarts, seed):
    return best_loss(model, x, y, eps, alpha, steps, restarts, seed % 2)


@room.wrong("part of the seed")
def one_of_a_hundred_starts(model, x, y, eps, alpha, steps, restarts, seed):
    return best_loss(model, x, y, eps, alpha, steps, restarts, seed % 100)


@room.wrong("best on the way")
def best_of_all_iterates(model, x, y, eps, alpha, steps, restarts, seed):
    generator = torch.Generator().manual_seed(seed)
    best, best_loss = x.clone(), torch.full((len(x),), -torch.inf).to(x)
    for _ in range(restarts):
        x_i = uniform(x, eps, generator)
        for _ in range(steps):
            x_i = project(x_i + alpha * gradient_at(model, x_i, y).sign(), x, eps)
            loss = losses(model, x_i, y)
            better = loss > best_loss
            best = torch.where(better.view(-1, 1, 1, 1), x_i, best)
            best_loss = torch.where(better, loss, best_loss)
    return best


@room.wrong("best on the way")
def best_of_starts_and_iterates(model, x, y, eps, alpha, steps, restarts, seed):
    generator = torch.Generator().manual_seed(seed)
    best, best_loss = x.clone(), torch.full((len(x),), -torch.inf).to(x)
    for _ in range(restarts):
        x_i = uniform(x, eps, generator)
        for step in range(steps + 1):
            loss = losses(model, x_i, y)
            better = loss > best_loss
            best = torch.where(better.view(-1, 1, 1, 1), x_i, best)
            best_loss = torch.where(better, loss, best_loss)
            x_i = project(x_i + alpha * gradient_at(model, x_i, y).sign(), x, eps) if step < steps else x_i
    return best


@room.wrong("one noise for all channels")
def grey_starts(model, x, y, eps, alpha, steps, restarts, seed):
    generator = torch.Generator().manual_seed(seed)
    starts = []
    for _ in range(restarts):
        noise = torch.rand(x[:, :1].shape, generator=generator).to(x)
        starts.append(project(x + eps * (2 * noise - 1), x, eps))
    return kept(model, x, y, starts, eps, alpha, steps)
