"""Membership inference: was this point among the training data? Three attacks on what nets say, and how to measure them.

An attack is called with the shadow nets' answers and the target's, `attack(shadows, target)`, and gives each point a score
(M,), float64, which is higher for points that it takes for members. `leave_one_out` makes each net the target in turn.
"""

import math
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
import torch
from torch import Tensor

from advcourse.core.inputs import InputError, check_choice, check_flag, check_range
from advcourse.lifecycle.shadows import Answers, ShadowSet, check_places
from advcourse.metrics.arguments import Values, check_values
from advcourse.metrics.detection import auc, roc, threshold_at, true_positive_rate

MANY_NETS = 64  # up to so many shadow nets, a spread of each point's own is worse than a common one
FEW = 8  # nets on a side, from which a spread of a point's own can be told at all
EVIDENCE = 10  # non-members that must lie beyond the threshold before a rate of false alarms can be stated

_ROUNDING = 1e-9  # nats; a spread below it is that of equal answers

Seen = Literal["logits", "votes"]


class MembershipAttack(Protocol):
    """What `leave_one_out` runs: `(shadows, target) -> scores (M,)`, higher for members."""

    def __call__(self, shadows: ShadowSet, target: Answers) -> Tensor: ...


@dataclass(frozen=True)
class ConfidenceThreshold:
    """Members are the points of which the target is most confident: the score is phi itself, see `logit_confidence`.

    One threshold serves all points, so that whatever is easy counts as a member. For a cut, this is the attack on the loss of
    Yeom et al. 2018, since loss = log(1 + exp(-phi)) falls where phi rises.

    Args:
        seen: "logits" (default), or "votes", the share of moved copies that keep their label (`label_votes`): the attack of
            Choquette-Choo et al. 2021 on targets that give labels alone.

    Source: Yeom, Giacomelli, Fredrikson and Jha 2018, "Privacy Risk in Machine Learning: Analyzing the Connection to
    Overfitting", adversary 1 (arXiv 1709.01604).
    """

    seen: Seen = "logits"

    def __post_init__(self):
        check_choice(self.seen, "seen", get_args(Seen))

    def __call__(self, shadows: ShadowSet, target: Answers) -> Tensor:
        """Return the scores (M,); the shadow nets are not asked."""
        _check_shadows(shadows)
        _check_answers(target)
        return _confidence(target, self.seen)


@dataclass(frozen=True)
class RightOrWrong:
    """Members are the points that the target reads rightly: the score is 1 for these and 0 for the others.

    This is the least that any target gives away, and it needs one label a point. On average it wins as much as the target reads
    its training points better than others. Source: Yeom et al. 2018, adversary of section 3.2.
    """

    def __call__(self, shadows: ShadowSet, target: Answers) -> Tensor:
        """Return the scores (M,)."""
        _check_shadows(shadows)
        return _check_answers(target).right.double()


@dataclass(frozen=True)
class ShadowClassifier:
    """A classifier learns from the shadow nets what the answers for members look like, one for each class.

    Its features are the logarithms of the probabilities, sorted, and that of the label. The paper trains a net on the
    probabilities; a logistic regression on their logarithms is enough here, and gives the same result with each run.

    Args:
        C: the inverse weight of the regression's L2 penalty (default 1).

    Source: Shokri, Stronati, Song and Shmatikov 2017, "Membership Inference Attacks Against Machine Learning Models",
    sections V.C and V.D (arXiv 1610.05820).
    """

    C: float = 1.0

    def __post_init__(self):
        object.__setattr__(self, "C", check_range(self.C, "C", 0, exclusive_low=True))

    def __call__(self, shadows: ShadowSet, target: Answers) -> Tensor:
        """Return the scores (M,): the log-odds of being a member. The target's points may be others than the shadow nets'.

        Raises:
            InputError: some class has no member, or no non-member, among the shadow nets' points; or the target has other
                classes than they.
        """
        _check_shadows(shadows)
        if _check_answers(target).logits.shape[-1] != shadows.logits.shape[-1]:
            raise InputError(
                f"target: got {target.logits.shape[-1]} classes; allowed are those of the shadow nets, {shadows.logits.shape[-1]}"
            )
        from sklearn.linear_model import LogisticRegression  # takes 0.6 s to import
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        known, asked = _sorted_logs(shadows), _sorted_logs(target)
        scores = np.empty(len(target.labels))
        for label in target.labels.unique().tolist():
            points = (shadows.labels == label).cpu().numpy()
            inside = shadows.members[:, shadows.labels == label].cpu().numpy().ravel()
            if inside.all() or not inside.any():
                raise InputError(
                    f"shadows: got only one side of class {label}; allowed are members and non-members of each class, "
                    f"so train more shadow nets"
                )
            regression = make_pipeline(StandardScaler(), LogisticRegression(C=self.C, max_iter=1000))
            regression.fit(known[:, points].reshape(-1, known.shape[-1]), inside)
            own = (target.labels == label).cpu().numpy()
            scores[own] = regression.decision_function(asked[own])
        return torch.from_numpy(scores).to(target.labels.device)


@dataclass(frozen=True)
class LiRA:
    """The likelihood-ratio attack: how much better does "member" explain the target's phi for this point than "non-member"?

    With the shadow nets that learned from the point and those that did not, phi has two distributions for each point, taken
    as normal. Their centres are medians. Online, the score is

        log N(phi; mu_in, sigma_in) - log N(phi; mu_out, sigma_out);

    offline, for an attacker who can train only without the point, it is (phi - mu_out) / sigma_out. This is one-sided: an
    unusually *low* confidence is no sign of a member.

    With few nets, the spread of a single point is known badly, and one spread is shared by all points: the square root of
    their mean variance, for each side by itself.

    The authors' code (as published in 2022) differs in three places, each of which costs something: with a shared spread it
    takes that of the members for both sides, and measures it across points, whose centres differ; its offline score is the
    density of a two-sided normal; and it adds 1e-30 to a spread that may be 0, so that two equal values decide everything.

    Args:
        online: use both sides (default True); False uses the nets without the point alone.
        spread: "pooled", "own", or None (default): pooled up to 64 nets, else each point's own.
        seen: "logits" (default), or "votes" on targets that give labels alone, see `ConfidenceThreshold`.

    Source: Carlini, Chien, Nasr, Song, Terzis and Tramèr 2022, "Membership Inference Attacks From First Principles",
    algorithm 1 and section VI (arXiv 2112.03570).
    """

    online: bool = True
    spread: Literal["pooled", "own"] | None = None
    seen: Seen = "logits"

    def __post_init__(self):
        object.__setattr__(self, "online", check_flag(self.online, "online"))
        check_choice(self.spread, "spread", ("pooled", "own", None))
        check_choice(self.seen, "seen", get_args(Seen))

    def __call__(self, shadows: ShadowSet, target: Answers) -> Tensor:
        """Return the scores (M,).

        Raises:
            InputError: too few shadow nets with or without a point; some spread is 0; or the target was asked about other
                points than the shadow nets.
        """
        _check_same_points(shadows, target)
        known, phi = _confidence(shadows, self.seen), _confidence(target, self.seen)
        pooled = len(shadows) <= MANY_NETS if self.spread is None else self.spread == "pooled"
        out = _Side(known, ~shadows.members, pooled, "without")
        if not self.online:
            return (phi - out.centre) / out.spread
        return _Side(known, shadows.members, pooled, "with").log_density(phi) - out.log_density(phi)


class _Side:
    """The normal distributions of phi over the shadow nets with, or without, each of M points: `centre` and `spread` (M,)."""

    def __init__(self, phi, chosen, pooled, side):
        counts, least = chosen.sum(0), 2 if pooled else FEW
        if int(counts.min()) < least:
            way = "" if pooled else ", or spread='pooled'"
            raise InputError(
                f"shadows: got {int(counts.min())} nets {side} point {int(counts.argmin())}; allowed are at least "
                f"{least}{way}"
            )
        values = phi.masked_fill(~chosen, torch.nan)
        self.centre = _median(values)
        squares = (values - values.nanmean(0)).square().nansum(0)
        self.spread = (squares.sum() / (counts - 1).sum() if pooled else squares / (counts - 1)).sqrt()
        if not (self.spread > _ROUNDING).all():
            raise InputError(
                f"shadows: got equal answers from all nets {side} a point; allowed is a spread above 0, so train "
                f"more shadow nets, each from a seed of its own"
            )

    def log_density(self, phi):
        distance = (phi - self.centre) / self.spread
        return -0.5 * distance.square() - self.spread.log() - 0.5 * math.log(2 * math.pi)


def _check_answers(target):
    """Return `target`; `InputError` unless it is what a single net says."""
    if not isinstance(target, Answers) or target.logits.dim() != 2:
        given = f"{len(target.logits)} nets" if isinstance(target, Answers) else type(target).__name__
        raise InputError(
            f"target: got {given}; allowed are the Answers of one net, such as shadows.answers(0), logits (M, K)"
        )
    return target


def _check_shadows(shadows):
    if not isinstance(shadows, ShadowSet):
        raise InputError(
            f"shadows: got {type(shadows).__name__}; allowed is a ShadowSet, as of train_shadows or load_shadows"
        )


def _check_same_points(shadows, target):
    """Raise `InputError` unless the target was asked about the points of the shadow nets, in the same order."""
    _check_shadows(shadows)
    expected, given = (tuple(each.logits.shape[-2:]) for each in (shadows, _check_answers(target)))
    if given != expected:
        raise InputError(
            f"target: got answers of shape {given}; allowed is {expected}, the points and classes of the shadow nets"
        )
    if not torch.equal(target.labels.to(shadows.labels), shadows.labels):
        raise InputError(
            "target: got other labels than those of the shadow nets; allowed are the same points in the same order"
        )


def _median(values):
    """The median of each column, leaving out NaN: of two middle values the mean, as the textbook and numpy have it."""
    return torch.from_numpy(np.nanmedian(values.cpu().numpy(), axis=0)).to(values.device)


def _confidence(answers, seen):
    return answers.phi if seen == "logits" else answers.vote_odds


def _sorted_logs(answers):
    logs = answers.logits.double().log_softmax(-1)
    label = answers.labels.expand(logs.shape[:-1])[..., None]
    features = torch.cat([logs.sort(-1, descending=True).values, logs.gather(-1, label)], -1)
    return features.clamp_min(-50).cpu().numpy()


@dataclass(frozen=True)
class Guesses:
    """The scores of an attack for T targets and M points, with the truth beside them.

    Attributes:
        scores: (T, M), float64, higher for what is taken for a member.
        members: (T, M) bool.
    """

    scores: Tensor
    members: Tensor

    def __post_init__(self):
        fits = all(isinstance(part, Tensor) for part in (self.scores, self.members))
        if not fits or self.scores.shape != self.members.shape or self.members.dtype != torch.bool:
            raise InputError(
                "scores and members: got something else; allowed are two tensors of one shape, numbers and bool"
            )

    @property
    def of_members(self) -> Tensor:
        """The scores of the members of all targets, (A,)."""
        return self.scores[self.members]

    @property
    def of_others(self) -> Tensor:
        """The scores of the non-members of all targets, (B,)."""
        return self.scores[~self.members]

    def roc(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the ROC curve over all targets: the shares of non-members and of members that are accused."""
        return roc(self.of_others, self.of_members)[:2]

    @property
    def auc(self) -> float:
        """Area under the ROC curve: the chance that a member scores higher than a non-member."""
        return auc(self.of_others, self.of_members)

    @property
    def balanced_accuracy(self) -> float:
        """See `balanced_accuracy`."""
        return balanced_accuracy(self.of_others, self.of_members)

    def tpr_at(self, fpr: float = 0.01) -> float:
        """See `certain_members`."""
        return certain_members(self.of_others, self.of_members, fpr)


def leave_one_out(attack: MembershipAttack, shadows: ShadowSet, targets: list[int] | None = None) -> Guesses:
    """Attack some of the nets, each with all the others as its shadows.

    Args:
        attack: `(shadows, target) -> scores (M,)`.
        shadows: the nets.
        targets: which of them are attacked (default None: all).

    Returns:
        the `Guesses`.

    Raises:
        InputError: too few shadow nets remain, or `targets` names none, or no such net.
    """
    _check_shadows(shadows)
    if not callable(attack):
        raise InputError(f"attack: got {attack!r}; allowed is an attack on membership, such as LiRA()")
    chosen = list(range(len(shadows))) if targets is None else check_places(targets, len(shadows), "targets")
    scores = [attack(shadows.without(net), shadows.answers(net)) for net in chosen]
    points = shadows.labels.shape
    if not all(isinstance(each, Tensor) and each.shape == points for each in scores):
        raise InputError(
            f"attack: returned something else than scores; allowed is a tensor {tuple(points)}, one for each point"
        )
    return Guesses(torch.stack(scores), shadows.members[chosen])


def balanced_accuracy(others: Values, members: Values) -> float:
    """Return the largest mean of the two shares that are told rightly, members and non-members, over all thresholds.

    The best threshold is chosen by the truth itself, so an attacker gets a little less. It says nothing about how certain an
    attack can be of anybody: `certain_members` does.

    Args:
        others: scores of non-members, (B,), at least one.
        members: scores of members, (A,), at least one.

    Returns:
        a float in [0.5, 1].

    Raises:
        InputError: a set is empty, or a score is not finite.
    """
    fpr, tpr, _ = roc(others, members)
    return float(((tpr + 1 - fpr) / 2).max())


def certain_members(others: Values, members: Values, fpr: float = 0.01) -> float:
    """Return the share of the members that are found while at most the share `fpr` of the non-members is accused.

    At least ten non-members must lie beyond the threshold, or it rests on a handful of points: 1 % takes 1 000 non-members,
    0.1 % takes 10 000.

    Args:
        others: scores of non-members, (B,), B * fpr >= 10.
        members: scores of members, (A,).
        fpr: the false positive rate (default 0.01).

    Returns:
        a float in [0, 1].

    Raises:
        InputError: there are too few non-members for this rate, a score is not finite, or `fpr` is out of range.

    Source: Carlini et al. 2022, section III (arXiv 2112.03570).
    """
    fpr = check_range(fpr, "fpr", 0, 1, exclusive_low=True)
    n, least = len(check_values(others, "others")), math.ceil(EVIDENCE / fpr - 1e-6)
    if n < least:
        raise InputError(
            f"others: got {n} non-members; allowed are at least {least} for a false positive rate of {fpr:g}, so "
            f"attack more nets, or ask for {EVIDENCE / max(n, EVIDENCE):.2g}"
        )
    return true_positive_rate(members, threshold_at(others, fpr))
