"""BPDA and EOT against gradients that are known in closed form."""

import math

import pytest
import torch
from nets import Function, Linear, images, linear
from torch import nn

from advcourse.attacks import BPDA, EOT, FGSM, PGD, REGISTRY, choose_target
from advcourse.core.inputs import InputError, accuracy, predict


def quantise(x):
    return (3 * x).round() / 3


class Counting(nn.Module):
    """A model that counts its calls."""

    def __init__(self, function):
        super().__init__()
        self.function, self.calls = function, 0

    def forward(self, x):
        self.calls += 1
        return self.function(x)


def gradient(model, x, classes=(0, 1)):
    """Of each image's Z_a - Z_b, shape as `x`."""
    x = x.clone().requires_grad_()
    logits = model(x)
    return torch.autograd.grad((logits[:, classes[0]] - logits[:, classes[1]]).sum(), x)[0]


# ---- BPDA ----


def test_identity_backward_gives_the_linear_models_gradient():
    """Against W_0 - W_1: the gradient of the model behind a quantiser, whose own gradient is 0; the values are the quantised."""
    model, x = linear(), images(5, (1, 6, 6), dtype=torch.float64)
    attacked = nn.Sequential(BPDA(quantise), model)
    exact = (model.weight[0] - model.weight[1]).view(1, 1, 6, 6).expand_as(x)
    assert torch.equal(gradient(attacked, x), exact)
    assert gradient(nn.Sequential(Function(quantise), model), x).eq(0).all()
    assert torch.equal(attacked(x), model(quantise(x))) and torch.equal(BPDA(quantise)(x), quantise(x))


def test_a_chosen_backward_is_differentiated_at_the_same_x():
    """Against the chain rule by hand: f = sum of squares at g(x), so 2 g(x), times g^'(x) = 3 x^2."""
    x = images(3, dtype=torch.float64).requires_grad_()
    found = torch.autograd.grad(BPDA(quantise, lambda x: x**3)(x).square().sum(), x)[0]
    assert torch.allclose(found, 2 * quantise(x) * 3 * x**2, rtol=1e-12)


def test_backward_may_change_the_shape_as_forward_does():
    """Against a thermometer of 4 levels by hand: the gradient of clip(4 x - l, 0, 1) is 4 in x's own level, else 0."""

    def hard(x):
        return torch.cat([(x >= (level + 1) / 4).to(x) for level in range(4)], 1)

    def soft(x):
        return torch.cat([(4 * x - level).clamp(0, 1) for level in range(4)], 1)

    x = torch.tensor([0.1, 0.3, 0.6, 0.9]).view(1, 1, 2, 2).requires_grad_()
    weights = torch.tensor([1.0, 10, 100, 1000]).view(1, 4, 1, 1)
    code = BPDA(hard, soft)(x)
    assert torch.equal(code.sum(1).flatten(), torch.tensor([0.0, 1, 2, 3]))
    assert torch.equal(
        torch.autograd.grad((weights * code).sum(), x)[0].flatten(), torch.tensor([4.0, 40, 400, 4000])
    )


def test_bpda_wastes_no_pass():
    """Against counts of calls: each function once with gradients, the approximation not at all without; a graph used twice."""
    hard, soft = Counting(quantise), Counting(torch.sin)
    model, x = BPDA(hard, soft), images(2).requires_grad_()
    values = model(x)
    first = torch.autograd.grad(values.sum(), x, retain_graph=True)[0]
    assert torch.equal(first, torch.autograd.grad(values.sum(), x)[0]) and (hard.calls, soft.calls) == (1, 1)
    model(x.detach())
    with torch.no_grad():
        model(x)
    assert (hard.calls, soft.calls) == (3, 1)


def test_its_parts_are_seen_by_eval_mode_and_by_the_optimiser():
    """Against torch's own lists: a module that is handed in is a part of the whole."""
    hard = nn.Dropout()
    model = BPDA(hard, nn.Linear(3, 3))
    assert hard in list(model.modules()) and len(list(model.parameters())) == 2
    assert not model.eval().hard.training


# ---- EOT ----


def masked(model, keep):
    """A model that sees each pixel with the chance `keep`, anew in each pass."""
    return Function(lambda x: model(x * (torch.rand_like(x) < keep)))


def test_the_gradient_is_the_mean_over_the_draws():
    """Against keep * (W_0 - W_1), exact for a linear model behind random masks: the error is of the binomial's size."""
    model, x, keep, draws = linear(), images(40, (1, 6, 6), dtype=torch.float64), 0.3, 50
    torch.manual_seed(0)
    found = gradient(EOT(masked(model, keep), draws), x)
    weight = (model.weight[0] - model.weight[1]).detach().view(1, 6, 6)
    error = (found / weight - keep) / math.sqrt(
        keep * (1 - keep) / draws
    )  # in standard errors, one for each pixel
    assert error.square().mean().item() == pytest.approx(1, abs=3 * math.sqrt(2 / error.numel()))
    assert abs(error.mean()) < 3 / math.sqrt(error.numel())


@pytest.mark.parametrize("right", [0.7, 0.5, 0.3])
def test_a_random_sign_is_right_on_average(right):
    """Against (2 right - 1) W: a model that flips its logits' sign, image by image; one draw's gradient often points back."""
    model, x, draws = linear(), images(30, (1, 6, 6), dtype=torch.float64), 60
    flipped = Function(lambda x: model(x) * (1 - 2 * (torch.rand(len(x), 1).double() > right)))
    weight = (model.weight[0] - model.weight[1]).detach().view(1, 1, 6, 6)
    torch.manual_seed(0)
    share = gradient(EOT(flipped, draws), x) / weight  # the same for all pixels of an image
    assert torch.allclose(share, share[:, :, :1, :1].expand_as(share))
    error = share[:, 0, 0, 0].mean().item() - (2 * right - 1)
    assert abs(error) < 3 * 2 * math.sqrt(right * (1 - right) / (draws * len(x)))
    assert set(gradient(flipped, x).div(weight).round().unique().tolist()) == {-1.0, 1.0}


def test_it_has_the_differences_of_the_papers_objective():
    """Against the mean of log P(y | t(x)) for each class, less one number for all: also where one draw's logits are huge."""
    draws = [torch.tensor([[1.0, 2, 4]]), torch.tensor([[300.0, -300, 0]]), torch.tensor([[0.0, 0, 1]])]
    logits = iter(draws)
    found = EOT(Function(lambda x: next(logits)), 3)(torch.zeros(1, 1, 1, 1))
    objective = sum(draw.log_softmax(1) for draw in draws) / 3
    assert torch.allclose(found - found[:, :1], objective - objective[:, :1], rtol=1e-5)
    assert torch.allclose(found, torch.tensor([[301 / 3, -298 / 3, 5 / 3]]))


def test_eot_wastes_no_pass():
    """Against counts: exactly `draws` calls; of a model that draws nothing it is the model."""
    model = Counting(linear(4, (1, 8, 8), dtype=torch.float32))
    x = images(3)
    found = EOT(model, 7)(x)
    assert model.calls == 7 and torch.allclose(found, model.function(x), atol=1e-5)
    assert torch.equal(EOT(model, 1)(x), model.function(x))


def test_an_attack_on_a_random_model_repeats():
    """Against a second run after other global draws: the attack's seed decides the draws, and the global state stays."""
    model, x = linear(3, (1, 8, 8), dtype=torch.float32), images(4)
    y = model(x).argmax(1)
    attack, victim, state = PGD(0.1, steps=3), EOT(masked(model, 0.5), 4), torch.get_rng_state()
    first = attack(victim, x, y)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    assert torch.equal(first, attack(victim, x, y))


def test_eot_points_where_the_noise_does_not():
    """Against the closed form: under a sign that is right 6 times in 10, FGSM through EOT moves every pixel the exact way."""
    model = Linear(torch.tensor([[1.0, -1, 1, -1], [-1, 1, -1, 1]]), torch.zeros(2))
    x, y = torch.full((50, 1, 2, 2), 0.5), torch.zeros(50, dtype=torch.long)
    flipped = Function(lambda x: model(x) * (1 - 2 * (torch.rand(len(x), 1) > 0.6)))
    exact = x + 0.1 * torch.tensor([-1.0, 1, -1, 1]).view(1, 1, 2, 2)
    right = [
        (FGSM(0.1)(victim, x, y) - exact).abs().flatten(1).amax(1).lt(1e-6).float().mean()
        for victim in (flipped, EOT(flipped, 300))
    ]
    assert right[0] < 0.85 and right[1] == 1


@pytest.mark.parametrize("name", REGISTRY)
def test_every_attack_takes_both_unchanged(name):
    """Against the attack on the model itself: behind an exact rounding and a mean over equal draws it fools as many images.

    In float64, for the draws make the batch longer, and a longer batch rounds differently.
    """
    model, x = linear(4, (1, 8, 8)), (images(4, dtype=torch.float64) * 255).round() / 255
    y, attack = predict(model, x).argmax(1), REGISTRY[name]()
    wrapped = EOT(nn.Sequential(BPDA(nn.Identity()), model), 2)
    needs = attack.targeted and not attack.chooses_target
    target = choose_target(model, x, y) if needs else None
    expected, found = (attack.run(m, x, y, target=target) for m in (model, wrapped))
    assert torch.equal(found.success, expected.success) and accuracy(model, found.images, y) == accuracy(
        model, expected.images, y
    )


# ---- arguments ----


def test_bad_arguments_are_named():
    """Against one bad argument at a time; the error names it."""
    for arguments, message in (
        ((0.3,), "forward: got 0.3; allowed is a function"),
        ((quantise, "identity"), "backward: got 'identity'; allowed is a function"),
    ):
        with pytest.raises(InputError, match=message):
            BPDA(*arguments)
    with pytest.raises(
        InputError, match=r"backward: returned shape \(2, 64\); allowed is forward's, \(2, 1, 8, 8\)"
    ):
        BPDA(quantise, lambda x: x.flatten(1))(images(2).requires_grad_())
    with pytest.raises(InputError, match="model: got .*; allowed is a torch.nn.Module"):
        EOT(quantise)
    for draws in (0, -1, 2.5, True, None):
        with pytest.raises(InputError, match="draws: got .*allowed is an integer >= 1"):
            EOT(linear(), draws)
