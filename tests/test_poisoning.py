"""Poisoning of training sets: label flips, the neighbours' vote, feature collision, gradient matching."""

import numpy as np
import pytest
import torch
from nets import Linear, linear
from torch import nn

from advcourse import data, models
from advcourse.core.inputs import InputError
from advcourse.data import ImageSet
from advcourse.lifecycle.collision import FeatureCollision, collision_trials
from advcourse.lifecycle.features import Features, activations
from advcourse.lifecycle.matching import GradientMatching, gradient_norms, matching_trials, mismatch
from advcourse.lifecycle.poisoning import flip_labels, label_vote
from advcourse.models import MnistSmall

DIGITS = data.load("mnist-5k", "train")


def some(n=60, classes=3, shape=(1, 4, 4), seed=0, dtype=torch.float32):
    """A small set of random images whose classes take turns."""
    x = torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    y = torch.arange(n) % classes
    return ImageSet(x, y, tuple("abcdefghij"[:classes]), name="random", split="train", licence="none")


def two_layers(seed=0, classes=3, dtype=torch.float64):
    """A smooth net, whose gradients by its weights can be differentiated by the images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, classes)).to(dtype)


# ---- label flips ----


@pytest.mark.parametrize("mode", ["random", "pair"])
@pytest.mark.parametrize("share", [0, 0.1, 0.25, 1])
def test_exactly_the_share_is_flipped_and_no_pixel(mode, share):
    """Against counting: the labels that differ are those at the indices touched, round(share * N) of them."""
    clean = some()
    poisoned, touched = flip_labels(clean, share, mode)
    assert torch.equal((poisoned.labels != clean.labels).nonzero()[:, 0], touched)
    assert len(touched) == round(share * 60)
    assert torch.equal(poisoned.images, clean.images) and poisoned.images is not clean.images


def test_pair_flips_go_to_the_next_class():
    """Against the definition y + 1 modulo K."""
    clean = some()
    poisoned, touched = flip_labels(clean, 0.5, "pair")
    assert torch.equal(poisoned.labels[touched], (clean.labels[touched] + 1) % 3)


def test_random_flips_are_uniform_over_the_wrong_classes():
    """Against the chi-squared distribution: 36 000 flips over nine wrong classes, at a level of one in a million."""
    from scipy.stats import chisquare

    many = some(36_000, classes=10, shape=(1, 1, 1))
    poisoned, _ = flip_labels(many, 1)
    shift = ((poisoned.labels - many.labels) % 10).bincount(minlength=10)
    assert shift[0] == 0 and chisquare(shift[1:].numpy()).pvalue > 1e-6


# ---- the vote of the neighbours ----


@pytest.mark.parametrize("k", [1, 5, 12])
def test_the_vote_is_sklearns(k):
    """Against scikit-learn's neighbours, without the point itself: outvoted iff another label has more of the k votes."""
    from sklearn.neighbors import NearestNeighbors

    g = torch.Generator().manual_seed(k)
    h, y = torch.randn(200, 4, generator=g), torch.randint(3, (200,), generator=g)
    near = NearestNeighbors(n_neighbors=k).fit(h.numpy()).kneighbors(return_distance=False)
    votes = np.stack([(y.numpy()[near] == label).sum(1) for label in range(3)], 1)
    expected = votes[np.arange(200), y.numpy()] < votes.max(1)
    assert 0 < expected.sum() < 200
    assert np.array_equal(label_vote(h, y, k).numpy(), expected)


def test_the_vote_on_a_line_by_hand():
    """By hand: six points in two groups, one of them with the other group's label; a tie leaves a label alone."""
    h, y = torch.tensor([[0.0], [1], [2], [10], [11], [12]]), torch.tensor([0, 0, 1, 1, 1, 1])
    assert label_vote(h, y, 2).tolist() == [False, False, True, False, False, False]


# ---- feature collision ----


def test_a_collision_with_a_linear_body_is_the_closed_form():
    """Against the normal equations: forward-backward splitting minimises |W p - W t|^2 + beta / 2 |p - b|^2."""
    body = nn.Sequential(
        nn.Flatten(), linear(4, (1, 4, 4)), nn.Linear(4, 2, dtype=torch.float64)
    )  # the last layer is the head
    W, beta = body[1].weight.detach() / 4, 2.0
    body[1].weight.data = W
    b, t = 0.45 + 0.1 * torch.rand(1, 1, 4, 4).double(), 0.45 + 0.1 * torch.rand(1, 1, 4, 4).double()
    left = 2 * W.T @ W + beta * torch.eye(16, dtype=torch.float64)
    expected = torch.linalg.solve(left, 2 * W.T @ W @ t.flatten() + beta * b.flatten())
    found = FeatureCollision(beta=beta, steps=500, lr=0.1, eps=None)(body, b, t)
    assert (expected - b.flatten()).abs().max() > 1e-3 and 0 < expected.min() and expected.max() < 1
    assert torch.allclose(found.flatten(), expected, atol=1e-8)


def test_collisions_come_near_the_target_and_stay_near_the_base():
    """Against the bare bases: on a trained net every poison is much nearer in features, and its pixels nearer to the base."""
    model = models.load("mnist-small")
    x, y = DIGITS.pick(60)
    bases, target = x[y == 3][:4], x[y == 5][:1]
    poison = FeatureCollision(steps=60)(model, bases, target)
    assert 0 <= poison.min() and poison.max() <= 1
    goal, before, after = (activations(model, part) for part in (target, bases, poison))
    assert ((after - goal).norm(dim=1) < 0.5 * (before - goal).norm(dim=1)).all()
    to_base, to_target = ((poison - part).flatten(1).norm(dim=1) for part in (bases, target))
    assert (to_base < 0.9 * to_target).all()
    held = FeatureCollision(steps=20, eps=0.1)(model, bases, target)
    assert 0.09 < (held - bases).abs().max() <= 0.1 + 1e-6


def test_features_are_what_the_last_linear_layer_reads():
    """Against the layers run one by one, and gradients against the same."""
    model, x = models.load("mnist-small"), DIGITS.images[:7]
    expected = nn.Sequential(*list(model)[:-1])(x)
    assert torch.equal(activations(model, x), expected.detach())
    (slope,) = torch.autograd.grad(Features(model)(x.requires_grad_()).sum(), x)
    y = x.detach().requires_grad_()
    assert torch.equal(slope, torch.autograd.grad(nn.Sequential(*list(model)[:-1])(y).sum(), y)[0])
    assert not model[-1]._forward_pre_hooks  # no hook is left behind


@pytest.mark.slow
def test_collisions_win_where_bare_bases_do_not():
    """Against the control, bases as they were; and the paper's finding that one image often suffices on frozen features."""
    test = data.load("mnist-5k")
    found = collision_trials(models.load("mnist-small"), DIGITS, test, trials=20)
    assert found.wins.n == found.control.n == len(found.targets) == 20
    assert found.wins.value >= 0.5 and found.control.value <= 0.1
    assert found.control_accuracy - found.accuracy < 0.02
    assert (test.labels[found.targets] != found.wanted).all()


# ---- gradient matching ----


def test_the_mismatch_is_one_cosine_over_all_parameters():
    """Against numpy, on gradients that backward() leaves in the parameters; one cosine a layer would be another number."""
    model, clean = two_layers(), some(dtype=torch.float64)
    x, y = clean.images[:5], clean.labels[:5]
    rows = []
    for images, labels in ((x, y), (clean.images[7:8], torch.tensor([0]))):
        model.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        rows.append([part.grad.numpy().ravel() for part in model.parameters()])
    a, b = (np.concatenate(row) for row in rows)
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    layered = np.mean([p @ q / np.linalg.norm(p) / np.linalg.norm(q) for p, q in zip(*rows)])
    found = mismatch(model, x, y, torch.from_numpy(b)).item()
    assert found == pytest.approx(1 - cosine, abs=1e-12) and abs(cosine - layered) > 0.01


def test_gradient_norms_are_those_of_backward():
    """Against backward(), one image at a time."""
    model, clean = two_layers(), some(70, dtype=torch.float64)
    expected = []
    for image, label in zip(clean.images, clean.labels):
        model.zero_grad()
        nn.functional.cross_entropy(model(image[None]), label[None]).backward()
        expected.append(sum(part.grad.square().sum() for part in model.parameters()).sqrt())
    model.zero_grad()
    assert torch.allclose(gradient_norms(model, clean.images, clean.labels), torch.stack(expected))


def test_matching_lowers_the_mismatch_within_the_budget():
    """Against the unmodified bases: the same images, the same goal. Only images of the wanted class change, labels never."""
    clean = some(dtype=torch.float64)
    model, target, wanted = two_layers(), torch.rand(1, 1, 4, 4, dtype=torch.float64), 1
    poisoned, touched = GradientMatching(0.3, steps=60, restarts=2)(model, clean, target, wanted, 0.1)
    assert len(touched) == 6 and (clean.labels[touched] == wanted).all()
    assert torch.equal(poisoned.labels, clean.labels)
    difference = (poisoned.images - clean.images).abs().flatten(1).amax(1)
    assert difference.max() <= 0.3 + 1e-12
    assert torch.equal(difference.nonzero()[:, 0], touched)
    goal = torch.cat(
        [
            part.flatten()
            for part in torch.autograd.grad(
                nn.functional.cross_entropy(model(target), torch.tensor([wanted])), list(model.parameters())
            )
        ]
    )
    before, after = (
        mismatch(model, part.images[touched], clean.labels[touched], goal).item()
        for part in (clean, poisoned)
    )
    assert after < 0.3 * before


def test_matching_takes_the_images_of_largest_gradient():
    """Against the norms, sorted."""
    clean, model = some(dtype=torch.float64), two_layers()
    members = (clean.labels == 2).nonzero()[:, 0]
    norms = gradient_norms(model, clean.images[members], clean.labels[members])
    _, touched = GradientMatching(steps=1, restarts=1)(model, clean, clean.images[:1], 2, 0.05)
    assert set(touched.tolist()) == set(members[norms.argsort()[-3:]].tolist())


def nearest_mean(clean, seed):
    """A victim in closed form: logits -|x - mean of class k|^2 / 2, up to a term that all classes share."""
    means = torch.stack([clean.images[clean.labels == k].flatten(1).mean(0) for k in range(3)])
    return nn.Sequential(nn.Flatten(), Linear(means, -means.square().sum(1) / 2))


def test_trials_count_wins_of_fresh_victims_and_a_control():
    """Against counting with a victim in closed form, by hand: the record's sizes, targets and rates fit together."""
    clean, held_out = some(), some(seed=5)
    attack = GradientMatching(steps=5, restarts=1)
    found = matching_trials(clean, held_out, attack, trials=4, victims=3, share=0.1, train=nearest_mean)
    assert found.wins.n == found.control.n == 12
    assert found.wins.value == pytest.approx(found.won.sum().item() / 12)
    own = nearest_mean(clean, 0)(held_out.images).argmax(1)
    assert (own[found.targets] == held_out.labels[found.targets]).all()
    assert (
        found.control.value == 0
    )  # this victim has no seed: it reads the targets as the attacker's network does
    near = matching_trials(
        clean, held_out, attack, trials=4, victims=1, share=0.1, wanted="nearest", train=nearest_mean
    )
    logits = nearest_mean(clean, 0)(held_out.images[near.targets]).detach()
    assert torch.equal(near.wanted, logits.argsort(1)[:, 1])  # of three classes the middle one
    assert found.control_accuracy == pytest.approx((own == held_out.labels).double().mean().item())


# ---- bad input ----


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: flip_labels(some(), 1.5), "share: got 1.5"),
        (lambda: flip_labels(some(), -0.1), "share: got -0.1"),
        (lambda: flip_labels(some(), 0.5, "both"), "mode: got 'both'"),
        (lambda: flip_labels(some().images, 0.5), "data: got Tensor; allowed is an ImageSet"),
        (lambda: label_vote(torch.rand(5, 2), torch.zeros(5).long(), 5), "k: got 5"),
        (lambda: label_vote(torch.rand(5), torch.zeros(5).long()), "h: got shape"),
        (lambda: label_vote(torch.rand(5, 2), torch.zeros(4).long()), "labels: got shape"),
        (lambda: FeatureCollision(beta=-1), "beta: got -1"),
        (lambda: FeatureCollision(lr=0), "lr: got 0"),
        (lambda: GradientMatching(eps=2), "eps: got 2"),
        (lambda: GradientMatching(steps=0), "steps: got 0"),
        (lambda: GradientMatching()([], some(), some().images[:1], 0), "models: got none"),
        (lambda: GradientMatching()(two_layers(), some(), some().images[:2], 0), "target: got shape"),
        (lambda: GradientMatching()(two_layers(), some(), some().images[:1], 3), "wanted: got 3"),
        (
            lambda: GradientMatching()(two_layers(), some(), some().images[:1], 0, 0.5),
            "share: got 30 images.*20",
        ),
        (
            lambda: collision_trials(MnistSmall(), DIGITS, DIGITS, poisons=31, trials=1),
            "poisons: got 31",
        ),
        (lambda: Features(nn.ReLU()), "model: got ReLU without nn.Linear"),
    ],
)
def test_bad_input_is_named(call, message):
    """Against the messages, which must name the argument and what was given."""
    with pytest.raises(InputError, match=message):
        call()
