"""Membership inference: against scipy's normal distribution, scikit-learn's curves, cases by hand, and the shipped nets."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from scipy import special, stats
from sklearn import metrics as peer
from tiny import blobs, network, quiet, same, snapshot

from advcourse import data, plots
from advcourse.core.inputs import InputError
from advcourse.lifecycle import (
    ConfidenceThreshold,
    LiRA,
    RightOrWrong,
    ShadowClassifier,
    ShadowSet,
    balanced_accuracy,
    certain_members,
    draw_halves,
    label_votes,
    leave_one_out,
    load_shadows,
    logit_confidence,
    train_shadows,
)
from advcourse.lifecycle.membership import MANY_NETS, Guesses
from advcourse.lifecycle.shadows import Answers, save_shadows

ATTACKS = {
    "threshold": ConfidenceThreshold(),
    "right or wrong": RightOrWrong(),
    "shadow": ShadowClassifier(),
    "online": LiRA(),
    "offline": LiRA(online=False),
    "votes": LiRA(seen="votes"),
}


def normal_set(nets=40, points=60, shift=2.0, seed=0, spreads=(1.0, 1.0)):
    """Two-class answers whose phi is normal: centre c_i + shift with, c_i without the point, and the spreads (with, without)."""
    draw = np.random.default_rng(seed)
    members = draw_halves(points, nets, seed)
    centre = draw.normal(0, 3, points)
    inside = members.numpy()
    phi = centre + inside * shift + np.where(inside, *spreads) * draw.normal(size=inside.shape)
    y = torch.arange(points) % 2
    logits = torch.zeros(nets, points, 2, dtype=torch.float64)
    logits.scatter_(2, y.expand(nets, points)[..., None], torch.from_numpy(phi)[..., None])
    votes = torch.from_numpy(special.expit(phi)).mul(25).round() / 25
    return ShadowSet(logits=logits, labels=y, votes=votes, members=members)


@cache
def shipped():
    return load_shadows()


def test_phi_is_the_log_odds_in_float64():
    """Against scipy's logit of scipy's softmax, in moderate answers; and by hand where float32's probability is 1."""
    logits = torch.randn(4, 7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.arange(7) % 5
    p = np.take_along_axis(special.softmax(logits.numpy(), -1), y.numpy()[None, :, None], -1)[..., 0]
    np.testing.assert_allclose(logit_confidence(logits, y), special.logit(p), rtol=1e-9)
    large = torch.tensor([[40.0, 0.0, 0.0], [60.0, 0.0, 0.0]])
    assert large.softmax(1)[:, 0].tolist() == [1, 1]
    found = logit_confidence(large, torch.tensor([0, 0]))
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found, [40 - math.log(2), 60 - math.log(2)], rtol=1e-12)


def test_every_point_is_in_exactly_half_of_the_nets():
    """By counting, for several sizes and seeds; and each net gets half of the points. Another seed draws other halves."""
    for points, nets, seed in ((2, 2, 0), (10, 4, 1), (500, 32, 2)):
        members = draw_halves(points, nets, seed)
        assert (members.sum(0) == nets // 2).all() and (members.sum(1) == points // 2).all()
        assert torch.equal(members, draw_halves(points, nets, seed))
    assert not torch.equal(members, draw_halves(500, 32, 3))


def test_lira_is_the_ratio_of_scipys_densities():
    """Against scipy.stats.norm with numpy's medians and standard deviations, point by point, online and offline."""
    shadows = normal_set()
    others, target = shadows.without(3), shadows.answers(3)
    phi, inside, asked = others.phi.numpy(), others.members.numpy(), target.phi.numpy()
    sides = []
    for chosen in (inside, ~inside):
        columns = [phi[chosen[:, i], i] for i in range(phi.shape[1])]
        centre = np.array([np.median(c) for c in columns])
        own = np.array([np.std(c, ddof=1) for c in columns])
        squares = sum(((c - c.mean()) ** 2).sum() for c in columns)
        pooled = math.sqrt(squares / sum(len(c) - 1 for c in columns))
        sides.append((centre, own, pooled))
    for spread, place in (("own", 1), ("pooled", 2)):
        log_in, log_out = (stats.norm.logpdf(asked, side[0], side[place]) for side in sides)
        np.testing.assert_allclose(LiRA(spread=spread)(others, target), log_in - log_out, rtol=1e-9)
        z = (asked - sides[1][0]) / sides[1][place]
        np.testing.assert_allclose(LiRA(False, spread)(others, target), z, rtol=1e-9)
    assert torch.equal(LiRA()(others, target), LiRA(spread="pooled")(others, target))


def test_lira_reaches_the_best_test_there_is():
    """Against the Neyman-Pearson limit in closed form: for shift d and spread 1 on both sides, AUC = Phi(d / sqrt 2) and
    TPR = Phi(d + Phi^-1(FPR)). The centres spread over 3, so that one threshold for all points stays far below."""
    shadows = normal_set(nets=60, points=200)
    lira, threshold = (leave_one_out(attack, shadows) for attack in (LiRA(), ConfidenceThreshold()))
    assert lira.auc == pytest.approx(stats.norm.cdf(math.sqrt(2)), abs=0.015)
    assert lira.tpr_at(0.01) == pytest.approx(stats.norm.cdf(2 + stats.norm.ppf(0.01)), abs=0.04)
    assert threshold.auc == pytest.approx(stats.norm.cdf(2 / math.sqrt(2 * (1 + 9))), abs=0.03)
    # Where membership changes nothing, neither finds anything.
    blind = leave_one_out(LiRA(), normal_set(nets=60, points=200, shift=0.0))
    assert abs(blind.auc - 0.5) <= 0.02 and blind.tpr_at(0.01) <= 0.02


def test_slip_one_spread_for_both_sides():
    """A slip of the reference code: the members' spread on both sides. Where non-members vary five times as much, the density
    ratio by scipy with the right spreads is better by far, and ours is that one."""
    shadows = normal_set(nets=60, points=200, spreads=(0.5, 2.5))
    right, slipped = [], []
    for net in range(10):
        others, target = shadows.without(net), shadows.answers(net)
        out, inside = LiRA(False)(others, target), LiRA()(others, target)
        right.append(inside)
        phi = others.phi.masked_fill(~others.members, torch.nan).numpy()
        centre = np.nanmedian(phi, 0)
        shared = math.sqrt(np.nanmean((phi - np.nanmean(phi, 0)) ** 2))
        without = np.nanmedian(others.phi.masked_fill(others.members, torch.nan).numpy(), 0)
        asked = target.phi.numpy()
        slipped.append(stats.norm.logpdf(asked, centre, shared) - stats.norm.logpdf(asked, without, shared))
        assert len(out) == len(inside) == 200
    members = shadows.members[:10]
    assert (
        Guesses(torch.stack(right), members).auc
        > 0.05 + Guesses(torch.tensor(np.array(slipped)), members).auc
    )


def test_slip_a_two_sided_offline_score():
    """A slip of the reference code: the density of the non-members, which is low on both sides. By hand: a point of which the
    target is unusually *un*certain gets the lowest of our scores, and the two-sided one would call it the surest member."""
    shadows = normal_set(points=10)
    others, target = shadows.without(0), shadows.answers(0)
    logits = target.logits.clone()
    logits[4, target.labels[4]] -= 50
    odd = Answers(logits, target.labels)
    assert LiRA(online=False)(others, odd).argmin() == 4
    known = others.phi.masked_fill(others.members, torch.nan).numpy()
    two_sided = -stats.norm.logpdf(odd.phi.numpy(), np.nanmedian(known, 0), np.nanstd(known, 0))
    assert two_sided.argmax() == 4


def test_slip_a_spread_of_two_nets():
    """A slip of the reference code: 1e-30 added to a spread. Two equal answers then decide everything; here it is refused."""
    shadows = normal_set(nets=6, points=4)
    logits = shadows.logits.clone()
    logits[:, 2] = logits[:1, 2]
    equal = replace(shadows, logits=logits)
    with pytest.raises(
        InputError, match="shadows: got 3 nets without point .*at least 8, or spread='pooled'"
    ):
        LiRA(spread="own")(equal, equal.answers(0))
    assert torch.isfinite(LiRA()(equal, equal.answers(0))).all()
    with pytest.raises(InputError, match="equal answers from all nets"):
        still = replace(shadows, logits=logits[:1].expand(6, -1, -1).clone())
        LiRA()(still, still.answers(0))


def test_few_nets_share_one_spread_and_many_do_not():
    """Against the two named settings, on both sides of 64 nets."""
    for nets, spread in ((MANY_NETS, "pooled"), (MANY_NETS + 2, "own")):
        shadows = normal_set(nets, 20)
        assert torch.equal(
            LiRA()(shadows, shadows.answers(0)), LiRA(spread=spread)(shadows, shadows.answers(0))
        )


def test_the_target_is_never_among_its_shadows():
    """By what an attack is handed: all other nets, in their order, and of the target no membership."""
    seen = []

    def spy(shadows, target):
        seen.append((len(shadows), hasattr(target, "members"), shadows.logits))
        return target.phi

    shadows = normal_set(nets=4, points=6)
    guesses = leave_one_out(spy, shadows, [1, 2])
    assert [(nets, told) for nets, told, _ in seen] == [(3, False)] * 2
    assert torch.equal(seen[0][2], shadows.logits[[0, 2, 3]])
    assert torch.equal(guesses.members, shadows.members[[1, 2]]) and guesses.scores.shape == (2, 6)


def test_metrics_against_scikit_learn():
    """Against roc_curve, roc_auc_score and balanced_accuracy_score of scikit-learn, ties included."""
    draw = np.random.default_rng(0)
    members, others = draw.normal(0.5, 1, 3000).round(2), draw.normal(0, 1, 2000).round(2)
    truth, scores = np.repeat([1, 0], [3000, 2000]), np.concatenate([members, others])
    fpr, tpr, thresholds = peer.roc_curve(truth, scores)
    best = max(peer.balanced_accuracy_score(truth, scores >= t) for t in thresholds)
    assert balanced_accuracy(others, members) == pytest.approx(best, abs=1e-12)
    for rate in (0.01, 0.05):
        assert certain_members(others, members, rate) == pytest.approx(tpr[fpr <= rate].max(), abs=1e-12)
    guesses = Guesses(torch.tensor(scores)[None], torch.tensor(truth)[None].bool())
    assert guesses.auc == pytest.approx(peer.roc_auc_score(truth, scores), abs=1e-12)
    found = guesses.roc()
    assert np.trapezoid(found[1], found[0]) == pytest.approx(guesses.auc, abs=1e-12)


def test_too_few_non_members_for_the_rate():
    """By the rule of ten beyond the threshold: 999 are refused at 1 %, 1 000 are not; 0.1 % takes 10 000."""
    members = np.arange(50.0)
    with pytest.raises(
        InputError, match="others: got 999 non-members; allowed are at least 1000 for .* 0.01"
    ):
        certain_members(np.arange(999.0), members)
    assert certain_members(np.arange(1000.0), members + 980) == 0.8  # above 989
    with pytest.raises(InputError, match="at least 10000"):
        certain_members(np.arange(1000.0), members, 0.001)


def test_bars_of_the_shipped_nets():
    """Against what Carlini et al. 2022 claim and the bars set before: balanced accuracies are alike, and LiRA is certain of
    several times as many members. All from the stored answers, so that nothing is trained."""
    shadows = shipped()
    assert shadows.logits.shape == (32, 500, 10)
    assert torch.equal(shadows.labels, data.load("mnist-5k", "train").labels[:500])
    assert shadows.right[shadows.members].double().mean() >= 0.99
    assert 0.8 <= shadows.right[~shadows.members].double().mean() <= 0.9
    few = {"shadow": range(4)}  # the regressions take a second for each net
    found = {name: leave_one_out(attack, shadows, few.get(name)) for name, attack in ATTACKS.items()}
    assert found["online"].auc >= 0.68 and found["online"].tpr_at() >= 0.06
    assert found["online"].tpr_at() >= 3 * found["threshold"].tpr_at()
    assert found["offline"].auc >= 0.65 and found["offline"].tpr_at() >= 2 * found["threshold"].tpr_at()
    assert found["threshold"].tpr_at() <= 0.03 and found["shadow"].auc >= 0.6
    assert abs(found["online"].balanced_accuracy - found["threshold"].balanced_accuracy) <= 0.08
    # Labels alone: counting which are right finds nobody for certain, but the votes of moved copies get round that.
    assert found["right or wrong"].tpr_at() == 0
    assert found["votes"].tpr_at() >= 0.03 and found["votes"].auc > found["right or wrong"].auc + 0.03


def test_the_gap_attack_wins_what_the_gap_says():
    """In closed form (Yeom et al.): the balanced accuracy of right or wrong is (1 + gap) / 2."""
    shadows = shipped()
    gap = shadows.right[shadows.members].double().mean() - shadows.right[~shadows.members].double().mean()
    assert leave_one_out(RightOrWrong(), shadows).balanced_accuracy == pytest.approx((1 + gap.item()) / 2)


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_repeat_and_leave_their_input(name):
    """Against copies taken before, and a second run, which gives the same bits."""
    shadows = normal_set(nets=8, points=40)
    before = shadows.logits.clone(), shadows.members.clone(), shadows.votes.clone()
    state = torch.get_rng_state()
    first, second = (leave_one_out(ATTACKS[name], shadows).scores for _ in range(2))
    assert torch.equal(first, second) and first.dtype == torch.float64
    assert all(map(torch.equal, before, (shadows.logits, shadows.members, shadows.votes)))
    assert torch.equal(state, torch.get_rng_state())


def learner(x, y, seed):
    model = network(seed)
    quiet(model, (x, y), epochs=3, batch_size=10, seed=seed)
    return model.eval()


def test_shadow_nets_are_what_the_learner_makes():
    """Against the same nets trained by hand on their halves; a part of the nets is the same as in the whole run."""
    x, y = blobs(40)
    shadows = train_shadows((x, y), learner, 4, seed=2, votes=True)
    members = draw_halves(40, 4, 2)
    assert torch.equal(shadows.members, members)
    for net in range(4):
        model = learner(x[members[net]], y[members[net]], 2000 + net)
        with torch.no_grad():
            torch.testing.assert_close(shadows.logits[net], model(x))
        assert torch.equal(shadows.votes[net], label_votes(model, x, y))
    part = train_shadows((x, y), learner, 4, seed=2, only=[3, 1])
    assert torch.equal(part.logits, shadows.logits[[3, 1]]) and torch.equal(part.members, members[[3, 1]])


def test_votes_are_counted_by_hand():
    """Against torch.roll on framed images, copy by copy, which moves without a border's help."""
    x, y = blobs(12)
    model = network().eval()
    before = snapshot(model)
    framed = torch.nn.functional.pad(x, (2, 2, 2, 2))
    right = torch.zeros(12)
    for i in range(-2, 3):
        for j in range(-2, 3):
            with torch.no_grad():
                right += model(framed.roll((i, j), (2, 3))[:, :, 2:-2, 2:-2]).argmax(1) == y
    torch.testing.assert_close(label_votes(model, x, y), right / 25)
    assert same(model, before)


def test_a_set_is_written_and_read(tmp_path):
    """Against the set that was written; a damaged and a missing file are refused by name."""
    shadows = normal_set(nets=6, points=10)
    save_shadows(shadows, tmp_path / "a.npz")
    read = load_shadows(tmp_path / "a.npz")
    assert torch.equal(read.logits, shadows.logits.float()) and torch.equal(read.members, shadows.members)
    assert torch.equal(read.labels, shadows.labels)
    torch.testing.assert_close(read.votes.double(), shadows.votes)
    (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:-100])
    with pytest.raises(InputError, match="b.npz is damaged"):
        load_shadows(tmp_path / "b.npz")
    with pytest.raises(InputError, match="c.npz is missing"):
        load_shadows(tmp_path / "c.npz")


SET = normal_set(nets=4, points=6)


def few(points):
    """A net's answers about fewer points than the shadow nets were asked about."""
    whole = SET.answers(0)
    return Answers(whole.logits[:points], whole.labels[:points])


def wider():
    """A net's answers with one class more."""
    whole = SET.answers(0)
    return Answers(torch.nn.functional.pad(whole.logits, (0, 1)), whole.labels)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: draw_halves(5, 4), "points: got 5; allowed are even numbers"),
        (lambda: draw_halves(6, 3), "nets: got 3; allowed are even numbers"),
        (lambda: draw_halves(6, 0), "nets: got 0; allowed is an integer >= 2"),
        (lambda: draw_halves(6, 4, -1), "seed: got -1"),
        (lambda: logit_confidence(torch.zeros(3), torch.tensor([0])), r"logits: got \(3,\)"),
        (lambda: logit_confidence(torch.full((1, 2), math.nan), torch.tensor([0])), "logits: got"),
        (lambda: logit_confidence(torch.zeros(2, 3), torch.tensor([0, 3])), "labels: got label 3"),
        (lambda: logit_confidence(torch.zeros(2, 3), torch.tensor([0])), "labels: got"),
        (lambda: replace(SET, members=SET.members.int()), "members: got"),
        (lambda: replace(SET, votes=SET.votes[:2]), "votes: got shape"),
        (lambda: SET.without(4), "net: got 4; allowed is an integer >= 0 and <= 3"),
        (lambda: leave_one_out(LiRA(), SET, []), "targets: got none"),
        (lambda: leave_one_out(LiRA(), SET), "shadows: got 1 nets .* at least 2"),
        (lambda: leave_one_out(LiRA(spread="own"), SET), "at least 8"),
        (lambda: LiRA(seen="labels"), "seen: got 'labels'"),
        (lambda: LiRA(spread="global"), "spread: got 'global'"),
        (lambda: LiRA()(SET, few(1)), r"target: got answers of shape \(1, 2\); allowed is \(6, 2\)"),
        (lambda: LiRA(online=False)(SET, few(5)), "target: got answers of shape"),
        (
            lambda: LiRA()(SET, replace(SET.answers(0), labels=1 - SET.labels)),
            "target: got other labels",
        ),
        (lambda: LiRA()(SET, SET), "target: got 4 nets"),
        (lambda: LiRA()(SET.answers(1), SET.answers(0)), "shadows: got Answers"),
        (lambda: ConfidenceThreshold()(SET, SET), "target: got 4 nets"),
        (lambda: RightOrWrong()(SET, SET.logits), "target: got Tensor"),
        (lambda: ShadowClassifier()(SET, wider()), "target: got 3 classes"),
        (lambda: replace(SET, votes=SET.votes * 2), "votes: got shape"),
        (lambda: replace(SET, votes=SET.votes * math.nan), "votes: got shape"),
        (lambda: leave_one_out(LiRA(), SET, 1), "targets: got 1; allowed is a list"),
        (lambda: leave_one_out(LiRA(), SET, [1, 4]), "targets: got 4"),
        (lambda: leave_one_out("LiRA", SET), "attack: got 'LiRA'"),
        (lambda: Guesses(SET.phi, SET.members[0]), "scores and members"),
        (lambda: train_shadows(blobs(6)[0], learner, 4), "data: got shape"),
        (lambda: train_shadows(blobs(6), "plain", 4), "learner: got str"),
        (lambda: train_shadows(blobs(6), learner, 4, only=3), "only: got 3; allowed is a list"),
        (lambda: LiRA(online=1), "online: got 1"),
        (lambda: ShadowClassifier(0), "C: got 0"),
        (lambda: LiRA(seen="votes")(replace(SET, votes=None), SET.answers(0)), "votes: got None"),
        (lambda: train_shadows(blobs(5), learner, 4), "points: got 5"),
        (lambda: train_shadows(blobs(6), learner, 4, only=[4]), "only: got 4"),
        (lambda: certain_members(np.arange(2000.0), np.arange(5.0), 0), "fpr: got 0"),
        (lambda: balanced_accuracy(np.array([]), np.arange(5.0)), "got none"),
    ],
)
def test_bad_input_is_named(call, message):
    """The expected sentences are written out by hand."""
    with pytest.raises(InputError, match=message):
        call()


def test_curves_on_logarithmic_axes():
    """By the figure's own axes and lines: both logarithmic, the rate without false alarms at the left edge, guessing dotted."""
    shadows = shipped()
    curves = {name: leave_one_out(ATTACKS[name], shadows).roc() for name in ("threshold", "online")}
    figure = plots.roc_curves(curves)
    [axis] = figure.axes
    assert axis.get_xscale() == axis.get_yscale() == "log"
    first = axis.lines[1].get_xydata()
    at = np.searchsorted(first[:, 0], 0.01) - 1
    assert 0.05 <= first[at, 1] <= 0.2
    assert axis.lines[2].get_linestyle() == ":" and plots.png(figure).startswith(b"\x89PNG")
    with pytest.raises(InputError, match="got rates outside"):
        plots.roc_curves({"a": ([0, 2], [0, 1])})


@pytest.mark.gpu
def test_on_a_gpu():
    """Against the CPU: scores of each attack, and votes."""
    shadows = normal_set(nets=8, points=40)
    there = ShadowSet(**{name: values.cuda() for name, values in vars(shadows).items()})
    for attack in ATTACKS.values():
        found = leave_one_out(attack, there).scores
        assert found.is_cuda
        torch.testing.assert_close(found.cpu(), leave_one_out(attack, shadows).scores)
    x, y = blobs(8)
    assert torch.equal(label_votes(network().cuda(), x.cuda(), y.cuda()).cpu(), label_votes(network(), x, y))
