"""The gradient-sign family: nine attacks of the survey's Table 1, one loop with different settings (`gradient_family()`)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from advcourse.attacks.ascent import Keep, Schedule, ascend
from advcourse.attacks.base import Attack
from advcourse.attacks.hyperparameters import number
from advcourse.core.errors import BudgetWarning, warn
from advcourse.core.inputs import LARGEST_SEED, InputError, check_range


class GradientSign(Attack):
    """x_{i+1} = project(x_i + alpha * direction): sign (L-infinity) or unit vector (L2) of the gradient."""

    kind: ClassVar[str] = "budgeted"
    norm: ClassVar[str] = "Linf"

    def __post_init__(self):
        super().__post_init__()
        s = self.schedule
        reach = s.start_size + s.steps * s.alpha
        if 0 < s.alpha and reach < 0.999 * s.eps:
            warn(
                f"alpha: got steps that together reach {reach / s.eps:.0%} of eps, so that the budget can't be spent. Take more "
                f"of them, or longer ones: alpha=None chooses their length.",
                BudgetWarning,
            )

    @property
    def schedule(self) -> Schedule:
        """This attack as settings of the one loop: a `Schedule`."""
        raise NotImplementedError

    def _perturb(self, victim, x, y, target, noise):
        return ascend(self.schedule, victim, x, y, target, noise)


@dataclass(frozen=True)
class FGSM(GradientSign):
    """Fast gradient sign method: x' = clip(x + eps * sign(grad J(x, y))).

    Paper: Goodfellow, Shlens and Szegedy 2015, "Explaining and Harnessing Adversarial Examples", section 4 (arXiv 1412.6572).
    Norm: L-infinity. Every pixel with a gradient moves by eps or to the end of [0, 1], whether or not that is needed.

    Args:
        eps: budget, in units of the pixel range [0, 1] (default 0.3).
        targeted: descend the loss of `target` instead (default False).

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
    """R+FGSM: a random sign step of alpha, then a gradient sign step of eps - alpha from there.

    Paper: Tramer et al. 2018, "Ensemble Adversarial Training", equations 7 and 8 (arXiv 1705.07204). Norm: L-infinity.
    Other libraries give this name to an iteration of many steps; the paper's takes one.

    Args:
        eps: budget of both steps together, in units of the pixel range [0, 1] (default 0.3).
        alpha: size of the random step, at most eps (default 0.05, the paper's for MNIST).
        targeted: descend the loss of `target` instead (default False).
        seed: of the random step (default 0).

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
    """Least-likely class in one step: x' = clip(x - eps * sign(grad J(x, y_LL))), y_LL the least likely class of x.

    Paper: Kurakin, Goodfellow and Bengio 2017, "Adversarial Machine Learning at Scale", equation 5 (arXiv 1611.01236).
    Norm: L-infinity. It chooses its own target, which is never the true label.

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
    """R+LLC: a random sign step of alpha, then a step of eps - alpha towards the least likely class of the clean image.

    Paper: Tramer et al. 2018, "Ensemble Adversarial Training", section 4 (arXiv 1705.07204). Norm: L-infinity.

    Args:
        eps: budget of both steps together, in units of the pixel range [0, 1] (default 0.3).
        alpha: size of the random step, at most eps (default 0.05).
        seed: of the random step (default 0).

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
        alpha: size of a step (default None: 2.5 * eps / steps, to reach the border of the ball and turn there).
        steps: number of steps (default 40).
        targeted: descend the loss of `target` instead (default False).
        keep: "best" (default) takes all steps and returns the iterate of lowest margin; "last" returns the last, as the paper
            does; "first" lets an image leave the batch at its first success: fastest, and weakest when carried to another model.

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
        random_start: start from a uniform draw from the ball (default True); False starts from the image.
        norm: "Linf" (default) or "L2".
        restarts: number of runs (default 1); a later run takes only the images that are not fooled yet.
        targeted: descend the loss of `target` instead (default False).
        keep: as for `BIM` (default "best").
        seed: of the random starts (default 0).

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
            raise InputError(f"restarts: {given}; allowed is 1, for all runs would be the same")

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
    """U-MI-FGSM, untargeted, with momentum g: the steps go along the sign of a decaying sum of normalised gradients.

    g_{i+1} = decay * g_i + grad J / ||grad J||_1, x_{i+1} = project(x_i + alpha * sign(g_{i+1})), from g_0 = 0, x_0 = x.

    Paper: Dong et al. 2018, "Boosting Adversarial Attacks with Momentum", equations 6 and 7 (arXiv 1710.06081).
    Norm: L-infinity. Made for transfer to other models. The norm of the gradient is each image's own.

    Args:
        eps: budget, in units of the pixel range [0, 1] (default 0.3).
        alpha: size of a step (default None: eps / steps, as in the paper).
        steps: number of steps (default 10).
        decay: weight of the gradients so far, mu in the paper (default 1.0).
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
    """T-MI-FGSM, targeted: `UMIFGSM` that descends the loss of `target`, which the caller gives.

    Paper: Dong et al. 2018, "Boosting Adversarial Attacks with Momentum", section 3.3 (arXiv 1710.06081).

    Args:
        eps, alpha, steps, decay, keep: as for `UMIFGSM`.

    Example:
        >>> x_adv = TMIFGSM(eps=0.3, steps=10)(model, x, y, target=choose_target(model, x, y))
    """

    targeted: ClassVar[bool] = True


def _step_size(attack, reach=2.5):
    """`alpha` where it is given; else steps that together are `reach` budgets long."""
    return reach * attack.eps / attack.steps if attack.alpha is None else attack.alpha


def gradient_family() -> list[tuple[str, Schedule]]:
    """The nine attacks with their default settings as (name, `Schedule`) pairs: what makes each one out of the same loop."""
    family = (FGSM, RFGSM, LLC, RLLC, BIM, ILLC, PGD, UMIFGSM, TMIFGSM)
    return [(attack.__name__, attack().schedule) for attack in family]
