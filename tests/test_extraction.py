"""Extraction: a counter that cannot be fooled, exact copies in closed form, and strategies against each other at equal cost."""

import math

import pytest
import torch
from nets import Function, Linear, conv, images, linear
from tiny import same, snapshot
from torch import nn

from advcourse import data, models
from advcourse.attacks import BIM, FGSM, augment
from advcourse.core.inputs import InputError, predict
from advcourse.lifecycle import (
    AsTheyAre,
    JacobianSteps,
    KCentre,
    NoiseQueries,
    Oracle,
    QueryBudgetError,
    Warps,
    agreement,
    grey_signs,
    solve_softmax_regression,
    steal,
    train_victim,
    transferred,
)
from advcourse.lifecycle.extraction import soft_cross_entropy

X, VICTIM = images(60, (1, 4, 4)), linear(3, (1, 4, 4), seed=1, dtype=torch.float32)


def fresh(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))


STRATEGIES = {
    "as they are": AsTheyAre(X),
    "noise": NoiseQueries((1, 4, 4)),
    "warps": Warps(X[:10]),
    "jacobian": JacobianSteps(X[:10]),
    "k-centre": KCentre(X),
}


class Counting(nn.Module):
    """Counts the images that it sees."""

    def __init__(self, model):
        super().__init__()
        self.model, self.seen = model, 0

    def forward(self, x):
        self.seen += len(x)
        return self.model(x)


def test_every_image_is_counted_and_no_more_are_answered():
    """Against a counter inside the model: repeated images count again, a call beyond the budget is refused as a whole, and one
    that fits the rest is still answered."""
    victim = Counting(VICTIM)
    oracle = Oracle(victim, budget=10)
    oracle(X[:4]), oracle(X[:4])
    assert (oracle.used, oracle.left, victim.seen) == (8, 2, 8)
    with pytest.raises(QueryBudgetError, match="queries: got 3; allowed are 2 more, since 8 of 10 are used"):
        oracle(X[:3])
    assert (oracle.used, victim.seen) == (8, 8)
    oracle(X[:2])
    assert oracle.left == 0 and victim.seen == 10
    with pytest.raises(InputError):
        oracle(2 * X[:1] + 1)


def test_what_each_kind_of_answer_tells():
    """By hand, from the softmax of the victim's logits in float64: a one-hot row, the top probability with the rest in equal
    shares, all of them, and rounded ones."""
    p = VICTIM(X).double().softmax(1).detach()
    top, label = p.max(1)
    told = {kind: Oracle(VICTIM, 60, kind)(X) for kind in ("label", "top1", "probabilities")}
    assert torch.equal(told["label"], nn.functional.one_hot(label, 3).double())
    torch.testing.assert_close(told["probabilities"], p)
    assert torch.equal(told["top1"].argmax(1), label)
    torch.testing.assert_close(told["top1"].amax(1), top)
    torch.testing.assert_close(told["top1"].sum(1), torch.ones(60, dtype=torch.float64))
    rest = told["top1"].scatter(1, label[:, None], 0).sort(1).values[:, 1:]
    torch.testing.assert_close(rest[:, 0], rest[:, 1])
    rounded = Oracle(VICTIM, 60, "probabilities", digits=1)(X)
    plain = (10 * p).round()
    untied = (plain == plain.amax(1, keepdim=True)).sum(1) == 1
    assert untied.sum() >= 50
    torch.testing.assert_close(10 * rounded[untied], plain[untied])
    assert all(not answer.requires_grad and answer.dtype == torch.float64 for answer in told.values())


def test_a_softmax_regression_is_copied_exactly():
    """In closed form (Tramer et al. 2016): from d + 1 answers the copy's probabilities equal the victim's to 1e-9, on images that
    were never asked; (d + 1) (K - 1) equations determine as many unknowns."""
    draw = torch.Generator().manual_seed(0)
    weight, bias = (torch.randn(*size, generator=draw, dtype=torch.float64) for size in ((5, 12), (5,)))
    victim = Linear(weight, bias)
    oracle = Oracle(victim, 13, "probabilities")
    copy = solve_softmax_regression(oracle, (3, 2, 2))
    assert oracle.left == 0
    x = images(50, (3, 2, 2), dtype=torch.float64)
    torch.testing.assert_close(copy(x).softmax(1), victim(x).softmax(1).detach(), rtol=0, atol=1e-9)


def test_rounding_spoils_the_exact_copy_and_not_the_label():
    """The defense against the exact attack, and the attack on the defense. With one decimal the equations are wrong, or cannot be
    solved at all; a student who learns from the same rounded answers agrees on four of five images."""
    victim = linear(3, (1, 4, 4), seed=5, dtype=torch.float32)
    with torch.no_grad():
        victim.weight.mul_(0.4)
        exact = victim(X).softmax(1)
        copy = solve_softmax_regression(Oracle(victim, 17, "probabilities", digits=1), (1, 4, 4))
        assert (copy(X.double()).softmax(1) - exact).abs().max() > 0.05
    oracle = Oracle(victim, 300, "probabilities", digits=1)
    asked = images(300, (1, 4, 4), seed=3)
    theft = steal(oracle, fresh(), AsTheyAre(asked), (300,), epochs=60, lr=0.02)
    assert agreement(theft.student, victim, X) >= 0.8
    confident = Linear(100 * victim.weight.detach(), torch.zeros(3))
    with pytest.raises(InputError, match="oracle: told a probability of 0"):
        solve_softmax_regression(Oracle(confident, 17, "probabilities", digits=1), (1, 4, 4))


@pytest.mark.parametrize("kind", ["top1", "probabilities"])
@pytest.mark.parametrize("digits", [0, 1, 2])
def test_rounding_never_changes_the_label(kind, digits):
    """Against the labels of the unrounded answers, on probabilities close to each other: nine classes near 1/9, and ties of two.
    The others are rounded as `round` does, and the label is at most one unit above its rounded probability."""
    draw = torch.Generator().manual_seed(0)
    near = torch.cat([0.05 * torch.rand(200, 9, generator=draw), torch.rand(200, 9, generator=draw) * 3])
    near[-20:, 4] = near[-20:, 7] = 4  # exact ties: the first one is the label
    p = near.double().softmax(1)
    victim = Function(lambda x: near[(x.flatten(1)[:, 0] * 400).round().long()])
    x = (torch.arange(400) / 400).view(400, 1, 1, 1)
    told = Oracle(victim, 400, kind, digits=digits)(x)
    label = p.argmax(1)
    assert torch.equal(told.argmax(1), label)
    assert (told == told.amax(1, keepdim=True)).sum(1).eq(1).all()
    top, unit = told.gather(1, label[:, None])[:, 0], 10.0**-digits
    raised = top - p.amax(1).round(decimals=digits)
    assert (raised.abs() < 1e-9).logical_or((raised - unit).abs() < 1e-9).all() and (raised > 1e-9).any()
    if kind == "probabilities":
        others = torch.arange(9) != label[:, None]
        assert torch.equal(told[others], p.round(decimals=digits)[others])


@pytest.mark.parametrize("name", STRATEGIES)
def test_each_strategy_spends_what_it_was_given(name):
    """Against the counter in the victim, and the record: the sizes of the rounds, all images in [0, 1], the labels of a fresh
    forward pass, a student for each round."""
    victim, student = Counting(VICTIM), fresh()
    before = snapshot(student)
    theft = steal(Oracle(victim, 45), student, STRATEGIES[name], (10, 20, 40), epochs=2)
    assert victim.seen == 41  # and a black image, from which the oracle knows how many classes there are
    assert theft.sizes == (10, 20, 40) and theft.images.shape == (40, 1, 4, 4)
    assert theft.images.min() >= 0 and theft.images.max() <= 1
    assert torch.equal(theft.answers.argmax(1), VICTIM(theft.images).argmax(1))
    assert len(theft.students) == 3 and theft.student is theft.students[-1]
    assert same(student, before) and not same(theft.student, before)


@pytest.mark.parametrize("name", STRATEGIES)
def test_thefts_repeat_and_leave_nothing_behind(name):
    """Against a second run with the same seed, copies of what was handed in, and the global random state."""
    state, kept = torch.get_rng_state(), X.clone()
    runs = [
        steal(Oracle(VICTIM, 20), fresh(), STRATEGIES[name], (10, 20), epochs=2, seed=4) for _ in range(2)
    ]
    assert torch.equal(runs[0].images, runs[1].images) and same(runs[0].student, snapshot(runs[1].student))
    assert torch.equal(state, torch.get_rng_state()) and torch.equal(X, kept)
    assert VICTIM.training and all(p.grad is None for p in VICTIM.parameters())


class Untrainable(nn.Module):
    def forward(self, x):
        return x.flatten(1)[:, :3]


SPENDS_NOTHING = {
    "another number of classes": {"student": linear(4, (1, 4, 4), dtype=torch.float32)},
    "another size of images": {"student": linear(3, (1, 5, 5), dtype=torch.float32)},
    "no weights": {"student": Untrainable()},
    "no module": {"student": "net"},
    "no strategy": {"strategy": X},
    "a pool too small for the last round": {"strategy": AsTheyAre(X[:30])},
    "a pool too small for the choice": {"strategy": KCentre(X[:30])},
    "a step too long": {"strategy": JacobianSteps(X[:5])},
    "images of another size": {"strategy": NoiseQueries((1, 5, 5))},
    "epochs": {"epochs": 0},
    "batch_size": {"batch_size": 0},
    "lr": {"lr": 0.0},
    "seed": {"seed": -1},
}


@pytest.mark.parametrize("name", SPENDS_NOTHING)
def test_what_cannot_work_costs_no_query(name):
    """Against the oracle's counter: what the second round could not be trained or filled with is refused before the first."""
    given = {"student": fresh(), "strategy": AsTheyAre(X), "epochs": 1} | SPENDS_NOTHING[name]
    oracle = Oracle(VICTIM, 60)
    with pytest.raises(InputError):
        steal(oracle, given.pop("student"), given.pop("strategy"), (10, 40), **given)
    assert oracle.used == 0


def test_jacobian_steps_are_papernots():
    """Against `augment` on the student of the round before, which has tests of its own: the first images, then moved copies."""
    theft = steal(Oracle(VICTIM, 20), fresh(), JacobianSteps(X[:10], step=0.2), (10, 20), epochs=2)
    assert torch.equal(theft.images[:10], X[:10])
    y = VICTIM(X[:10]).argmax(1)
    assert torch.equal(theft.images[10:], augment(theft.students[0], X[:10], y, 0.2))


def test_k_centre_takes_the_farthest():
    """By hand, on a line: with 0.5 asked and answers that grow with the pixel, the ends come first, then what lies between."""
    pool = torch.tensor([0.5, 0.55, 0.0, 1.0, 0.28]).view(5, 1, 1, 1)
    student = linear(2, (1, 1, 1), dtype=torch.float32)
    with torch.no_grad():
        student.weight[:] = torch.tensor([[1.0], [0.0]])
    generator = torch.Generator()
    first = KCentre(pool)(1, student, torch.empty(0), torch.empty(0), generator)
    assert first.item() == 0.5
    chosen = KCentre(pool)(3, student, first, torch.zeros(1), generator).flatten().tolist()
    assert {round(c, 2) for c in chosen[:2]} == {0.0, 1.0} and chosen[2] == pytest.approx(0.28)


def test_warps_are_of_own_images():
    """Against the images themselves with a warp that does nothing: each proposal is one of them."""
    same_as_before = Warps(X[:5], augmentation=lambda x, generator: x)
    proposed = same_as_before(30, fresh(), X[:5], torch.zeros(5), torch.Generator().manual_seed(0))
    assert len(proposed) == 30 and all(any(torch.equal(p, x) for x in X[:5]) for p in proposed)


def test_agreement_and_transfer_by_hand():
    """By counting: a copy agrees everywhere and hands over each attack; a net with opposite answers never agrees."""
    opposite = Linear(-VICTIM.weight.detach(), torch.zeros(3))
    assert agreement(VICTIM, VICTIM, X) == 1 and agreement(opposite, VICTIM, X) == 0
    y = VICTIM(X).argmax(1)
    attack = FGSM(0.2)
    fooled = (VICTIM(attack(VICTIM, X, y)).argmax(1) != y).double().mean().item()
    assert transferred(VICTIM, VICTIM, X, y, attack) == pytest.approx(fooled)
    assert math.isnan(transferred(VICTIM, VICTIM, X, (y + 1) % 3, attack))


def test_the_loss_is_that_of_distributions():
    """Against -sum q log p by hand; on one-hot rows it is the ordinary cross-entropy."""
    q = torch.rand(60, 3, generator=torch.Generator().manual_seed(0)).softmax(1)
    log_p = VICTIM(X).log_softmax(1)
    torch.testing.assert_close(soft_cross_entropy(VICTIM, X, q), -(q * log_p).sum(1).mean())
    y = torch.arange(60) % 3
    one_hot = nn.functional.one_hot(y, 3).float()
    torch.testing.assert_close(
        soft_cross_entropy(VICTIM, X, one_hot), nn.functional.cross_entropy(VICTIM(X), y)
    )


def test_grey_signs_look_like_digits_in_shape():
    """By hand: the weights of red, green and blue add up to one, so that a white sign stays white and a green one is 0.587."""
    signs = data.load("signs").subset(range(4))
    grey = grey_signs(signs)
    assert grey.shape == (4, 1, 28, 28) and 0 <= grey.min() and grey.max() <= 1
    signs.images[:] = 1
    torch.testing.assert_close(grey_signs(signs), torch.ones(4, 1, 28, 28))
    signs.images[:, [0, 2]] = 0
    torch.testing.assert_close(grey_signs(signs), torch.full((4, 1, 28, 28), 0.587))


@pytest.mark.slow
def test_data_beat_tricks_on_digits():
    """Against measurements with three other seeds: 100 digits teach a copy of mnist-small 70 % and more, 400 some ten points
    more; 300 Jacobian steps add less than 300 digits; noise teaches nothing. The control is 10 %, guessing."""
    victim, test = models.load("mnist-small"), data.load("mnist-5k").images[:500]
    own, _ = data.load("mnist-5k", "train").pick(400, seed=9)
    student = models.build("mnist-small", 11)

    def agreements(strategy):
        theft = steal(Oracle(victim, 400), student, strategy, (100, 200, 400), seed=9)
        return [agreement(net, victim, test) for net in theft.students]

    real, jacobian = agreements(AsTheyAre(own)), agreements(JacobianSteps(own[:100]))
    noise = agreements(NoiseQueries((1, 28, 28)))
    assert real[0] >= 0.65 and real[2] >= real[0] + 0.05 and real[2] >= 0.8
    assert jacobian[0] == real[0] and jacobian[2] <= real[2] - 0.03
    assert noise[2] <= 0.4


@pytest.mark.slow
def test_what_transfers_depends_on_the_victim():
    """Against measurements with another seed: the same copy, of a victim trained without warped digits, fools that victim with
    BIM at 0.2 on half of the digits, and the shipped one, which learnt from warped digits, on a sixth."""
    train, test = data.load("mnist-5k", "train"), data.load("mnist-5k")
    victim = train_victim(train, 0, epochs=5)
    x, y = test.pick(100, seed=0)
    own, _ = train.pick(100, seed=9)
    theft = steal(Oracle(victim, 100), models.build("mnist-small", 11), AsTheyAre(own), (100,), seed=9)
    attack = BIM(0.2, alpha=0.05, steps=10)
    ordinary, robust = (
        transferred(theft.student, each, x, y, attack) for each in (victim, models.load("mnist-small"))
    )
    assert ordinary >= 0.3 and robust <= ordinary - 0.15


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Oracle(VICTIM, 0), "budget: got 0; allowed is an integer >= 1"),
        (lambda: Oracle(VICTIM, 5, "logits"), "answers: got 'logits'"),
        (lambda: Oracle(VICTIM, 5, digits=-1), "digits: got -1"),
        (lambda: Oracle("net", 5), "model: got str"),
        (
            lambda: steal(Oracle(VICTIM, 5), fresh(), AsTheyAre(X), (10,)),
            "queries: got 10; allowed are 5 more",
        ),
        (lambda: steal(Oracle(VICTIM, 50), fresh(), AsTheyAre(X), (20, 10)), "sizes: got"),
        (lambda: steal(Oracle(VICTIM, 50), fresh(), AsTheyAre(X), ()), "sizes: got"),
        (lambda: steal(Oracle(VICTIM, 500), fresh(), AsTheyAre(X), (100,)), "pool: got 60 images"),
        (
            lambda: steal(Oracle(VICTIM, 50), fresh(), JacobianSteps(X[:5]), (5, 20), epochs=1),
            "at most twice",
        ),
        (lambda: steal(Oracle(VICTIM, 50), fresh(), AsTheyAre(X), (5,), epochs=0), "epochs: got 0"),
        (lambda: steal(Oracle(conv((1, 4, 4)), 50), fresh(), AsTheyAre(X), (5,)), "student: got 3 classes"),
        (lambda: JacobianSteps(X, step=-1), "step: got -1"),
        (lambda: JacobianSteps(X[:0]), "own: got no images"),
        (lambda: Warps(X[:0]), "own: got no images"),
        (lambda: Warps(X, None), "augmentation: got None"),
        (lambda: AsTheyAre(2 * X), "pool: got values"),
        (lambda: KCentre("all"), "pool: got 'all'"),
        (lambda: NoiseQueries((28, 28)), r"shape: got \(28, 28\)"),
        (lambda: steal(VICTIM, fresh(), AsTheyAre(X), (5,)), "oracle: got Linear"),
        (lambda: steal(Oracle(VICTIM, 50), fresh(), AsTheyAre(X), 5), "sizes: got 5"),
        (
            lambda: solve_softmax_regression(Oracle(VICTIM, 50), (1, 4, 4)),
            "oracle: got one that tells 'label'",
        ),
        (lambda: solve_softmax_regression(Oracle(VICTIM, 5, "probabilities"), (1, 4, 4)), "queries: got 17"),
    ],
)
def test_bad_input_is_named(call, message):
    """The expected sentences are written out by hand."""
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.gpu
def test_on_a_gpu():
    """Against the CPU: what is asked, and what is answered, with each strategy; and the exact copy."""
    there = linear(3, (1, 4, 4), seed=1, dtype=torch.float32).cuda()
    for strategy in (AsTheyAre(X.cuda()), NoiseQueries((1, 4, 4)), Warps(X[:10].cuda()), KCentre(X.cuda())):
        theft = steal(Oracle(there, 20), fresh().cuda(), strategy, (10, 20), epochs=1)
        assert theft.images.is_cuda and theft.answers.is_cuda
        assert torch.equal(theft.answers.argmax(1), predict(there, theft.images).argmax(1))
    copy = solve_softmax_regression(Oracle(there, 17, "probabilities"), (1, 4, 4))
    x = X.double()
    torch.testing.assert_close(
        copy(x.cuda()).softmax(1).cpu(), VICTIM(X).softmax(1).double(), atol=1e-3, rtol=0
    )
    assert 0 <= transferred(there, there, X.cuda(), VICTIM(X).argmax(1).cuda(), BIM(0.1, steps=2)) <= 1
