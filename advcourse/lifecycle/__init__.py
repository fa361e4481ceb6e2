"""The life cycle of a model: what an attacker can do before, while and after it is trained, and what it gives away."""

from advcourse.lifecycle.backdoor import backdoor_success, label_consistent, poison
from advcourse.lifecycle.collision import FeatureCollision, collision_trials
from advcourse.lifecycle.columns import (
    BackdoorRate,
    CleanAccuracy,
    EvasionRate,
    ExtractionRate,
    InversionRate,
    MembershipRate,
    PoisoningRate,
)
from advcourse.lifecycle.extraction import (
    AsTheyAre,
    JacobianSteps,
    KCentre,
    NoiseQueries,
    Theft,
    Warps,
    agreement,
    grey_signs,
    steal,
    transferred,
)
from advcourse.lifecycle.features import Features, activations
from advcourse.lifecycle.filters import (
    activation_clustering,
    caught,
    highest,
    spectral_signatures,
    trusted_distance,
)
from advcourse.lifecycle.gradient_inversion import (
    GradientInversion,
    label_of,
    linear_input,
    shared_gradient,
    smooth_net,
)
from advcourse.lifecycle.hunt import anomaly_index, hunt_triggers
from advcourse.lifecycle.inversion import Inversion, class_means, judge_prototypes
from advcourse.lifecycle.learners import Fitted, FittedPrivately, Pruned
from advcourse.lifecycle.matching import GradientMatching, matching_trials
from advcourse.lifecycle.membership import (
    ConfidenceThreshold,
    LiRA,
    RightOrWrong,
    ShadowClassifier,
    balanced_accuracy,
    certain_members,
    leave_one_out,
)
from advcourse.lifecycle.oracle import Oracle, QueryBudgetError, solve_softmax_regression
from advcourse.lifecycle.poisoned import Poisoned, train_victim
from advcourse.lifecycle.poisoning import flip_labels, label_vote
from advcourse.lifecycle.private import PrivateTraining, clipped_sum, epsilon, noise_for
from advcourse.lifecycle.repair import fine_prune, unlearn
from advcourse.lifecycle.retraining import condemned, exclusionary_test, retrain_without
from advcourse.lifecycle.scorecard import Scorecard, StageResult, Subject, load_scorecard, measure_scorecard
from advcourse.lifecycle.shadows import (
    ShadowSet,
    draw_halves,
    label_votes,
    load_shadows,
    logit_confidence,
    train_shadows,
)
from advcourse.lifecycle.strip import strip_entropy
from advcourse.lifecycle.triggers import Trigger

__all__ = [
    "AsTheyAre",
    "BackdoorRate",
    "CleanAccuracy",
    "ConfidenceThreshold",
    "EvasionRate",
    "ExtractionRate",
    "FeatureCollision",
    "Features",
    "Fitted",
    "FittedPrivately",
    "GradientInversion",
    "GradientMatching",
    "Inversion",
    "InversionRate",
    "JacobianSteps",
    "KCentre",
    "LiRA",
    "MembershipRate",
    "NoiseQueries",
    "Oracle",
    "Poisoned",
    "PoisoningRate",
    "PrivateTraining",
    "Pruned",
    "QueryBudgetError",
    "RightOrWrong",
    "Scorecard",
    "ShadowClassifier",
    "ShadowSet",
    "StageResult",
    "Subject",
    "Theft",
    "Trigger",
    "Warps",
    "activation_clustering",
    "activations",
    "agreement",
    "anomaly_index",
    "backdoor_success",
    "balanced_accuracy",
    "caught",
    "certain_members",
    "class_means",
    "clipped_sum",
    "collision_trials",
    "condemned",
    "draw_halves",
    "epsilon",
    "exclusionary_test",
    "fine_prune",
    "flip_labels",
    "grey_signs",
    "highest",
    "hunt_triggers",
    "judge_prototypes",
    "label_consistent",
    "label_of",
    "label_vote",
    "label_votes",
    "leave_one_out",
    "linear_input",
    "load_scorecard",
    "load_shadows",
    "logit_confidence",
    "matching_trials",
    "measure_scorecard",
    "noise_for",
    "poison",
    "retrain_without",
    "shared_gradient",
    "smooth_net",
    "solve_softmax_regression",
    "spectral_signatures",
    "steal",
    "strip_entropy",
    "train_shadows",
    "train_victim",
    "transferred",
    "trusted_distance",
    "unlearn",
]
