"""The attacks. `TABLE_1` maps name to class for those of the survey's Table 1, `REGISTRY` for all.

An attack is a frozen dataclass whose fields are the paper's hyper-parameters:

    >>> images = PGD(eps=0.3, steps=40)(model, x, y)
    >>> result = PGD(eps=0.3, steps=40).run(model, x, y)  # images, success, distances, passes, seconds
"""

from advcourse.attacks.adaptive import BPDA, EOT
from advcourse.attacks.apgd import APGD
from advcourse.attacks.ascent import Schedule
from advcourse.attacks.base import Attack, AttackResult
from advcourse.attacks.composed import EachTarget, Transfer
from advcourse.attacks.cw_l0 import CWL0
from advcourse.attacks.cw_l2 import CWL2
from advcourse.attacks.cw_linf import CWLinf
from advcourse.attacks.ddn import DDN
from advcourse.attacks.deepfool import DeepFool
from advcourse.attacks.ead import EAD
from advcourse.attacks.fab import FAB
from advcourse.attacks.fmn import FMN
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
from advcourse.attacks.jsma import JSMA
from advcourse.attacks.optmargin import OptMargin
from advcourse.attacks.square import Square
from advcourse.attacks.stadv import StAdv
from advcourse.attacks.substitute import SubstituteResult, augment, train_substitute
from advcourse.attacks.targets import choose_target
from advcourse.attacks.threat import ThreatModel
from advcourse.attacks.uap import UAP

# In the order of the survey's Table 1.
_OF_TABLE_1 = (
    *(FGSM, RFGSM, BIM, PGD, UMIFGSM, DeepFool, UAP, OptMargin),
    *(LLC, RLLC, ILLC, TMIFGSM, JSMA, CWL0, CWL2, CWLinf, EAD, StAdv),
)
_BEYOND_TABLE_1 = (APGD, FAB, Square, DDN, FMN)
TABLE_1 = {attack.__name__: attack for attack in _OF_TABLE_1}
REGISTRY = TABLE_1 | {attack.__name__: attack for attack in _BEYOND_TABLE_1}

__all__ = [
    *REGISTRY,
    "BPDA",
    "EOT",
    "REGISTRY",
    "TABLE_1",
    "Attack",
    "AttackResult",
    "EachTarget",
    "Schedule",
    "SubstituteResult",
    "ThreatModel",
    "Transfer",
    "augment",
    "choose_target",
    "gradient_family",
    "train_substitute",
]
