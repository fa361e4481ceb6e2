"""C&W L2: the smallest change by the Euclidean norm, as an optimisation problem."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from advcourse.attacks.base import Attack
from advcourse.attacks.deepfool import nearest_rival
from advcourse.attacks.hyperparameters import number
from advcourse.attacks.search import Search, TanhAdam, hinge_of, search, squared_l2
from advcourse.attacks.slide import slide


@dataclass(frozen=True)
class CWL2(Attack):
    """Carlini and Wagner's L2 attack: minimise |x' - x|_2^2 + c * max(max_{i != t} Z_i - Z_t, -confidence).

    Paper: Carlini and Wagner 2017, "Towards Evaluating the Robustness of Neural Networks", sections V and VI.A (arXiv
    1608.04644). Norm: L2, the smallest. x' = (tanh w + 1) / 2 keeps the box, Adam minimises over w, and each image has
    its own binary search on c. Untargeted, the true label's lead over the best other takes the place of the target's
    deficit.

    Beyond the paper: untargeted, the search aims at the class behind the nearest linearised boundary, while any class
    counts (the class of the largest logit is often farther away); the first c is estimated from the model's slope; a
    run starts from the best point so far; and at the end that point slides along the boundary (`attacks.boundary`). The
    paper's own settings are `lr=0.01, steps=1000, binary_search_steps=9, initial_const=1e-3, slides=0, doublings=0`;
    they take some 180 times as many passes, and end farther away.

    Args:
        confidence: by how much the wanted logit shall lead (default 0).
        lr: Adam's step in w (default 0.5).
        steps: of Adam for each c (default 4).
        binary_search_steps: constants tried (default 4).
        initial_const: the first c (default None, an estimate for each image).
        slides: steps along the boundary at the end (default 25; 0 for none).
        doublings: where nothing has succeeded yet, one more run with twice as many steps, and so on, at most so often
            (default 6; 0 for none). It costs nothing where the runs above succeed; models with flat gradients need it.
        targeted: reach `target` instead of leaving `y` (default False).

    What fails comes back as the clean image. `details`: "c" (N,), the constant that the search had come to.

    Example:
        >>> x_adv = CWL2()(model, x, y)
    """

    confidence: float = number(0.0, low=0)
    lr: float = number(0.5, low=1e-6)
    steps: int = number(4, low=1)
    binary_search_steps: int = number(4, low=1)
    initial_const: float | None = number(None, low=1e-12)
    slides: int = number(25, low=0)
    doublings: int = number(6, low=0)
    targeted: bool = False
    kind: ClassVar[str] = "minimum-norm"
    norm: ClassVar[str] = "L2"

    def _perturb(self, victim, x, y, target, noise):
        label, away = (y, 1) if target is None else (target, -1)
        settings = Search(
            self.steps,
            self.binary_search_steps,
            self.doublings,
            self.initial_const,
            squared_l2,
            partial(TanhAdam, lr=self.lr),
        )
        rival = nearest_rival(victim, x, y) if target is None else None
        nearest, c, taken = search(settings, x, hinge_of(victim, label, away, self.confidence, rival))
        taken += slide(victim, x, nearest, label, away, self.confidence, self.slides)
        return nearest.images, taken, {"c": c}
