"""What every attack is: its contract, its record, and the model as the attack sees it."""

import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn

from advcourse import metrics
from advcourse.attacks.hyperparameters import allowed
from advcourse.attacks.noise import Noise
from advcourse.attacks.targets import least_likely
from advcourse.attacks.threat import ThreatModel
from advcourse.attacks.zero_gradients import ZeroGradients
from advcourse.core.errors import NO_GRADIENT, BudgetWarning, warn
from advcourse.core.identity import identity
from advcourse.core.inputs import (
    InputError,
    ask,
    check_classes,
    check_flag,
    check_images,
    check_labels,
    check_logits,
    check_model,
    check_range,
    check_target,
    evaluating,
    predict,
)
from advcourse.core.randomness import seeded
from advcourse.metrics import margin


class Victim:
    """The model under attack. Every answer passes the gate `inputs.ask`; it counts what is asked, and watches the gradients.

    Attacks reckon in float32 or float64; a model in half precision sees the images, and is differentiated, in its own type
    `dtype`.
    """

    def __init__(self, model: nn.Module, y: Tensor, target: Tensor | None, dtype: torch.dtype):
        self._model, self._labels, self._answered = model, {"y": y, "target": target}, False
        self._dtype = dtype
        self._exact = torch.finfo(dtype).eps
        self.gradients = ZeroGradients()
        self.forward_passes = self.backward_passes = 0

    def __call__(self, x: Tensor) -> Tensor:
        """Logits (N, K) of the images `x`, with a graph behind them where `x` requires gradients."""
        answer = ask(self._model, x.to(self._dtype))
        if not self._answered:
            check_logits(answer)
            for name, labels in self._labels.items():
                if labels is not None:
                    check_classes(labels, answer.shape[1], name)
            self._answered = True
        # Under autocast the answer is of a shorter type than the images.
        self._exact = max(self._exact, torch.finfo(answer.dtype).eps)
        logits = answer.to(x.dtype)
        self.gradients.follow(x, logits)
        self.forward_passes += len(x)
        return logits

    def gradient(self, values: Tensor, x: Tensor, keep_graph: bool = False) -> Tensor:
        """Gradient (N, C, H, W) of each image's own value in `values` (N,): summed, so the batch size does not divide it.

        It is a tensor of the caller's own, to change at will.
        """
        self.backward_passes += len(x)
        try:
            gradient = torch.autograd.grad(values.sum(), x, retain_graph=keep_graph, allow_unused=True)[0]
        except RuntimeError as error:
            if "donated buffer" in str(error):
                raise InputError(_COMPILED) from error
            raise
        if gradient is None or self.gradients.missed():
            raise InputError(NO_GRADIENT)
        # The gradient of a sum is one number, spread out by strides of 0: nothing can be written to it.
        return gradient.clone(memory_format=torch.contiguous_format) if 0 in gradient.stride() else gradient

    def distance_to_success(self, logits: Tensor, label: Tensor, sign: int) -> Tensor:
        """Signed distance to success in logits, (N,): negative once `label` (N,) is left (`sign` 1) or reached (`sign` -1).

        It is negative only by more than rounding can undo: the same image in a batch of another size gets logits that
        differ in their last digits, and a minimum-norm attack ends right at the boundary.
        """
        ahead = margin(logits, label)
        return (ahead if sign == 1 else -ahead) + self.blur(logits)

    def blur(self, logits: Tensor) -> Tensor:
        """By how much rounding can move a distance to success, shape (N,), in logits."""
        return 4 * self._resolution(logits) * logits.detach().abs().amax(1)

    def coarse(self, logits: Tensor) -> bool:
        """Whether the logits have so few digits that steps which are meant to cross a boundary end on it."""
        return self._resolution(logits) > 1e-5

    def _resolution(self, logits):
        # Convolutions in float32 on a GPU keep 10 bits of the mantissa, unless told otherwise.
        short = logits.is_cuda and torch.backends.cudnn.allow_tf32 and self._dtype == torch.float32
        return max(2**-11, self._exact) if short else self._exact


_COMPILED = (
    "model: its compiled backward pass runs once only, and this attack needs it twice. Attack the model as it was before "
    "torch.compile, model._orig_mod; or set torch._functorch.config.donated_buffer = False before it is compiled"
)


@dataclass(frozen=True)
class AttackResult:
    """The record of one attack on N images.

    `attack` repeats it; `clean`, `images` (N, C, H, W); `labels`, `target` (N,), target None if untargeted; `logits` (N, K) of a
    fresh forward pass over `images`; `steps` (N,) taken for each image; `forward_passes` and `backward_passes`, image passes
    summed over the batch, without that last check; `seconds` for the whole batch; `details`, what this attack alone has to tell:
    name -> tensor (N, ...), as its docstring says; `abstains`, whether the model's last class says "flagged", no
    success; `model`, the `identity` of the attacked model, "" where nobody knows it.

    Its tensors are its own: nothing that happens to the caller's afterwards changes the record.
    """

    attack: "Attack"
    clean: torch.Tensor
    images: torch.Tensor
    labels: torch.Tensor
    target: torch.Tensor | None
    logits: torch.Tensor
    steps: torch.Tensor
    forward_passes: int
    backward_passes: int
    seconds: float
    details: dict[str, torch.Tensor] = field(default_factory=dict)
    abstains: bool = False
    model: str = ""

    @property
    def predictions(self) -> Tensor:
        """The class that the model sees in each attacked image, shape (N,)."""
        return self.logits.argmax(1)

    @property
    def success(self) -> Tensor:
        """Which attacks did what they wanted, shape (N,) bool."""
        return metrics.succeeded(self.logits, self.labels, self.target, self.abstains)

    @property
    def success_rate(self) -> float:
        """Share of the N images for which the attack did what it wanted; NaN for N = 0."""
        return metrics.misclassification_rate(self.logits, self.labels, self.target, self.abstains)

    @property
    def size(self) -> Tensor:
        """What the attack bounds or keeps small, shape (N,): the change in the norm of its threat model."""
        return self.attack.size(self) if len(self.images) else self.images.new_zeros(0)

    @cached_property
    def distances(self) -> dict[str, Tensor]:
        """L0 (pixels), L1, L2 and Linf of each change: a dictionary of tensors of shape (N,)."""
        norms = {"L0": metrics.l0, "L1": metrics.l1, "L2": metrics.l2, "Linf": metrics.linf}
        return {name: norm(self.clean, self.images) for name, norm in norms.items()}


class Attack:
    """An attack is a frozen dataclass: its fields are the paper's hyper-parameters, and its `repr` repeats it.

    Each field declares what it may be, see `hyperparameters`; it is checked, and kept as Python's own type.

    `attack(model, x, y, target=None)` returns the adversarial images; `attack.run(...)` the whole `AttackResult`.
    `x` (N, C, H, W) in [0, 1], `y` (N,) the true labels, `target` (N,) the labels wanted by an attack with `targeted=True`.
    The images come back in [0, 1], inside the budget, detached, and the model and the global random state as they were.
    Randomness comes from `seed` alone. Bad input raises `InputError`; a model whose gradient is exactly zero for
    more than 1 % of the images, so that failing means nothing, is warned of by `advcourse.core.inputs.ZeroGradientWarning`.

    An image's result does not depend on the other images, unless the attack is `universal`. In exact arithmetic that is
    equality; a batch of another size, or another processor, adds the same numbers in another order. In float64 the results
    of a short search agree to 1e-9. In float32 a long search can turn a rounding error into another end point, as good on
    the average: the success rate and the mean size stay, the single image need not.
    """

    # "budgeted": the strongest point found in a ball; "minimum-norm": the nearest point found that succeeds.
    kind: ClassVar[str]
    # In which the change is bounded or kept small: see `ThreatModel`.
    norm: ClassVar[str]
    targeted: ClassVar[bool] = False
    # Aims at the least likely class of the clean image, and takes no target from the caller.
    chooses_target: ClassVar[bool] = False
    # Makes one perturbation for all images together, so it sees the whole batch at once.
    universal: ClassVar[bool] = False
    seed: ClassVar[int] = 0

    def __post_init__(self):
        for name, may_be in allowed(type(self)).items():
            object.__setattr__(self, name, may_be.check(getattr(self, name), name))
        if self.norm == "Linf":
            self._check_unit()

    def _check_unit(self):
        """Warn of lengths in units of 0 to 255, as many papers give them."""
        for name in ("eps", "alpha"):
            if (getattr(self, name, None) or 0) > 1:
                warn(
                    f"{name}: got more than 1, but pixels lie in [0, 1], so that 1 is already the whole range. Did you mean "
                    f"units of 0 to 255? They are divided by 255: {name}=8/255.",
                    BudgetWarning,
                )
                return

    @property
    def threat_model(self) -> ThreatModel:
        """What this attack may do and what it wants: a `ThreatModel`."""
        eps = self._budget() if self.kind == "budgeted" else None
        return ThreatModel(self.norm, eps, self._aim(), self.universal)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None = None) -> Tensor:
        return self._attack(model, x, y, target)[0]

    def run(
        self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None = None, first: int = 0
    ) -> AttackResult:
        """Attack, and return the whole record: see `AttackResult`.

        `first`: the place of the first image where `x` is a part of a larger batch: the noise goes by it, so that an attack in
        parts, each a multiple of 16 images, draws what it draws over the whole.
        """
        abstains = check_flag(getattr(model, "abstains", False), "model.abstains")
        began = time.perf_counter()
        images, target, steps, details, victim = self._attack(model, x, y, target, first)
        if x.is_cuda:
            torch.cuda.synchronize(x.device)
        seconds = time.perf_counter() - began
        with seeded(x.device, self.seed):  # for models that draw random numbers of their own
            logits = predict(model, images) if len(x) else x.new_zeros(0, 1)
        passes = victim.forward_passes, victim.backward_passes
        told = seconds, details, abstains, identity(model, quiet=True)
        return AttackResult(
            self, x.detach().clone(), images, y.clone(), target, logits, steps, *passes, *told
        )

    def size(self, result: AttackResult) -> Tensor:
        """The size (N,) of each change of its `AttackResult`, in this attack's norm."""
        return result.distances[self.norm]

    def _perturb(self, victim, x, y, target, noise):
        """What a subclass writes: adversarial images for one chunk of the batch, the steps taken for each, and its details."""
        raise NotImplementedError

    def _budget(self):
        return self.eps

    def _aim(self):
        if not self.targeted:
            aim = "untargeted"
        else:
            aim = "least likely class" if self.chooses_target else "targeted"
        lead = getattr(self, "confidence", 0)
        return f"{aim} by {lead:g} logits" if lead else aim

    def _attack(self, model, x, y, target, place=0):
        check_range(place, "first", 0, integer=True)
        y, target = self._checked(model, x, y, target)
        victim = Victim(model, y, target, x.dtype)
        images, goals, steps, details = [x.detach()[:0]], [y[:0]], [y[:0]], {}
        # A model may draw random numbers of its own: they follow from the seed as well, and the global state stays.
        with evaluating(model), seeded(x.device, self.seed), torch.inference_mode(False), torch.enable_grad():
            x = _working_copy(model, x)
            y, target = _recordable(y), _recordable(target)
            for first in range(0, len(x), size := _chunk_size(x, self.universal)):
                part = slice(first, first + size)
                goal = target if target is None else target[part]
                if self.chooses_target:
                    with torch.no_grad():
                        goal = least_likely(victim(x[part]), y[part])
                noise = Noise(self.seed, place + first)
                victim.gradients.begin()
                perturbed, taken, told = self._perturb(victim, x[part], y[part], goal, noise)
                images.append(perturbed.detach().to(images[0].dtype).contiguous())
                steps.append(taken)
                goals.append(goal)
                for name, values in told.items():
                    details.setdefault(name, []).append(values)
        victim.gradients.report()
        details = {name: torch.cat(values) for name, values in details.items()}
        target = torch.cat(goals) if self.targeted else None
        return torch.cat(images), target, torch.cat(steps), details, victim

    def _checked(self, model, x, y, target):
        check_model(model, check_images(x))
        y = check_labels(y, x)
        if target is None:
            if self.targeted and not self.chooses_target:
                raise InputError(
                    f"target: got None; {self} needs a label for each image (attacks.choose_target makes them)"
                )
            return y, None
        if self.chooses_target:
            raise InputError(
                f"target: got labels; {self} chooses its own target, the least likely class; allowed is None"
            )
        if not self.targeted:
            raise InputError(f"target: got labels, but {self} is untargeted; allowed is None")
        return y, check_target(check_labels(target, x, "target"), y)


def _recordable(values):
    """The tensor, or a copy of one made in inference mode, which no graph may hold. None stays None."""
    return values.clone() if values is not None and values.is_inference() else values


def _working_copy(model, x):
    """The images as the attack reckons with them: a copy, which no model spoils for the caller, in no less than float32, and laid
    out in memory as the model's filters are.
    """
    x = x.detach().clone()
    if x.dtype in (torch.float16, torch.bfloat16):
        x = x.float()
    made = (p for p in model.parameters() if not nn.parameter.is_lazy(p))
    filters = [p for p in made if p.dim() == 4 and not p.is_contiguous()]
    if any(p.is_contiguous(memory_format=torch.channels_last) for p in filters):
        x = x.contiguous(memory_format=torch.channels_last)
    return x


def _chunk_size(x, whole=False):
    if whole:
        return max(1, len(x))
    # On a CPU, buffers of larger batches are returned to the system and faulted in again at each step; a GPU wants few launches.
    images_of_32_by_32 = 2048 if x.is_cuda else 200
    return max(16, min(images_of_32_by_32, images_of_32_by_32 * 1024 // (x.shape[2] * x.shape[3])))
