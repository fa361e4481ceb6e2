"""Chapter 02: attacks of one step, at three budgets on digits and at one on road signs."""

from advcourse.attacks.gradient_sign import FGSM, LLC, RFGSM
from advcourse.course.results.measured import Rate

_BUDGETS = (0.1, 0.2, 0.3)
_SIGNS = {"model": "signs-cnn", "images": "signs"}


def _rates(eps, at, **where):
    """Four attacks of one budget, and what LLC aims at; R+FGSM spends a sixth on its random step, as in its paper."""
    return (
        Rate(name=f"random signs at {at}", attack=RFGSM(eps, alpha=eps), **where),
        Rate(name=f"FGSM at {at}", attack=FGSM(eps), **where),
        Rate(name=f"R+FGSM at {at}", attack=RFGSM(eps, alpha=eps / 6), **where),
        Rate(name=f"LLC at {at}", attack=LLC(eps), **where),
        Rate(name=f"LLC at {at}, target reached", attack=LLC(eps), counted="targets", **where),
    )


MEASURED = (
    *(rate for eps in _BUDGETS for rate in _rates(eps, f"{eps:g}")),
    *_rates(8 / 255, "8/255 on signs", **_SIGNS),
)
