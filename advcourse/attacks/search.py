"""The search behind C&W L2, EAD and OptMargin: minimise distance + c * hinge, with a constant c of its own for each image."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from advcourse.attacks.best import Nearest

_TOO_MUCH = 1e12  # no constant grows beyond it


@dataclass(frozen=True)
class Search:
    """`binary_search_steps` runs of `steps` steps each, and up to `doublings` longer ones for images without a success;
    `initial_const`, the first c, None for an estimate; `measure(clean, images)`, the distance to keep the least of;
    `walk(x, start, steps)`, the optimiser of one run, such as `TanhAdam`.
    """

    steps: int
    binary_search_steps: int
    doublings: int
    initial_const: float | None
    measure: Callable
    walk: Callable


def search(s, x, hinge):
    """Run the search with settings `s` (a `Search`) on the images `x` (N, C, H, W).

    `hinge(index, images, differentiate)` gives, for points of the images number `index`, how far each is from success,
    (n,), negative where it succeeds, and the gradient of the hinge (its positive part), (n, C, H, W), or None where not
    asked for. A run starts from the best point so far; where there is none, from where the last run ended. Where none of
    the runs has succeeded, as on a model whose gradient is flat around the images, the next takes twice as many steps, and
    so on; what it reaches gets a binary search of its own. Returns the `Nearest` record, the last constant for each image,
    and the steps taken, (N,).
    """
    nearest = Nearest(x, s.measure)
    everyone = torch.arange(len(x), device=x.device)
    lead, gradient = hinge(everyone, x, True)
    nearest.offer(everyone, x, lead < 0)
    constants = _first_constants(s.initial_const, lead, gradient)
    images, taken = x.clone(), torch.zeros_like(everyone)

    def runs(count, steps, index):
        for _ in range(count if len(index) else 0):
            start = torch.where(nearest.found.view(-1, 1, 1, 1), nearest.images, images)
            success, outside = torch.zeros(2, len(x), dtype=torch.bool, device=x.device)
            walk = s.walk(x[index], start[index], steps)
            _run(s, x, walk, steps, index, constants.c, hinge, nearest, images, success, outside, taken)
            constants.update(success | ~outside, index)

    index, steps = everyone[lead >= 0], s.steps  # nothing to do for the others
    runs(s.binary_search_steps, steps, index)
    for _ in range(s.doublings):
        hard, steps = index[~nearest.found[index]], 2 * steps
        runs(1, steps, hard)
        runs(s.binary_search_steps - 1, steps, hard[nearest.found[hard]])
    return nearest, constants.c, taken


def _run(s, x, walk, steps, index, c, hinge, nearest, images, success, outside, taken):
    """One run of the optimiser `walk` with the constants `c`; fills in where it ended and the steps it took.

    A warm start succeeds already, which says nothing of c. So a run fills in, too, whether it was ever `outside`, at a
    point that does not fool the model, and whether it had a `success` after that.
    """
    c = c[index]
    least, patience = torch.full_like(c, torch.inf), max(10, steps // 10)
    for step in range(steps + 1):
        last = step == steps
        lead, gradient = hinge(index, walk.point, not last)
        judged = lead if walk.point is walk.images else hinge(index, walk.images, False)[0]
        outside[index] |= judged >= 0
        success[index] |= outside[index] & (judged < 0)
        nearest.offer(index, walk.images, judged < 0)
        if last:
            break
        if step % patience == patience - 1:
            # An image leaves the run when its objective no longer falls: each on its own, where the authors' code stops
            # the batch.
            objective = s.measure(x[index], walk.images) + c * judged.clamp_min(0)
            on = objective < 0.9999 * least
            images[index] = walk.images
            index, c, gradient, least = index[on], c[on], gradient[on], objective[on]
            walk.keep(on)
            if not len(index):
                break
        walk.step(c.view(-1, 1, 1, 1) * gradient)
        taken[index] += 1
    images[index] = walk.images


def _first_constants(given, lead, gradient):
    if given is not None:
        return _Constants(torch.full_like(lead, given), growth=10)
    # On a linear model 2 lead / |gradient|^2 is the least that succeeds. Curved ones mostly need less: start at half of it.
    steepness = gradient.flatten(1).square().sum(1).clamp_min(1 / _TOO_MUCH)
    return _Constants((lead.clamp_min(0) / steepness).clamp(1 / _TOO_MUCH, _TOO_MUCH), growth=4)


class _Constants:
    """The binary search on c, one for each image (Carlini and Wagner 2017, section V.A): vectors low, high and c."""

    def __init__(self, c, growth):
        self.c, self._growth = c, growth
        self._low, self._high = torch.zeros_like(c), torch.full_like(c, torch.inf)

    def update(self, success, index):
        """A run of the images number `index` that succeeded bounds c from above, one that failed from below; until the first
        success c grows.
        """
        success, low, high, c = success[index], self._low[index], self._high[index], self.c[index]
        self._high[index] = high = torch.where(success, torch.minimum(high, c), high)
        self._low[index] = low = torch.where(success, low, torch.maximum(low, c))
        larger = (self._growth * c).clamp_max(_TOO_MUCH)
        self.c[index] = torch.where(high.isfinite(), (low + high) / 2, larger)


def squared_l2(x, images):
    """The squared L2 distance, (N,): what C&W L2 minimises."""
    return (images - x).flatten(1).square().sum(1)


def hinge_of(victim, label, away, confidence, rival=None, cut=True):
    """The f of Carlini and Wagner 2017 (their f6) as `search` wants it: max_{i != t} Z_i - Z_t + confidence, of logits Z.

    With `rival` (N,) an untargeted attack, which succeeds at any class, aims at this one: Z_y - Z_rival + confidence.
    The gradient is that of max(f, 0), or with `cut=False` of f itself, which has one beyond the boundary too.
    """

    def hinge(index, images, differentiate):
        images = images.detach().requires_grad_(differentiate)
        logits = victim(images)
        lead = aim = victim.lead(logits, label[index], away) + confidence
        if not differentiate:
            return lead.detach(), None
        if rival is not None:
            ours, theirs = logits.gather(1, torch.stack([label[index], rival[index]], 1)).unbind(1)
            aim = ours - theirs + confidence
        return lead.detach(), victim.gradient(aim.clamp_min(0) if cut else aim, images)

    return hinge


class TanhAdam:
    """The paper's optimiser: Adam on w, where x' = (tanh w + 1) / 2 cannot leave the box (Carlini and Wagner 2017, section V.B).

    w starts at 0.999 of the box. The authors' code has 0.999999, where saturated pixels have almost no gradient. How many
    `steps` will follow is nothing to it.
    """

    def __init__(self, x, start, steps=None, *, lr):
        self._x, self._lr, self._steps = x, lr, 0
        self._w = torch.atanh((2 * start - 1) * 0.999)
        self._mean, self._square = torch.zeros_like(x), torch.zeros_like(x)
        self.images = self.point = (self._w.tanh() + 1) / 2

    def step(self, gradient):
        """One step on |x' - x|_2^2 + c * hinge; `gradient` is that of its second part, with respect to x'."""
        tanh = 2 * self.images - 1
        gradient = (2 * (self.images - self._x) + gradient) * (1 - tanh * tanh) / 2
        self._steps += 1
        self._mean.lerp_(gradient, 0.1)
        self._square.lerp_(gradient * gradient, 0.001)
        mean, square = self._mean / (1 - 0.9**self._steps), self._square / (1 - 0.999**self._steps)
        self._w = self._w - self._lr * mean / (square.sqrt() + 1e-8)
        self.images = self.point = (self._w.tanh() + 1) / 2

    def keep(self, on):
        """Go on with the images where `on` (n,) is True."""
        self._x, self._w, self._mean, self._square = (
            self._x[on],
            self._w[on],
            self._mean[on],
            self._square[on],
        )
        self.images = self.point = self.images[on]


class Fista:
    """EAD's optimiser: gradient steps from an extrapolated point, each followed by shrinking (Chen et al. 2018, algorithm 1).

    Changes are shrunk by `beta` itself, as in the authors' code; textbooks have the step's size times beta.
    """

    def __init__(self, x, start, steps, *, beta, lr):
        self._x, self._beta, self._lr, self._steps, self._k = x, beta, lr, steps, 0
        self.images = self.point = start

    def step(self, gradient):
        """One step on c * hinge + |x' - x|_2^2 + beta |x' - x|_1; `gradient` is that of its first part."""
        gradient = gradient + 2 * (self.point - self._x)
        size = self._lr * (1 - self._k / self._steps) ** 0.5
        images = shrink(self.point - size * gradient, self._x, self._beta)
        self.point = images + self._k / (self._k + 3) * (images - self.images)
        self.images = images
        self._k += 1

    def keep(self, on):
        """Go on with the images where `on` (n,) is True."""
        apart = self.point is not self.images
        self._x, self.images = self._x[on], self.images[on]
        self.point = self.point[on] if apart else self.images


def shrink(z, x, beta):
    """S_beta: `z` moved by `beta` towards `x`, or all the way where that is enough, in the box (Chen et al. 2018, equation 8)."""
    change = z - x
    near = change.abs() <= beta
    return torch.where(near, x, (z - beta * change.sign()).clamp(0, 1))
