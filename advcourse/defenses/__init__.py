"""The defenses of the survey's Table 2. A training defense is an objective for `training.fit`:

objective = PAT(eps=0.3, ramp=1 / 3)
fit(model, data, objective, schedule=objective.following("one-cycle"))
"""

from advcourse.defenses.adversarial_training import EAT, NAT, PAT, FastAT
from advcourse.defenses.detection import Detector, Guarded
from advcourse.defenses.lid import LIDDetector
from advcourse.defenses.squeezing import FeatureSqueezing
from advcourse.defenses.trades import TRADES

__all__ = ["EAT", "NAT", "PAT", "TRADES", "Detector", "FastAT", "FeatureSqueezing", "Guarded", "LIDDetector"]
