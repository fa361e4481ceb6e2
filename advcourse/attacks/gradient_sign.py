"""The gradient-sign family: nine attacks of the survey's Table 1, which are one loop with different settings."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from advcourse.attacks.ascent import Keep, Schedule, ascend
from advcourse.attacks.base import Attack
from advcourse.attacks.hyperparameters import number
from advcourse.core.errors import BudgetWarning, warn
from advcourse.core.inputs import LARGEST_SEED, InputError, check_range


class GradientSign(Attack):
    """Base class: x_{i+1} = project(x_i + alpha * d), where d is the gradient's sign (L-infinity) or unit vector (L2)."""

    kind: ClassVar[str] = "budgeted"
    norm: ClassVar[str] = "Linf"

    def __post_init__(self):
        super().__post_init__()
        s = self.schedule
        reach = s.start_size + s.steps * s.alpha
        if 0 < s.alpha and reach < 0.999 * s.eps:
            warn(
                f"alpha: got steps that together reach {reach / s.eps:.0%} of eps, so part of the budget can't be used. Use more "
                f"steps or a larger alpha; alpha=None chooses a suitable one.",
                BudgetWarning,
            )

    @property
    def schedule(self) -> Schedule:
        """This attack's settings for the common loop."""
        raise NotImplementedError

    def _perturb(self, victim, x, y, target, noise):
        return ascend(self.schedule, victim, x, y, target, noise)


@dataclass(frozen=True)
class FGSM(GradientSign):
    """Fast gradient sign method: x' = clip(x + eps * sign(grad J(x, y))).

    Paper: Goodfellow, Shlens and Szegedy 2015, "Explaining and Harnessing Adversarial Examples", section 4 (arXiv 1412.6572).
    Norm: L-infinity. Every pixel whose gradient is not 0 moves by eps, or to the end of [0, 1], even if a smaller change would
    be enough.

    Args:
        eps: budget, in units of the pixel range [0, 1] (default 0.3).
        targeted: descend the loss of `target` instead of climbing that of `y` (default False).

    Example:
        >>> x_adv = FGSM(eps=0.3)(model, x, y)
    """

    eps: float = number(0.3, low=0)
    targeted: bool = False

    @property
    def schedule(self) -> Schedule:
        return Schedule(self.eps, alpha=self.eps, target="given" if self.targeted else "none")


@dataclass(frozen=True)
class RFGSM(GradientSign):
    """R+FGSM: a random sign step of size alpha, then a gradient sign step of size eps - alpha from there.

    Paper: Tramer et al. 2018, "Ensemble Adversarial Training", equations 7 and 8 (arXiv 1705.07204). Norm: L-infinity. Other
    libraries use this name for an attack of many steps; the paper's attack takes a single one.

    Args:
        eps: budget of both steps together, in units of the pixel range [0, 1] (default 0.3).
        alpha: size of the random step, at most eps (default 0.05, the paper's for MNIST).
        targeted: descend the loss of `target` instead of climbing that of `y` (default False).
        seed: seed of the random step (default 0).

    Raises:
        InputError: alpha is above eps.

    Example:
        >>> x_adv = RFGSM(eps=0.3, alpha=0.05, seed=1)(model, x, y)
    """

    eps: float = number(0.3, low=0)
    alpha: float = number(0.05, low=0)
    targeted: bool = False
    seed: int = number(0, low=0, high=LARGEST_SEED)

    def __post_init__(self):
        super().__post_init__()
        check_range(self.alpha, "alpha", 0, self.eps)

    @property
    def schedule(self) -> Schedule:
        target = "given" if self.targeted else "none"
        return Schedule(self.eps, self.eps - self.alpha, start="sign", start_size=self.alpha, target=target)


@dataclass(frozen=True)
class LLC(GradientSign):
    """Least-likely class in one step: x' = clip(x - eps * sign(grad J(x, y_LL))), where y_LL is the least likely class of x.

    Paper: Kurakin, Goodfellow and Bengio 2017, "Adversarial Machine Learning at Scale", equation 5 (arXiv 1611.01236). Norm:
    L-infinity. The attack chooses its own target, which is never the true label.

    Args:
        eps: budget, in units of the pixel range [0, 1] (default 0.3).

    Example:
        >>> x_adv = LLC(eps=0.3)(model, x, y)
    """

    eps: float = number(0.3, low=0)
    targeted: ClassVar[bool] = True
    chooses_target: ClassVar[bool] = True

    @property
    def schedule(self) -> Schedule:
        return Schedule(self.eps, alpha=self.eps, target="least likely")


@dataclass(frozen=True)
class RLLC(GradientSign):
    """R+LLC: a random sign step of size alpha, then a step of size eps - alpha towards the clean image's least likely class.

    Paper: Tramer et al. 2018, "Ensemble Adversarial Training", section 4 (arXiv 1705.07204). Norm: L-infinity.

    Args:
        eps: budget of both steps together, in units of the pixel range [0, 1] (default 0.3).
        alpha: size of the random step, at most eps (default 0.05).
        seed: seed of the random step (default 0).

    Raises:
        InputError: alpha is above eps.

    Example:
        >>> x_adv = RLLC(eps=0.3, alpha=0.05)(model, x, y)
    """

    eps: float = number(0.3, low=0)
    alpha: float = number(0.05, low=0)
    seed: int = number(0, low=0, high=LARGEST_SEED)
    targeted: ClassVar[bool] = True
    chooses_target: ClassVar[bool] = True

    def __post_init__(self):
        super().__post_init__()
        check_range(self.alpha, "alpha", 0, self.eps)

    @property
    def schedule(self) -> Schedule:
        return Schedule(
            self.eps, self.eps - self.alpha, start="sign", start_size=self.alpha, target="least likely"
        )


@dataclass(frozen=True)
class BIM(GradientSign):
    """Basic iterative method: x_{i+1} = project(x_i + alpha * sign(grad J(x_i, y))), from x_0 = x.

    Paper: Kurakin, Goodfellow and Bengio 2017, "Adversarial Examples in the Physical World", section 2.2 (arXiv 1607.02533).
    Norm: L-infinity.

    Args:
        eps: budget, in units of the pixel range [0, 1] (default 0.3).
        alpha: size of a step (default None: 2.5 * eps / steps, enough to reach the border of the ball and to turn there).
        steps: number of steps (default 40).
        targeted: descend the loss of `target` instead of climbing that of `y` (default False).
        keep: "best" (default) takes all steps and returns the iterate with the lowest margin. "last" returns the last iterate,
            as in the paper. "first" lets an image leave the batch at its first success, which is the fastest but transfers
            worst to other models.

    Example:
        >>> x_adv = BIM(eps=0.3, alpha=0.02, steps=40)(model, x, y)
    """

    eps: float = number(0.3, low=0)
    alpha: float | None = number(None, low=0)
    steps: int = number(40, low=1)
    targeted: bool = False
    keep: Keep = "best"

    @property
    def schedule(self) -> Schedule:
        target = "given" if self.targeted else "none"
        return Schedule(self.eps, _step_size(self), self.steps, target=target, keep=self.keep)


@dataclass(frozen=True)
class ILLC(GradientSign):
    """Iterative least-likely class: BIM towards the least likely class of the clean image.

    Paper: Kurakin, Goodfellow and Bengio 2017, "Adversarial Examples in the Physical World", section 2.3 (arXiv 1607.02533).
    Norm: L-infinity. The target is chosen once, on the clean image, and is never the true label.

    Args:
        eps, alpha, steps, keep: as for `BIM` (defaults 0.3, None, 40, "best").

    Example:
        >>> x_adv = ILLC(eps=0.3, steps=40)(model, x, y)
    """

    eps: float = number(0.3, low=0)
    alpha: float | None = number(None, low=0)
    steps: int = number(40, low=1)
    keep: Keep = "best"
    targeted: ClassVar[bool] = True
    chooses_target: ClassVar[bool] = True

    @property
    def schedule(self) -> Schedule:
        return Schedule(self.eps, _step_size(self), self.steps, target="least likely", keep=self.keep)


@dataclass(frozen=True)
class PGD(GradientSign):
    """Projected gradient descent: BIM from random points of the ball, in L-infinity or L2, with restarts.

    Paper: Madry et al. 2018, "Towards Deep Learning Models Resistant to Adversarial Attacks", section 2.1 (arXiv 1706.06083).

    Args:
        eps: budget, in the unit of `norm`: pixel range for "Linf" (default 0.3), Euclidean length for "L2".
        alpha: size of a step, in the same unit (default None: 2.5 * eps / steps, Madry's rule).
        steps: number of steps of each run (default 40).
        random_start: start from a uniform random point of the ball (default True); False starts from the image.
        norm: "Linf" (default) or "L2".
        restarts: number of runs (default 1); a later run uses only the images that are not fooled yet.
        targeted: descend the loss of `target` instead of climbing that of `y` (default False).
        keep: as for `BIM` (default "best").
        seed: seed of the random starts (default 0).

    Raises:
        InputError: restarts is above 1 without random starts.

    Example:
        >>> x_adv = PGD(eps=2.0, alpha=0.1, steps=100, norm="L2", restarts=5)(model, x, y)
    """

    eps: float = number(0.3, low=0)
    alpha: float | None = number(None, low=0)
    steps: int = number(40, low=1)
    random_start: bool = True
    norm: Literal["Linf", "L2"] = "Linf"
    restarts: int = number(1, low=1)
    targeted: bool = False
    keep: Keep = "best"
    seed: int = number(0, low=0, high=LARGEST_SEED)

    def __post_init__(self):
        super().__post_init__()
        if self.restarts > 1 and not self.random_start:
            given = f"got {self.restarts} with random_start=False"
            raise InputError(f"restarts: {given}; allowed is 1, because all runs would be the same")

    @property
    def schedule(self) -> Schedule:
        start, target = "uniform" if self.random_start else "image", "given" if self.targeted else "none"
        settings = {
            "norm": self.norm,
            "start": start,
            "restarts": self.restarts,
            "target": target,
            "keep": self.keep,
        }
        return Schedule(self.eps, _step_size(self), self.steps, **settings)


@dataclass(frozen=True)
class UMIFGSM(GradientSign):
    """U-MI-FGSM: untargeted BIM with momentum, which steps along the sign of a decaying sum g of normalised gradients.

        g_{i+1} = decay * g_i + grad J / ||grad J||_1, x_{i+1} = project(x_i + alpha * sign(g_{i+1})), from g_0 = 0, x_0 = x.

    Paper: Dong et al. 2018, "Boosting Adversarial Attacks with Momentum", equations 6 and 7 (arXiv 1710.06081). Norm:
    L-infinity. It is made for transfer to other models. Each image's gradient is divided by its own norm.

    Args:
        eps: budget, in units of the pixel range [0, 1] (default 0.3).
        alpha: size of a step (default None: eps / steps, as in the paper).
        steps: number of steps (default 10).
        decay: weight of the earlier gradients, mu in the paper (default 1.0).
        keep: as for `BIM` (default "best").

    Example:
        >>> x_adv = UMIFGSM(eps=0.3, steps=10, decay=1.0)(model, x, y)
    """

    eps: float = number(0.3, low=0)
    alpha: float | None = number(None, low=0)
    steps: int = number(10, low=1)
    decay: float = number(1.0, low=0)
    keep: Keep = "best"

    @property
    def schedule(self) -> Schedule:
        target = "given" if self.targeted else "none"
        return Schedule(
            self.eps, _step_size(self, 1.0), self.steps, decay=self.decay, target=target, keep=self.keep
        )


@dataclass(frozen=True)
class TMIFGSM(UMIFGSM):
    """T-MI-FGSM: the targeted form of `UMIFGSM`, which descends the loss of the caller's `target`.

    Paper: Dong et al. 2018, "Boosting Adversarial Attacks with Momentum", section 3.3 (arXiv 1710.06081).

    Args:
        eps, alpha, steps, decay, keep: as for `UMIFGSM` (defaults 0.3, None, 10, 1.0, "best").

    Example:
        >>> x_adv = TMIFGSM(eps=0.3, steps=10)(model, x, y, target=choose_target(model, x, y))
    """

    targeted: ClassVar[bool] = True


def _step_size(attack, reach=2.5):
    """Return `alpha` if it is given; otherwise the step size with which all steps together are `reach` times the budget."""
    return reach * attack.eps / attack.steps if attack.alpha is None else attack.alpha


def gradient_family() -> list[tuple[str, Schedule]]:
    """Return the nine attacks as pairs (name, `Schedule`), each with its default settings for the common loop."""
    family = (FGSM, RFGSM, LLC, RLLC, BIM, ILLC, PGD, UMIFGSM, TMIFGSM)
    return [(attack.__name__, attack().schedule) for attack in family]
