"""What the checks share: the model as it is read, the images that the audited attack left, and what was tried on them."""

import hashlib
import json
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advcourse import metrics
from advcourse.attacks import Attack
from advcourse.core.identity import code_digest, digest, identity, is_fresh
from advcourse.core.inputs import InputError, ask, predict
from advcourse.core.randomness import seeded
from advcourse.evaluation.audit.findings import LIGHTS, Finding, Light, Witness, light_of
from advcourse.evaluation.audit.subject import Outcome, Subject
from advcourse.evaluation.record import Names, Record, as_array
from advcourse.evaluation.store import Store
from advcourse.metrics import Efficiency

DRAWS = 9  # of a random model, whose answer is what most of them say
_SIZES = {"Linf": metrics.linf, "L2": metrics.l2}


class Unflagged(nn.Module):
    """A model that abstains, without its last class: a flag counts as the true class, so success is what passes unflagged.

    The true class of an image is that of the nearest clean one.

    Args:
        model: images (N, C, H, W) to logits (N, K + 1).
        x, y: the clean images and their labels.
    """

    def __init__(self, model: nn.Module, x: Tensor, y: Tensor):
        super().__init__()
        self.model = model
        self.register_buffer("x", x.detach().flatten(1))
        self.register_buffer("y", y)

    def forward(self, z: Tensor) -> Tensor:
        """Return the logits (n, K)."""
        logits = ask(self.model, z)
        with torch.no_grad():
            distance = torch.cdist(z.detach().flatten(1).to(self.x.dtype), self.x, torch.inf)
            label = self.y[distance.argmin(1)].unsqueeze(1)
        own = torch.maximum(logits.gather(1, label), logits[:, -1:])
        return logits[:, :-1].scatter(1, label, own)


@dataclass(frozen=True)
class Probe:
    """One attempt of the audit on the images `index` of the batch.

    text: its repr. images: (n, C, H, W). fooled: (n,) bool, within the budget and misread. passes: forward and backward.
    error: why it could not be run; "" if it was.
    """

    text: str
    index: Tensor
    images: Tensor
    fooled: Tensor
    passes: int
    error: str = ""


class Scene:
    """A model with its images, and the audited attack's result on them.

    Args:
        model, x, y: the model, images (N, C, H, W) in [0, 1], and labels (N,).
        subject: the attack.
        norm, eps: the ball.
        seed: of all draws of the audit.
        store: where finished probes are kept; None for nowhere.
        full: True for the profile "full".
    """

    def __init__(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        subject: Subject,
        norm: str,
        eps: float,
        seed: int = 0,
        store: Store | None = None,
        full: bool = False,
    ):
        self.model, self.x, self.y, self.subject = model, x, y, subject
        self.norm, self.eps, self.seed, self.store, self.full = norm, eps, seed, store, full
        self.straight = self.known = None
        self.gradient_is_dead = self.saturates = self.mode_matters = False
        self.abstains = bool(getattr(model, "abstains", False))
        self.random = self._is_random()
        with seeded(x.device, seed):
            self.logits = predict(model, x)
        self.classes = self.logits.shape[1] - self.abstains
        self.answer = self.answers(x)
        self.right = self.answer == y
        self.victim = Unflagged(model, x, y) if self.abstains else model
        self.claimed = self.left = self.minimum = self.right
        self.worst, self.on_the_way = x.detach().clone(), x.detach().clone()
        # The largest change in the ball that a function asked the model about.
        self.reached = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        self.outcome: Outcome | None = None
        self.runs: list[int] = []  # how many images each run within the budget left

    @property
    def n(self) -> int:
        """The number of images."""
        return len(self.x)

    @property
    def flagged(self) -> Tensor:
        """Which clean images (N,) are flagged; none if the model does not abstain."""
        return self.answer == self.classes

    def judge(self) -> None:
        """Run the audited attack. Its claim is what it leaves; to be probed is what it does not fool within the budget."""
        self.outcome = self.subject.run(self.model, self.x, self.y)
        images, whole = self.outcome.images, slice(None)
        fooled, inside = self.fools(images, whole), self.inside(images, whole)
        self.claimed = self.right & ~(fooled & inside if self.subject.minimum_norm else fooled)
        self.left = self.right & ~(fooled & inside)
        self.minimum = self.left.clone()
        self.worst = torch.where((self.right & ~self.left).view(-1, 1, 1, 1), images, self.worst)
        self.runs.append(int(self.left.sum()))

    def passed(self, flags: Tensor) -> Tensor:
        """Take the images that the attack misread on its way, `flags` (N,) bool, and return those that it did not keep."""
        index = (flags & self.left).nonzero().squeeze(1)
        probe = self.tried("on the way", index, self.on_the_way[index], 0)
        lost = torch.zeros_like(flags)
        lost[index[probe.fooled]] = True
        return lost

    def answers(self, images: Tensor) -> Tensor:
        """Return the model's answers (n,) to images: of a random model what most of its draws say."""
        if not len(images):
            return self.y[:0]
        if not self.random:
            return predict(self.model, images).argmax(1)
        draws = []
        for draw in range(DRAWS):
            with seeded(images.device, 1000 + self.seed + draw):
                draws.append(predict(self.model, images).argmax(1))
        return torch.stack(draws).mode(0).values

    def fools(self, images: Tensor, index: Tensor | slice) -> Tensor:
        """Return which of the images (n, C, H, W), made from `x[index]`, are misread and not flagged: (n,) bool."""
        answers = self.answers(images.nan_to_num(0, 1, 0).clamp(0, 1))
        wrong = answers != self.y[index]
        return wrong & (answers != self.classes) if self.abstains else wrong

    def margins(self, images: Tensor, index: Tensor | slice) -> Tensor:
        """Return the lead (n,), in logits, of the true class in the answers to images that were made from `x[index]`."""
        return metrics.margin(predict(self.model, images), self.y[index])

    def sizes(self, images: Tensor, index: Tensor | slice) -> Tensor:
        """Return the sizes (n,) of the changes that made the images from `x[index]`, in the audit's norm."""
        return _SIZES[self.norm](self.x[index], images) if len(images) else images.new_zeros(0)

    def inside(self, images: Tensor, index: Tensor | slice) -> Tensor:
        """Return which of the images lie in the box and in the ball, but for rounding: (n,) bool."""
        box = images.flatten(1)
        fits = (box.amin(1) >= -1e-6) & (box.amax(1) <= 1 + 1e-6) if len(images) else images.new_zeros(0) > 0
        return fits & (self.sizes(images, index) <= self.eps * (1 + 1e-4) + 1e-6)

    def probe(
        self, attack: Attack, on: nn.Module | None = None, index: Tensor | None = None, text: str = ""
    ) -> Probe:
        """Try an attack of the library on the images that the audited one left.

        Args:
            attack: the attack.
            on: the model to make the images on (default None: the audited one, or `Unflagged` around it).
            index: of the images (default None: those that are left).
            text: how to name it (default "": its repr).
        """
        index = self.left.nonzero().squeeze(1) if index is None else index
        text = text or repr(attack)
        victim = self.victim if on is None else on
        if not len(index):
            return Probe(text, index, self.x[:0], index > 0, 0)
        try:
            images, passes = self._run(Subject(attack, self.seed), victim, index)
        except InputError as error:
            return Probe(text, index, self.x[index], torch.zeros_like(index, dtype=torch.bool), 0, str(error))
        return self.tried(text, index, images, passes)

    def again(self, subject: Subject, text: str = "") -> Probe:
        """Try a variation of the audited attack on the images that it left."""
        index = self.left.nonzero().squeeze(1)
        text = text or subject.text
        if not len(index):
            return Probe(text, index, self.x[:0], index > 0, 0)
        images, passes = self._run(subject, self.model, index)
        return self.tried(text, index, images, passes)

    def tried(self, text: str, index: Tensor, images: Tensor, passes: int) -> Probe:
        """Enter images that were made from `x[index]` into the minimum, and return the probe."""
        fooled = self.fools(images, index) & self.inside(images, index)
        self.minimum[index[fooled]] = False
        self.worst[index[fooled]] = images[fooled]
        self.runs.append(int(self.left.sum() - fooled.sum()))
        return Probe(text, index, images, fooled, passes)

    def witnesses(self, index: Tensor, images: Tensor) -> tuple[Witness, ...]:
        """Return the first three of the images (n, C, H, W), made from `x[index]`, as witnesses."""
        index, images = index[:3], images[:3]
        rows = zip(
            index.tolist(),
            self.answers(images.nan_to_num(0, 1, 0).clamp(0, 1)).tolist(),
            self.sizes(images, index).tolist(),
            images.cpu(),
        )
        return tuple(
            Witness(i, int(self.y[i]), answer, size, self.x[i].detach().cpu(), image)
            for i, answer, size, image in rows
        )

    def _run(self, subject, victim, index):
        """Return the images of a run, and its passes, from the store if they are there."""
        x, y = self.x[index], self.y[index]
        key = None if self.store is None else self._key(subject, victim, x, y)
        names = Names(subject.text, "audited", "given")
        kept = None if key is None else self.store.get(key, names)
        if kept is not None:
            return torch.from_numpy(kept.values["images"]).to(x), int(kept.efficiency.forward_passes)
        outcome = subject.run(victim, x, y)
        if key is not None:
            self.store.put(key, self._record(names, subject, outcome, index))
        return outcome.images, outcome.passes

    def _key(self, subject, victim, x, y):
        """Return the name of a run in the store; None if something in it can't be told apart from its like."""
        parts = [identity(victim, quiet=True), identity(subject.attack, quiet=True)]
        if not all(parts) or any(map(is_fresh, parts)):
            return None
        known = [*parts, digest((x, y)), code_digest(), torch.__version__, str(x.device), self.seed]
        return "audit-" + hashlib.sha256(json.dumps(known).encode()).hexdigest()[:32]

    def _record(self, names, subject, outcome, index):
        threat = subject.attack.threat_model
        values = {"index": as_array(index), "images": as_array(outcome.images)}
        costs = Efficiency(0.0, outcome.passes, 0.0, 0.0, len(index), self.x.device.type)
        return Record(names, subject.text, subject.attack.kind, threat, {}, self.n, costs, {}, values)

    def _is_random(self):
        answers = []
        for seed in (self.seed, self.seed + 1):
            with seeded(self.x.device, seed):
                answers.append(predict(self.model, self.x))
        return not torch.equal(*answers)


def by_effect(
    scene: Scene, check: str, probes: list[Probe], good: str, bad: str, remedy: str, least: Light = "green"
) -> Finding:
    """Return the finding whose light says how many of the images that the audited attack left the probes fool.

    Args:
        scene: the scene.
        check: a key of `CHECKS`.
        probes: what was tried; those with an error count for nothing.
        good, bad: the sentences for a green light, and for another, into which the numbers of images are put.
        remedy: a line of code, given unless the light is green.
        least: the mildest light (default "green").
    """
    if not scene.right.any():
        return Finding(check, "grey", "No image is read rightly, so there is nothing to attack.")
    ran = [probe for probe in probes if not probe.error]
    tried = tuple(probe.text for probe in probes)
    if not ran:
        reason = probes[0].error if probes else "nothing could be tried"
        return Finding(check, "grey", f"It could not be tried: {reason}.", tried)
    fallen, image = {}, {}
    for probe in ran:
        for place in probe.fooled.nonzero().squeeze(1).tolist():
            i = int(probe.index[place])
            fallen.setdefault(i, place)
            image.setdefault(i, probe.images[place])
    left = int(scene.left.sum())
    light = max(light_of(len(fallen), scene.n), least, key=LIGHTS.index)
    good = good if left else "The attack leaves no image that could be tried."
    sentence = (bad if light != "green" else good).format(fallen=len(fallen), left=left, n=scene.n)
    index = torch.tensor(sorted(fallen), dtype=torch.long, device=scene.x.device)
    shown = scene.witnesses(index, torch.stack([image[i] for i in index.tolist()])) if fallen else ()
    numbers = {"left by the attack": left, "of these fooled": len(fallen)}
    numbers |= {probe.text: int(probe.fooled.sum()) for probe in ran}
    passes = sum(probe.passes for probe in ran)
    return Finding(
        check, light, sentence, tried, numbers, shown, remedy if light != "green" else None, passes
    )
