"""Attacks made of attacks: against what the inner attack alone gives, image by image, and rules worked out by hand."""

from functools import partial

import pytest
import torch
from nets import Function, conv, images, linear

from advcourse import metrics
from advcourse.attacks import CWL2, EOT, FGSM, LLC, PGD, EachTarget, Transfer
from advcourse.core.inputs import InputError

X = images(12, (1, 6, 6), dtype=torch.float64)
ONE, OTHER = linear(4, seed=1), linear(4, seed=2)
Y = ONE(X).argmax(1)


def by_hand(goal, alpha=0.02, steps=20):
    return PGD(0.1, alpha, steps, random_start=False, targeted=True).run(ONE, X, Y, goal)


def test_transfer_gives_the_sources_images_and_the_attacked_models_answers():
    """Against the inner attack run on the source by itself, and the attacked model asked about its images."""
    attack = PGD(0.1, 0.02, 10)
    alone, over = attack.run(OTHER, X, Y), Transfer(attack, OTHER).run(ONE, X, Y)
    assert torch.equal(over.images, alone.images) and torch.equal(over.logits, ONE(over.images))
    assert torch.equal(over.success, ONE(over.images).argmax(1) != Y)
    assert (over.forward_passes, over.backward_passes) == (alone.forward_passes, alone.backward_passes)
    assert torch.equal(Transfer(attack, OTHER)(ONE, X, Y), alone.images)


def test_transfer_keeps_the_inner_attacks_terms():
    """Against the inner attack: kind, norm, threat model, seed and size are its own, and the text tells attack and source."""
    inner = CWL2(confidence=3, targeted=True)
    over = Transfer(inner, OTHER)
    for name in ("kind", "norm", "threat_model", "seed", "targeted", "chooses_target", "universal"):
        assert getattr(over, name) == getattr(inner, name)
    assert repr(inner) in repr(over) and "Linear " in repr(over)
    assert repr(over) != repr(Transfer(inner, ONE))
    assert "EOT" in repr(Transfer(inner, partial(EOT, draws=3)))


def test_transfer_makes_its_source_of_the_attacked_model():
    """Against the same source built by hand: three equal draws, whose mean is the model."""
    attack = FGSM(0.1)
    made = Transfer(attack, partial(EOT, draws=3)).run(ONE, X, Y)
    assert torch.equal(made.images, attack(ONE, X, Y))


def test_each_target_is_the_best_of_its_runs():
    """Against the runs one by one: an image succeeds where any of them does, and passes and steps add up."""
    one = EachTarget(PGD(0.1, 0.02, 20, random_start=False, targeted=True), 3).run(ONE, X, Y)
    ranked = ONE(X).scatter(1, Y[:, None], -torch.inf).argsort(1, descending=True)
    runs = [by_hand(ranked[:, k]) for k in range(3)]
    fooled = torch.stack([run.predictions != Y for run in runs])
    assert torch.equal(one.success, fooled.any(0)) and one.target is None
    assert 0 < fooled.any(0).sum() < len(X)
    assert one.forward_passes == sum(run.forward_passes for run in runs)
    assert torch.equal(one.steps, sum(run.steps for run in runs))
    lead = torch.stack([metrics.margin(run.logits, Y) for run in runs]).amin(0)
    kept = metrics.margin(one.logits, Y)
    assert torch.equal(kept[~one.success], lead[~one.success]), "failures end where the margin is lowest"


def test_each_target_finds_the_nearest_boundary_of_a_linear_model():
    """Closed form: the least distance over all other classes, |Z_y - Z_k| / ||w_y - w_k||, away from the box."""
    x = 0.4 + 0.2 * X
    y = ONE(x).argmax(1)
    z, w = ONE(x).detach(), ONE.weight.detach()
    gaps, norms = z.gather(1, y[:, None]) - z, (w[y][:, None] - w[None]).norm(dim=2)
    least = (gaps / norms.clamp_min(1e-9)).scatter(1, y[:, None], torch.inf).amin(1)
    run = EachTarget(CWL2(targeted=True), targets=9).run(ONE, x, y)
    assert run.success.all()
    assert torch.allclose(run.size, least, rtol=0.02) and (run.size >= least * (1 - 1e-6)).all()
    assert run.attack.threat_model == CWL2().threat_model


class Flagging(Function):
    abstains = True


def flagging(always):
    """Three classes by a linear model, and a fourth, "flagged", that is `always` the largest logit or never."""
    net = linear(3, seed=4)
    model = Flagging(lambda x: torch.cat([net(x), net(x).amax(1, keepdim=True) + (1 if always else -1)], 1))
    return model, net(X).argmax(1)


@pytest.mark.parametrize("attack", [FGSM(0.5), EachTarget(PGD(0.5, 0.1, 10, targeted=True), 2)], ids=repr)
def test_to_be_flagged_is_no_success(attack):
    """By hand: where every image is flagged nobody wins, though no answer is the true label; where none is, many do."""
    model, y = flagging(True)
    run = attack.run(model, X, y)
    assert run.abstains and (run.predictions == 3).all() and run.success_rate == 0
    model, y = flagging(False)
    assert attack.run(model, X, y).success_rate > 0.5


def test_a_transfer_is_judged_by_the_flags_of_the_attacked_model():
    """By hand: images that fool the model without flags are all flagged, so that no attack has succeeded."""
    model, y = flagging(True)
    source = linear(3, seed=4)
    assert FGSM(0.5).run(source, X, y).success_rate > 0.5
    assert Transfer(FGSM(0.5), source).run(model, X, y).success_rate == 0


@pytest.mark.parametrize(
    "make", [lambda a: Transfer(a, conv((1, 6, 6), 4)), EachTarget], ids=["transfer", "each"]
)
def test_the_source_is_left_as_it_was_and_chunks_do_not_matter(make):
    """Against copies from before, the global random state, and a batch of no images."""
    attack = make(PGD(0.1, 0.05, 3, targeted=make is EachTarget))
    model, x = conv((1, 6, 6), 4).train(), images(5, (1, 6, 6))
    state, y, before = torch.get_rng_state(), torch.arange(5) % 4, x.clone()
    run = attack.run(model, x, y)
    assert model.training and torch.equal(x, before) and torch.equal(torch.get_rng_state(), state)
    assert torch.equal(run.images, attack.run(model, x, y).images)
    none = attack.run(model, x[:0], y[:0])
    assert none.images.shape == (0, 1, 6, 6) and none.success_rate != none.success_rate


BAD = {
    "an untargeted inner attack": (lambda: EachTarget(PGD()), r"attack: got PGD.*targeted=True"),
    "one that chooses": (lambda: EachTarget(LLC()), r"attack: got LLC.*targeted=True"),
    "no target": (lambda: EachTarget(PGD(targeted=True), 0), r"targets: got 0"),
    "no attack": (lambda: Transfer("PGD", ONE), r"attack: got 'PGD'; allowed is an attack"),
    "no source": (lambda: Transfer(PGD(), None), r"source: got None; allowed is a torch.nn.Module"),
    "a source that makes none": (
        lambda: Transfer(FGSM(), lambda model: 1).run(ONE, X, Y),
        r"source: returned int; allowed is a function that returns a torch.nn.Module",
    ),
    "a target": (lambda: EachTarget(PGD(targeted=True)).run(ONE, X, Y, Y), "target: got labels"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_refused_by_name(kind):
    """The expected sentence is written out by hand for each kind."""
    call, message = BAD[kind]
    with pytest.raises(InputError, match=message):
        call()
