"""The life cycle of a model: what an attacker can do before, while and after it is trained, and what it gives away."""

from advcourse.lifecycle.columns import (
    CleanAccuracy,
    EvasionRate,
    ExtractionRate,
    InversionRate,
    MembershipRate,
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
from advcourse.lifecycle.gradient_inversion import (
    GradientInversion,
    label_of,
    linear_input,
    shared_gradient,
    smooth_net,
)
from advcourse.lifecycle.inversion import Inversion, class_means, judge_prototypes
from advcourse.lifecycle.learners import Fitted, FittedPrivately, Pruned
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
from advcourse.lifecycle.private import PrivateTraining, clipped_sum, epsilon, noise_for
from advcourse.lifecycle.scorecard import Scorecard, StageResult, Subject, load_scorecard, measure_scorecard
from advcourse.lifecycle.shadows import (
    ShadowSet,
    draw_halves,
    label_votes,
    load_shadows,
    logit_confidence,
    train_shadows,
)

__all__ = [
    "AsTheyAre",
    "CleanAccuracy",
    "ConfidenceThreshold",
    "EvasionRate",
    "ExtractionRate",
    "Fitted",
    "FittedPrivately",
    "StageResult",
    "GradientInversion",
    "Inversion",
    "InversionRate",
    "JacobianSteps",
    "KCentre",
    "LiRA",
    "MembershipRate",
    "Oracle",
    "PrivateTraining",
    "Pruned",
    "QueryBudgetError",
    "RightOrWrong",
    "Scorecard",
    "ShadowClassifier",
    "ShadowSet",
    "Subject",
    "Theft",
    "NoiseQueries",
    "Warps",
    "agreement",
    "balanced_accuracy",
    "certain_members",
    "class_means",
    "clipped_sum",
    "epsilon",
    "grey_signs",
    "draw_halves",
    "judge_prototypes",
    "label_of",
    "label_votes",
    "leave_one_out",
    "linear_input",
    "load_scorecard",
    "load_shadows",
    "logit_confidence",
    "measure_scorecard",
    "noise_for",
    "shared_gradient",
    "smooth_net",
    "solve_softmax_regression",
    "steal",
    "train_shadows",
    "transferred",
]
