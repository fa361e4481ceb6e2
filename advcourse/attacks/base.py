"""What all attacks share: the base class `Attack`, the record `AttackResult`, and `AttackedModel`, which they see."""

import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn

from advcourse import metrics
from advcourse.attacks.gradient_watch import GradientWatch
from advcourse.attacks.hyperparameters import allowed
from advcourse.attacks.noise import Noise
from advcourse.attacks.targets import least_likely
from advcourse.attacks.threat import ThreatModel
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


class AttackedModel:
    """The model under attack. It checks each answer with `inputs.ask`, counts the passes, and watches the gradients.

    An attack computes in float32 or float64. A model in half precision gets the images, and is differentiated, in its own
    type.

    Args:
        model: the attacked model.
        y: true labels (N,); the first answer is checked to have these classes.
        target: wanted labels (N,), which are checked too; None for an untargeted attack.
        dtype: the type of the images that the model takes.
    """

    def __init__(self, model: nn.Module, y: Tensor, target: Tensor | None, dtype: torch.dtype):
        self._model, self._labels, self._answered = model, {"y": y, "target": target}, False
        self._dtype = dtype
        self._exact = torch.finfo(dtype).eps
        self.gradients = GradientWatch()
        self.forward_passes = self.backward_passes = 0

    def __call__(self, x: Tensor) -> Tensor:
        """Return the logits (N, K) of the images `x` (N, C, H, W), with a graph if `x` requires gradients.

        Raises:
            InputError: the model's answer breaks its contract, or it has fewer classes than the labels need.
        """
        answer = ask(self._model, x.to(self._dtype))
        if not self._answered:
            check_logits(answer)
            for name, labels in self._labels.items():
                if labels is not None:
                    check_classes(labels, answer.shape[1], name)
            self._answered = True
        # Under autocast the answer has a less precise type than the images.
        self._exact = max(self._exact, torch.finfo(answer.dtype).eps)
        logits = answer.to(x.dtype)
        self.gradients.follow(x, logits)
        self.forward_passes += len(x)
        return logits

    def gradient(
        self, values: Tensor, x: Tensor, weights: Tensor | None = None, keep_graph: bool = False
    ) -> Tensor:
        """Return the gradient of each image's own value with respect to that image.

        The values are summed, not averaged, so the result does not depend on the batch size.

        Args:
            values: (N,), one value for each image, or (N, ...), whose entries are added up.
            x: the images (N, C, H, W) that `values` were computed from.
            weights: shaped like `values`, which are multiplied by them before they are added up; None for ones.
            keep_graph: whether the graph can be differentiated again (default False).

        Returns:
            a new tensor (N, C, H, W), which the caller may change in place; 0 where the gradient is NaN or infinite.

        Raises:
            InputError: no gradient reaches the images, or the model was compiled so that its backward pass can run only once.
        """
        self.backward_passes += len(x)
        if weights is None:
            values = values.sum()
        try:
            gradient = torch.autograd.grad(values, x, weights, keep_graph, allow_unused=True)[0]
        except RuntimeError as error:
            if "donated buffer" in str(error):
                raise InputError(_COMPILED) from error
            raise
        if gradient is None or self.gradients.missed():
            raise InputError(NO_GRADIENT)
        # The gradient of a sum is a single number expanded with strides of 0, and such a tensor can't be written to.
        if 0 in gradient.stride():
            gradient = gradient.clone(memory_format=torch.contiguous_format)
        # `gradients` warns of what is no number. It says nothing about its pixel, and must not spread to the others.
        return gradient.nan_to_num_(0, 0, 0)

    def distance_to_success(self, logits: Tensor, label: Tensor, sign: int) -> Tensor:
        """Return the signed distance to success: negative once the attack has succeeded, by more than rounding can undo.

        The margin for rounding is needed because the same image gets slightly different logits in a batch of another size, and
        a minimum-norm attack ends right at the boundary.

        Args:
            logits: (N, K).
            label: (N,), the label to leave or to reach.
            sign: 1 if success means leaving `label`, -1 if it means reaching it.

        Returns:
            (N,), in logits.
        """
        ahead = margin(logits, label)
        return (ahead if sign == 1 else -ahead) + self.blur(logits)

    def blur(self, logits: Tensor) -> Tensor:
        """Return by how much rounding can change a distance to success: (N,), in logits."""
        return 4 * self._resolution(logits) * logits.detach().abs().amax(1)

    def coarse(self, logits: Tensor) -> bool:
        """Return whether the logits have so few digits that a step meant to cross a boundary can end on it."""
        return self._resolution(logits) > 1e-5

    def _resolution(self, logits):
        # Convolutions in float32 on a GPU keep 10 bits of the mantissa, unless told otherwise.
        short = logits.is_cuda and torch.backends.cudnn.allow_tf32 and self._dtype == torch.float32
        return max(2**-11, self._exact) if short else self._exact


_COMPILED = (
    "model: its compiled backward pass can run only once, but this attack needs it twice. Attack the model as it was before "
    "torch.compile, model._orig_mod, or set torch._functorch.config.donated_buffer = False before compiling it"
)


@dataclass(frozen=True)
class AttackResult:
    """The record of one attack on N images. It holds its own copies, so later changes to the caller's tensors do not affect it.

    Attributes:
        attack: the attack, with which the run can be repeated.
        clean, images: the images (N, C, H, W) before and after the attack.
        labels, target: (N,), the true and the wanted labels; `target` is None if the attack is untargeted.
        logits: (N, K), from a new forward pass over `attack.as_read(images)` after the attack.
        steps: (N,), the number of steps taken for each image.
        forward_passes, backward_passes: how many times an image went through the model, summed over the batch, without the
            pass that gives `logits`.
        seconds: for the whole batch.
        details: name -> tensor (N, ...), for results that only this attack has; its docstring describes them.
        abstains: True if the model's last class means "flagged as adversarial", which never counts as success.
        model: the `identity` of the attacked model; "" if it can't be determined.
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
        """The class that the model assigns to each attacked image, shape (N,)."""
        return self.logits.argmax(1)

    @property
    def success(self) -> Tensor:
        """Whether the attack on each image succeeded, shape (N,) bool."""
        return metrics.succeeded(self.logits, self.labels, self.target, self.abstains)

    @property
    def success_rate(self) -> float:
        """Share of the N images on which the attack succeeded; NaN for N = 0."""
        return metrics.misclassification_rate(self.logits, self.labels, self.target, self.abstains)

    @property
    def size(self) -> Tensor:
        """Size of each change, shape (N,), in the norm that the attack bounds or minimises."""
        return self.attack.size(self) if len(self.images) else self.images.new_zeros(0)

    @cached_property
    def distances(self) -> dict[str, Tensor]:
        """L0 (in pixels), L1, L2 and L-infinity of each change: a dictionary of tensors of shape (N,)."""
        norms = {"L0": metrics.l0, "L1": metrics.l1, "L2": metrics.l2, "Linf": metrics.linf}
        return {name: norm(self.clean, self.images) for name, norm in norms.items()}


class Attack:
    """Base class of attacks: frozen dataclasses whose fields are the paper's hyper-parameters.

    Each field declares which values it allows, see `hyperparameters`. Its value is checked and converted to Python's own type.
    The `repr` is the code that creates the same attack.

    `attack(model, x, y, target=None)` returns the adversarial images; `attack.run(...)` returns the whole `AttackResult`. `x`
    (N, C, H, W) are images in [0, 1], `y` (N,) the true labels, and `target` (N,) the labels wanted by an attack with
    `targeted=True`. The returned images are in [0, 1], inside the budget, and detached. The model and the global random state
    are as they were before. All randomness comes from `seed`.

    Bad input raises `InputError`. If the model's gradient is exactly zero for more than 1 % of the images, or NaN or infinite, a
    failed attack says nothing about the model; a `ZeroGradientWarning` or a `NonFiniteGradientWarning` says so.

    The result for an image does not depend on the other images, unless the attack is `universal`. In exact arithmetic this is
    equality. In floating point, a batch of another size or another processor adds the same numbers in another order: in
    float64 the results of a short search agree to 1e-9; in float32 a long search can turn a rounding error into another end
    point. That end point is as good on average, so success rate and mean size stay the same, though a single image may differ.
    """

    # "budgeted": the strongest point found in a ball; "minimum-norm": the nearest point found that succeeds.
    kind: ClassVar[str]
    # The norm in which the change is bounded or minimised: see `ThreatModel`.
    norm: ClassVar[str]
    targeted: ClassVar[bool] = False
    # True if it aims at the least likely class of the clean image, and takes no target from the caller.
    chooses_target: ClassVar[bool] = False
    # True if it makes one perturbation for all images together, and so needs the whole batch at once.
    universal: ClassVar[bool] = False
    black_box: ClassVar[bool] = False  # True if it asks for logits alone, and never for a gradient
    # "physical" if success is judged on photographs: see `ThreatModel`.
    channel: ClassVar[str] = "digital"
    seed: ClassVar[int] = 0

    def __post_init__(self):
        for name, field_rule in allowed(type(self)).items():
            object.__setattr__(self, name, field_rule.check(getattr(self, name), name))
        if self.norm == "Linf":
            self._check_unit()

    def _check_unit(self):
        """Warn if a length is above 1, which suggests units of 0 to 255, as many papers use them."""
        for name in ("eps", "alpha"):
            if (getattr(self, name, None) or 0) > 1:
                warn(
                    f"{name}: got more than 1, but pixels lie in [0, 1], so 1 is already the whole range. Did you mean "
                    f"units of 0 to 255? Then divide by 255, as in {name}=8/255.",
                    BudgetWarning,
                )
                return

    @property
    def threat_model(self) -> ThreatModel:
        """What the attacker may change and what counts as success: a `ThreatModel`."""
        eps = self._budget() if self.kind == "budgeted" else None
        return ThreatModel(self.norm, eps, self._aim(), self.universal, self.channel)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None = None) -> Tensor:
        """Attack the images `x` (N, C, H, W) and return the adversarial images, of the same shape. Arguments as for `run`."""
        return self._attack(model, x, y, target)[0]

    def run(
        self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None = None, first: int = 0
    ) -> AttackResult:
        """Attack the images and return the whole record.

        Args:
            model: a module from images (N, C, H, W) in [0, 1] to logits (N, K).
            x: images (N, C, H, W) in [0, 1].
            y: true labels (N,).
            target: wanted labels (N,), for an attack with `targeted=True` that does not choose its own (default None).
            first: if `x` is part of a larger batch, the index of its first image there (default 0). The noise depends on this
                index: if a batch is attacked in parts that start at multiples of 16, the draws are the same as for the whole
                batch.

        Returns:
            an `AttackResult`.

        Raises:
            InputError: model, images or labels break their contract, or a target is missing or not accepted by this attack.
        """
        abstains = check_flag(getattr(model, "abstains", False), "model.abstains")
        began = time.perf_counter()
        images, target, steps, details, victim = self._attack(model, x, y, target, first)
        if x.is_cuda:
            torch.cuda.synchronize(x.device)
        seconds = time.perf_counter() - began
        with seeded(x.device, self.seed):  # for models that draw random numbers of their own
            logits = predict(model, self.as_read(images, first)) if len(x) else x.new_zeros(0, 1)
        passes = victim.forward_passes, victim.backward_passes
        rest = seconds, details, abstains, identity(model, quiet=True)
        return AttackResult(
            self, x.detach().clone(), images, y.clone(), target, logits, steps, *passes, *rest
        )

    def size(self, result: AttackResult) -> Tensor:
        """Return the size (N,) of each change in `result`, in this attack's norm."""
        return result.distances[self.norm]

    def as_read(self, images: Tensor, first: int = 0) -> Tensor:
        """Return what the model reads of attacked images, the images themselves; physical attacks take photographs."""
        return images

    def _perturb(self, victim, x, y, target, noise):
        """Return adversarial images for a chunk of the batch, the steps taken for each, and details. Subclasses define it."""
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
        victim = AttackedModel(model, y, target, x.dtype)
        images, goals, steps, details = [x.detach()[:0]], [y[:0]], [y[:0]], {}
        # If the model itself draws random numbers, they follow from the seed as well, and the global state is restored.
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
                perturbed, taken, extra = self._perturb(victim, x[part], y[part], goal, noise)
                images.append(perturbed.detach().to(images[0].dtype).contiguous())
                steps.append(taken)
                goals.append(goal)
                for name, values in extra.items():
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
    """Return the tensor, copied if it was made in inference mode, since no graph can hold such tensors. None stays None."""
    return values.clone() if values is not None and values.is_inference() else values


def _working_copy(model, x):
    """Return the images as the attack computes with them.

    They are a copy, so that a model that changes its input can't spoil the caller's; in float32 at least; and with the memory
    layout of the model's filters.
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
    """Return how many images of the batch `x` are attacked together: all of them if `whole`."""
    if whole:
        return max(1, len(x))
    # On a CPU, the memory of larger batches is returned to the system and fetched again at each step. A GPU prefers few calls.
    images_of_32_by_32 = 2048 if x.is_cuda else 200
    return max(16, min(images_of_32_by_32, images_of_32_by_32 * 1024 // (x.shape[2] * x.shape[3])))
