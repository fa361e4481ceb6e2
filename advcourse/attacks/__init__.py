"""The attacks of the survey's Table 1. An attack is a frozen dataclass of the paper's hyper-parameters:

images = PGD(eps=0.3, steps=40)(model, x, y)
result = PGD(eps=0.3, steps=40).run(model, x, y)   # images, success, distances, passes, seconds
"""

from advcourse.attacks.ascent import Schedule
from advcourse.attacks.base import Attack, AttackResult
from advcourse.attacks.deepfool import DeepFool
from advcourse.attacks.gradient_sign import (
    BIM,
    FGSM,
    ILLC,
    LLC,
    PGD,
    RFGSM,
    RLLC,
    TMIFGSM,
    UMIFGSM,
    gradient_family,
)
from advcourse.attacks.saliency import JSMA
from advcourse.attacks.spatial import StAdv
from advcourse.attacks.targets import choose_target
from advcourse.attacks.uap import UAP

REGISTRY = {
    attack.__name__: attack
    for attack in (FGSM, RFGSM, LLC, RLLC, BIM, ILLC, PGD, UMIFGSM, TMIFGSM, DeepFool, UAP, JSMA, StAdv)
}

__all__ = [*REGISTRY, "REGISTRY", "Attack", "AttackResult", "Schedule", "choose_target", "gradient_family"]
