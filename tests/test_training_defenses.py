"""Natural, ensemble and fast adversarial training, and TRADES: their losses, against closed forms and records of the model."""

import math

import pytest
import torch
from objectives import Recorder, left, linear_model, plain, trained
from scipy import stats
from tiny import blobs, linear, network, quiet, same
from torch.nn import functional as F

from advcourse import models
from advcourse.attacks import FGSM, PGD
from advcourse.core.inputs import InputError
from advcourse.defenses import EAT, NAT, PAT, TRADES, FastAT
from advcourse.defenses.trades import divergence
from advcourse.training import cross_entropy


def directions(model, x, labels):
    """sign(grad_x J) (N, 16) of a linear model in closed form: W^T (p - onehot)."""
    with torch.no_grad():
        p = model(x).softmax(1)
        return ((p - F.one_hot(labels, p.shape[1])) @ model[1].weight).sign()


# ---- NAT ----


def test_nat_weighs_clean_and_adversarial_images_by_hand():
    """Against the formula for m = 4, k = 2, lambda = 0.3 on the images it learnt from: (J3 + J4 + 0.3 (J1' + J2')) / 2.6."""
    net, x, y = linear_model()
    model = Recorder(net).train()
    torch.manual_seed(0)
    found = NAT(weight=0.3, share=0.5)(model, x[:4], y[:4])
    (images,) = model.learnt_from()
    j = F.cross_entropy(net(images), y[:4], reduction="none").tolist()
    assert found.item() == pytest.approx((j[2] + j[3] + 0.3 * (j[0] + j[1])) / 2.6, rel=1e-6)
    assert torch.equal(images[2:], x[2:4]) and all(not torch.equal(images[i], x[i]) for i in (0, 1))


@pytest.mark.parametrize("share, attacked", [(0.0, 0), (0.5, 5), (0.8, 8), (1.0, 10)])
def test_nat_attacks_its_share_of_the_batch_in_one_joint_pass(share, attacked):
    """Against a count of changed images: one pass in training mode over the whole batch."""
    net, x, y = linear_model()
    model = Recorder(net).train()
    NAT(share=share)(model, x[:10], y[:10])
    (images,) = model.learnt_from()
    assert (images != x[:10]).flatten(1).any(1).tolist() == [True] * attacked + [False] * (10 - attacked)


def test_nat_steps_towards_the_least_likely_class():
    """Against W in closed form: each pixel moves by its image's budget, down the gradient for the class of least logit."""
    net, x, y = linear_model(classes=5)
    model = Recorder(net).train()
    objective = NAT(sigma=0.1, cap=0.2, share=1.0)
    torch.manual_seed(3)
    eps = objective.budgets(60).float()
    torch.manual_seed(3)
    objective(model, x, y)
    (images,) = model.learnt_from()
    expected = -eps[:, None] * directions(net, x, net(x).argmin(1))
    assert torch.allclose((images - x).flatten(1), expected, atol=1e-6)


def test_nat_no_label_leaking():
    """Against other labels: the images that it learns from stay the same, in two classes as well, where LLC could only name y."""
    for classes in (2, 5):
        net, x, y = linear_model(classes)
        seen = []
        for labels in (y, (y + 1) % classes):
            model = Recorder(net).train()
            torch.manual_seed(0)
            NAT(share=1.0)(model, x, labels)
            seen += model.learnt_from()
        assert torch.equal(*seen)


def test_nat_budgets_follow_the_truncated_law():
    """Against scipy's truncated normal on [0, cap]: Kolmogorov and Smirnov's test on 20 000 draws; none beyond the cap."""
    objective = NAT(sigma=8 / 255, cap=16 / 255)
    torch.manual_seed(0)
    drawn = objective.budgets(20_000)
    law = stats.truncnorm(0, 2, scale=8 / 255)
    assert stats.kstest(drawn.numpy(), law.cdf).pvalue > 0.01
    assert drawn.min() >= 0 and drawn.max() <= 16 / 255 and drawn.max() > 15.9 / 255
    assert NAT(sigma=1e-6, cap=1.0).budgets(10_000).isfinite().all()


# ---- EAT ----


def test_eat_chooses_each_source_equally_often():
    """Against the binomial law: 1200 batches among 2 static nets and the model, 400 each within 4 standard deviations."""
    _, x, y = linear_model()
    static = tuple(Recorder(linear_model(seed=seed)[0]) for seed in (1, 2))
    model = Recorder(linear_model()[0])
    torch.manual_seed(0)
    for _ in range(1200):
        EAT(static)(model, x[:1], y[:1])
    asked = [len(net.seen) / 2 for net in static]  # one pass for the answer, one for the gradient
    asked.append((len(model.seen) - 1200) / 2)  # beside the pass that it learns from
    assert sum(asked) == 1200
    assert all(abs(count - 400) < 4 * math.sqrt(1200 * 2 / 9) for count in asked)


def test_eat_the_gradient_is_the_sources_at_its_own_answer():
    """Against W^T (p - onehot) of each source in closed form: every batch is one source's, none is another's, no label counts."""
    net, x, y = linear_model()
    sources = (linear_model(seed=1)[0], linear_model(seed=2)[0], net)
    expected = [0.1 * directions(source, x, source(x).argmax(1)) for source in sources]
    found = set()
    for seed in range(20):
        model = Recorder(net).train()
        torch.manual_seed(seed)
        EAT(sources[:2], eps=0.1)(model, x, (y + seed) % 3)
        (images,) = model.learnt_from()
        fits = [torch.allclose((images[60:] - x).flatten(1), change, atol=1e-6) for change in expected]
        assert torch.equal(images[:60], x) and sum(fits) == 1
        found.add(fits.index(True))
    assert found == {0, 1, 2}


def test_eat_half_clean_half_adversarial():
    """Against (J(x) + J(x')) / 2 on the images that the model was shown."""
    net, x, y = linear_model()
    model = Recorder(net).train()
    found = EAT((linear_model(seed=1)[0],), eps=0.1)(model, x, y)
    (images,) = model.learnt_from()
    clean, attacked = F.cross_entropy(net(images[:60]), y), F.cross_entropy(net(images[60:]), y)
    assert found.item() == pytest.approx((clean + attacked).item() / 2, rel=1e-6)
    assert abs(attacked - clean) > 0.01


def test_eat_static_nets_stay_as_they_are():
    """Against copies of weights, statistics, modes and gradients, through a run that asks each of them."""
    static = (network(seed=1).train(), network(seed=2).eval())
    before = [{name: tensor.clone() for name, tensor in net.state_dict().items()} for net in static]
    quiet(network(), blobs(), EAT(static, eps=0.1), epochs=4, batch_size=16)
    assert all(same(net, state) for net, state in zip(static, before))
    assert [net.training for net in static] == [True, False]
    assert all(p.grad is None and p.requires_grad for net in static for p in net.parameters())


def test_eat_static_nets_are_told_apart_by_their_weights(tmp_path):
    """Against a net of the same text with other weights: the checkpoint of the one is refused to the other."""
    ensembles = [EAT((network(seed=seed),), eps=0.1) for seed in (1, 2)]
    quiet(network(), blobs(), ensembles[0], epochs=1, checkpoint=tmp_path / "a.pt")
    with pytest.raises(InputError, match="checkpoint: .* of another run, with other objective"):
        quiet(network(), blobs(), ensembles[1], epochs=1, checkpoint=tmp_path / "a.pt")
    assert repr(ensembles[0]) == repr(EAT((network(seed=1),), eps=0.1)) != repr(ensembles[1])


# ---- FastAT ----


def test_fast_takes_one_step_of_five_quarters_from_a_uniform_start():
    """Against the law of clip(u + 1.25 eps, eps): 5 / 8 of the pixels at the border, the others uniform on [eps / 4, eps]."""
    net, x, y = linear_model(classes=2)  # the gradient's sign is the same throughout the ball
    model = Recorder(net).train()
    torch.manual_seed(0)
    loss = FastAT(eps=0.2)(model, x, y)
    (images,) = model.learnt_from()
    along = ((images - x).flatten(1) * directions(net, x, y)).flatten()
    inside = along[along < 0.2 - 1e-6]
    n = len(along)
    assert along.max() <= 0.2 + 1e-6 and inside.min() >= 0.05 - 1e-6
    assert abs(1 - len(inside) / n - 5 / 8) < 4 * math.sqrt(15 / 64 / n)
    assert stats.kstest(inside.numpy(), stats.uniform(0.05, 0.15).cdf).pvalue > 0.01
    assert loss.item() == pytest.approx(F.cross_entropy(net(images), y).item(), rel=1e-6)
    assert [training for training, _ in model.seen] == [False, True]  # two passes, as its paper says


@pytest.mark.parametrize("make", [FastAT, TRADES, lambda **given: PAT(steps=2, **given)])
def test_a_ramp_grows_the_budget(make):
    """Against a straight line: at a tenth of training, with a ramp of a half, the furthest pixel is at about eps / 5."""
    net, x, y = linear_model()
    objective, model = make(eps=0.2, ramp=0.5), Recorder(net).train()
    objective.following()(0.1)
    objective(model, x, y)
    change = (model.learnt_from()[-1] - x).abs().max().item()
    assert 0.03 < change <= 0.04 + 1e-6
    with pytest.raises(InputError, match="ramp: got 0.5, but nothing tells"):
        objective(model, x, y)


# ---- TRADES ----


def test_trades_divergence_is_that_of_torch_distributions():
    """Against torch.distributions' KL(p || q), the order of the two told apart; logits of 1000 stay finite."""
    logits, others = torch.randn(2, 50, 7, generator=torch.Generator().manual_seed(0)).mul(3)
    p, q = (torch.distributions.Categorical(logits=given) for given in (logits, others))
    found = divergence(logits, others)
    assert torch.allclose(found, torch.distributions.kl_divergence(p, q), rtol=1e-4, atol=1e-6)
    assert not torch.allclose(found, torch.distributions.kl_divergence(q, p), rtol=0.1)
    extreme = divergence(torch.tensor([[1000.0, 0, 0]]), torch.tensor([[0.0, 1000, 0]]))
    assert extreme.item() == pytest.approx(1000)


def test_trades_finds_the_furthest_answer_of_a_linear_model():
    """Against the closed form in two classes: KL grows along w = W_1 - W_0 alone, so a climb ends at +-eps sign(w)."""
    net, x, y = linear_model(classes=2)
    w, b = net[1].weight[1] - net[1].weight[0], net[1].bias[1] - net[1].bias[0]
    z = x.flatten(1) @ w + b

    def kl(z, other):
        return F.sigmoid(z) * (F.logsigmoid(z) - F.logsigmoid(other)) + F.sigmoid(-z) * (
            F.logsigmoid(-z) - F.logsigmoid(-other)
        )

    reach = 0.05 * w.abs().sum()
    furthest = torch.maximum(kl(z, z + reach), kl(z, z - reach))
    # Which of the two ends a climb reaches is up to its start: the divergence has its minimum between them.
    found = TRADES(eps=0.05, alpha=0.01, steps=20, beta=2.0)(net, x, y) - F.cross_entropy(net(x), y)
    ends = torch.minimum(kl(z, z + reach), kl(z, z - reach))
    assert 2 * ends.mean() <= found + 1e-5 and found <= 2 * furthest.mean() + 1e-5


def test_trades_learns_through_both_answers():
    """Against the gradient of the formula written out on the images that the model was shown, the clean answer not held fixed."""
    net, x, y = linear_model()
    model = Recorder(net).train()
    loss = TRADES(eps=0.1, steps=5, beta=3.0)(model, x, y)
    clean, attacked = model.learnt_from()
    p, q = (torch.distributions.Categorical(logits=net(images)) for images in (clean, attacked))
    expected = F.cross_entropy(net(clean), y) + 3 * torch.distributions.kl_divergence(p, q).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5) and torch.equal(clean, x)
    for ours, exact in zip(
        *(torch.autograd.grad(value, list(net.parameters())) for value in (loss, expected))
    ):
        assert torch.allclose(ours, exact, rtol=1e-4, atol=1e-5)
    change = (attacked - x).abs()
    assert change.max() <= 0.1 + 1e-6 and change.max() > 0.04


def test_trades_without_a_price_is_ordinary_training():
    """Against the weights that `cross_entropy` gives: beta = 0."""
    ordinary, found = linear(), linear()
    quiet(ordinary, blobs(), cross_entropy, epochs=3)
    quiet(found, blobs(), TRADES(eps=0.1, steps=1, beta=0.0), epochs=3)
    assert same(found, ordinary.state_dict())


# ---- end to end ----


@pytest.mark.slow
def test_eat_holds_against_transfer_and_falls_to_pgd():
    """Against its paper: FGSM from a net that it never saw does less than to an undefended one; PGD on itself leaves none."""
    model = trained(EAT((models.load("mnist-wide"), models.load("mnist-cnn"))))
    other, undefended = models.load("mnist-mlp"), models.load("mnist-small")
    assert left(other, FGSM(0.3), model) >= left(other, FGSM(0.3), undefended) + 0.2
    assert left(model, FGSM(0.3)) >= 0.25 and left(model, FGSM(0.0)) >= 0.9
    assert left(model, PGD(0.3, steps=20)) <= 0.05


@pytest.mark.slow
def test_nat_falls_to_more_than_one_step():
    """Against what breaks it: PGD at its largest budget. At 0.1 it is better than the same network without a defense."""
    model = trained(NAT(sigma=50 / 255, cap=0.3))
    assert left(model, FGSM(0.0)) >= 0.9 and left(model, PGD(0.3, steps=20)) <= 0.05
    assert left(model, PGD(0.1, steps=20)) >= left(plain(), PGD(0.1, steps=20)) + 0.05


@pytest.mark.slow
@pytest.mark.parametrize("objective", [FastAT(0.1), TRADES(0.1, alpha=0.03, steps=4)], ids=["fast", "trades"])
def test_training_in_the_ball_holds_in_the_ball(objective):
    """Against the same network without a defense, under 20 steps: at least 10 points more at eps 0.1, and none at 0.3."""
    model = trained(objective)
    assert left(model, FGSM(0.0)) >= 0.9
    assert left(model, PGD(0.1, steps=20)) >= left(plain(), PGD(0.1, steps=20)) + 0.1
    assert left(model, PGD(0.3, steps=20)) <= 0.05


# ---- arguments ----


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: NAT(sigma=0.0), "sigma: got 0.0; allowed is a number > 0"),
        (lambda: NAT(cap=-0.1), "cap: got -0.1"),
        (lambda: NAT(weight=0), "weight: got 0; allowed is a number > 0"),
        (lambda: NAT(share=1.5), "share: got 1.5; allowed is a number >= 0 and <= 1"),
        (lambda: EAT(()), r"static: got \[\]; allowed is a tuple of one or more"),
        (lambda: EAT([linear()]), "static: got list; allowed is a tuple"),
        (lambda: EAT((linear(), "mnist-mlp")), r"static: got \['Sequential', 'str'\]"),
        (lambda: EAT((linear(),), eps=-1), "eps: got -1"),
        (lambda: FastAT(eps=math.inf), "eps: got inf"),
        (lambda: FastAT(reach=-1.0), "reach: got -1.0"),
        (lambda: FastAT(ramp=2), "ramp: got 2"),
        (lambda: TRADES(eps="0.3"), "eps: got '0.3'"),
        (lambda: TRADES(alpha=None), "alpha: got None"),
        (lambda: TRADES(steps=0), "steps: got 0"),
        (lambda: TRADES(beta=-1.0), "beta: got -1.0"),
        (lambda: TRADES(ramp=-0.5), "ramp: got -0.5"),
    ],
)
def test_bad_settings_are_named(make, message):
    """Against one bad setting at a time; the error names it, before any training."""
    with pytest.raises(InputError, match=message):
        make()


def test_eat_the_model_that_learns_is_no_static_net():
    """Against the very model among the static ones: it would change, and be drawn twice as often."""
    model = linear()
    with pytest.raises(InputError, match="static: got the model being trained"):
        quiet(model, blobs(), EAT((model,)), epochs=1)
