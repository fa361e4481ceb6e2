"""Chapter 20: labels that were flipped, images that were stamped, what thieves learned, and poison for training from scratch."""

from advcourse.course.results.victims import Flipped, Matched, Stamped, Stolen
from advcourse.lifecycle import GradientMatching

SEEDS = (0, 1)
STAMPED = (0, 4, 10, 20, 40, 120)  # images, of 4 000
SHARES = (0.0, 0.2, 0.4, 0.5, 0.6, 0.8)
THEFTS = {
    "digits": ("digits", "label"),
    "digits, all probabilities told": ("digits", "probabilities"),
    "warps of 100 digits": ("warps of 100", "label"),
    "steps from 100 digits": ("steps from 100", "label"),
    "signs in grey": ("signs in grey", "label"),
    "noise": ("noise", "label"),
}
FAR = ("signs in grey", "noise")  # so far behind that one thief is enough
_BREW = GradientMatching(steps=100, restarts=1)

MEASURED = (
    *(
        Stamped(name=f"{count} stamped, seed {seed}", share=count / 4000, seed=seed)
        for count in STAMPED
        for seed in SEEDS
    ),
    *(
        Flipped(name=f"{mode}, {share:.0%} flipped, seed {seed}", share=share, mode=mode, seed=seed)
        for mode in ("random", "pair")
        for share in SHARES
        for seed in SEEDS
    ),
    *(
        Stolen(name=f"{name}, seed {seed}", queries=queries, answers=answers, seed=seed)
        for name, (queries, answers) in THEFTS.items()
        for seed in (SEEDS if name not in FAR else SEEDS[:1])
    ),
    Matched(name="from scratch, nearest class", attack=_BREW, wanted="nearest", trials=8),
)
