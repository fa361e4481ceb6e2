"""Deep contractive networks, input gradient regularisation and defensive distillation: the losses against closed forms."""

import math

import numpy as np
import pytest
import torch
from objectives import left, linear_model, plain, trained
from scipy import special, stats
from tiny import blobs, linear, network, quiet, same
from torch import nn
from torch.nn import functional as F

from advcourse import data, models
from advcourse.attacks import FGSM, PGD
from advcourse.core.inputs import InputError, accuracy
from advcourse.defenses import (
    AtTemperature,
    DeepContractive,
    DefensiveDistillation,
    InputGradientRegularization,
    distil,
    teacher_objective,
)
from advcourse.defenses.gradient_masking import contraction, layers


def gradients(loss, model):
    """The gradient by each of the weights, 0 where the loss does not depend on them."""
    weights = list(model.parameters())
    return torch.autograd.grad(loss, weights, retain_graph=True, materialize_grads=True)


def agree(loss, expected, model, rtol=1e-4):
    """Whether two losses have the same value and the same gradient by the weights."""
    return torch.allclose(loss, expected, rtol=rtol) and all(
        torch.allclose(ours, exact, rtol=rtol, atol=1e-5)
        for ours, exact in zip(gradients(loss, model), gradients(expected, model))
    )


# ---- input gradient regularisation ----


@pytest.mark.parametrize("weight", [0.0, 0.5, 3.16])
def test_igr_of_a_linear_model_of_two_classes(weight):
    """Against the closed form: softplus(-m) + weight * sigmoid(-m)^2 ||w||^2, m the margin, w = W_y - W_other."""
    model, x, y = linear_model(classes=2)
    w = model[1].weight[y] - model[1].weight[1 - y]
    m = (w * x.flatten(1)).sum(1) + model[1].bias[y] - model[1].bias[1 - y]
    expected = (F.softplus(-m) + weight * F.sigmoid(-m) ** 2 * w.square().sum(1)).mean()
    assert agree(InputGradientRegularization(weight)(model, x, y), expected, model)


@pytest.mark.parametrize("size", [1, 10, 60])
def test_igr_deepsecs_constant_is_batch_size_times_as_large(size):
    """Against DEEPSEC's code written out: 316 times the squared norm of the gradient of the batch's mean loss."""
    model, x, y = network().eval(), *blobs()
    images, labels = x[:size].requires_grad_(), y[:size]
    mean = F.cross_entropy(model(images), labels)
    (gradient,) = torch.autograd.grad(mean, images, create_graph=True)
    objective = InputGradientRegularization.deepsec(316, size)
    assert agree(objective(model, x[:size], labels), mean + 316 * gradient.square().sum(), model)
    assert objective == InputGradientRegularization(316 / size)
    assert InputGradientRegularization.deepsec(316, 100) == InputGradientRegularization()


def test_igr_does_not_depend_on_the_batch():
    """Against the mean of the losses of single images: the norm is each image's own."""
    model, x, y = linear_model()
    objective = InputGradientRegularization(2.0)
    single = torch.stack([objective(model, x[i : i + 1], y[i : i + 1]) for i in range(60)]).mean()
    assert agree(objective(model, x, y), single, model)


# ---- deep contractive network ----


def dense(activation):
    """A network of two dense layers, and its images."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), activation, nn.Linear(8, 3)), blobs(12)[0]


@pytest.mark.parametrize("activation", [nn.Sigmoid(), nn.ReLU()], ids=["sigmoid", "relu"])
def test_dcn_estimates_the_exact_norm_of_dense_layers(activation):
    """Against sum_k sigma'(a_k)^2 ||W_k||^2 (ReLU: over a_k > 0), within 5 standard errors of Hutchinson's, 2 ||J J^T||^2 / n."""
    model, x = dense(activation)
    draws = 2000
    logits, norms = contraction(model, x, draws)
    a = model[1](x.flatten(1))
    slope = F.sigmoid(a) * (1 - F.sigmoid(a)) if isinstance(activation, nn.Sigmoid) else (a > 0).float()
    jacobians = [slope.unsqueeze(2) * model[1].weight, model[3].weight.expand(12, 3, 8)]
    exact = [(slope**2 * model[1].weight.square().sum(1)).sum(1), model[3].weight.square().sum().expand(12)]
    assert torch.equal(logits, model(x)) and norms.shape == (2, 12)
    for found, norm, jacobian in zip(norms, exact, jacobians):
        error = (2 * (jacobian @ jacobian.mT).square().sum((1, 2)) / draws).sqrt()
        assert ((found - norm).abs() < 5 * error).all() and (error < 0.1 * norm).all()
    # The weights learn from it: the gradient of the estimate against that of the formula.
    for ours, theirs in zip(
        gradients(norms.mean(1).sum(), model), gradients(sum(norm.mean() for norm in exact), model)
    ):
        assert (ours - theirs).norm() <= 0.1 * theirs.norm() + 1e-6


def test_dcn_estimates_the_exact_norm_of_a_convolution():
    """Against the Jacobian that torch.autograd.functional makes row by row, pooling and normalisation in it."""
    torch.manual_seed(0)
    model = nn.Sequential(
        models.nets.Normalise((0.5,), (0.25,)), nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    )
    x, draws = blobs(5)[0], 4000
    jacobian = torch.stack(
        [torch.autograd.functional.jacobian(model, image.unsqueeze(0)).view(3, 16) for image in x]
    )
    error = (2 * (jacobian @ jacobian.mT).square().sum((1, 2)) / draws).sqrt()
    (found,) = contraction(model, x, draws)[1]
    assert ((found - jacobian.square().sum((1, 2))).abs() < 5 * error).all() and (error > 0).all()


@pytest.mark.parametrize("name, count", [("mnist-cnn", 4), ("mnist-small", 4), ("mnist-wide", 3)])
def test_dcn_layers_together_are_the_network(name, count):
    """Against the network's own answer, and the number of its convolutions and dense layers."""
    model = models.load(name)
    found, x = layers(model), data.load("mnist-5k").images[:4]
    assert len(found) == count
    assert torch.equal(nn.Sequential(*found)(x), model(x))


def test_dcn_weighs_each_layer():
    """Against the sum by hand, with the same draws: cross-entropy + sum_j lambda_j times the mean of the j-th norm."""
    model, x, y = network().eval(), *blobs()
    torch.manual_seed(3)
    logits, norms = contraction(model, x, draws=3)
    expected = F.cross_entropy(logits, y) + 0.2 * norms[0].mean() + 0.7 * norms[1].mean()
    torch.manual_seed(3)
    assert agree(DeepContractive((0.2, 0.7), draws=3)(model, x, y), expected, model)
    torch.manual_seed(3)
    assert DeepContractive(0.2)(model, x, y) != DeepContractive(0.2)(model, x, y)  # each batch draws anew
    assert torch.allclose(DeepContractive(0.0)(model, x, y), F.cross_entropy(logits, y))


# ---- defensive distillation ----


@pytest.mark.parametrize("temperature", [0.5, 1.0, 20.0])
def test_soft_labels_are_the_softmax_at_that_temperature(temperature):
    """Against scipy's softmax of Z / T; the teacher in eval mode, without a graph, and left in training mode."""
    teacher, x = network().train(), blobs()[0]
    found = DefensiveDistillation(teacher, temperature).soft_labels(x)
    with torch.no_grad():
        logits = network().eval()(x).double().numpy()
    assert np.allclose(found.numpy(), special.softmax(logits / temperature, axis=1), atol=1e-6)
    assert teacher.training and not found.requires_grad


@pytest.mark.parametrize("temperature", [1.0, 10.0])
def test_the_students_loss_is_least_at_the_teachers_answers(temperature):
    """Against Gibbs' inequality: the loss of a student that answers alike is the entropy of the soft labels, its gradient 0."""
    teacher, x, y = linear_model()
    objective, student = DefensiveDistillation(teacher, temperature), linear_model()[0]
    entropy = stats.entropy(objective.soft_labels(x).double().numpy(), axis=1).mean()
    loss = objective(student, x, y)
    assert loss.item() == pytest.approx(entropy, rel=1e-5)
    assert all(gradient.abs().max() < 1e-6 for gradient in gradients(loss, student))
    assert objective(linear(), x, y).item() == pytest.approx(math.log(3), rel=1e-5) and entropy < math.log(3)


def test_a_linear_student_learns_its_teachers_logits():
    """Against the optimum in closed form: the teacher's logits but for a constant an image, whatever the labels say."""
    teacher, x, y = linear_model()
    student = linear()
    objective = DefensiveDistillation(teacher, 2.0)
    stepper = torch.optim.LBFGS(
        student.parameters(), max_iter=500, tolerance_grad=1e-8, line_search_fn="strong_wolfe"
    )

    def closure():
        stepper.zero_grad()
        loss = objective(student, x, (y + 1) % 3)
        loss.backward()
        return loss

    stepper.step(closure)
    gap = (student(x) - teacher(x)).detach()
    assert (gap - gap.mean(1, keepdim=True)).abs().max() < 0.05
    assert (teacher(x) - teacher(x).mean(1, keepdim=True)).abs().max() > 2


@pytest.mark.parametrize("temperature", [0.5, 20.0])
def test_at_temperature_divides_and_keeps_the_labels(temperature):
    """Against scipy's softmax of Z / T; the labels are the model's own, and it is in the mode that it was in."""
    model, x, _ = linear_model()
    with torch.no_grad():
        expected = special.softmax(model(x).double().numpy() / temperature, axis=1)
    warm = AtTemperature(model, temperature)
    assert np.allclose(warm(x).softmax(1).detach().numpy(), expected, atol=1e-6)
    assert torch.equal(warm(x).argmax(1), model(x).argmax(1)) and warm.eval().model is model


@pytest.mark.parametrize("temperature", [5.0, 100.0])
def test_logits_grow_with_the_temperature(temperature):
    """Against the scaling law: logits T times as large have the same loss at T as the logits at 1, so all optima grow T-fold."""
    model, x, y = linear_model()
    expected = F.cross_entropy(model(x), y)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= temperature
    assert teacher_objective(temperature)(model, x, y).item() == pytest.approx(expected.item(), rel=1e-5)


def test_distil_is_both_stages_in_their_order(tmp_path):
    """Against the two runs of `fit` by hand, bit for bit; taken up again from its checkpoints, it ends with the same weights."""
    settings = {"epochs": 3, "batch_size": 16, "lr": 0.05, "device": "cpu", "progress": False}
    first, second = network(seed=1), network(seed=2)
    quiet(first, blobs(), teacher_objective(5.0), epochs=3, batch_size=16, lr=0.05)
    quiet(second, blobs(), DefensiveDistillation(first, 5.0), epochs=3, batch_size=16, lr=0.05)
    for _ in range(2):
        teacher, student = network(seed=1), network(seed=2)
        state = torch.get_rng_state()
        histories = distil(teacher, student, blobs(), 5.0, checkpoint=tmp_path / "d.pt", **settings)
        assert same(teacher, first.state_dict()) and same(student, second.state_dict())
        assert [len(history) for history in histories] == [3, 3] and torch.equal(torch.get_rng_state(), state)
    assert {path.name for path in tmp_path.iterdir()} == {"d-teacher.pt", "d-student.pt"}
    with pytest.raises(InputError, match="checkpoint: .* of another run, with other objective"):
        distil(network(seed=1), network(seed=2), blobs(), 6.0, checkpoint=tmp_path / "d.pt", **settings)
    with pytest.raises(InputError, match="checkpoint: .* of another run, with other objective"):
        objective = DefensiveDistillation(network(seed=3), 5.0)
        quiet(
            network(seed=2), blobs(), objective, checkpoint=tmp_path / "d-student.pt", epochs=3, batch_size=16
        )


# ---- end to end ----


def input_gradients(model, x, y):
    """The gradient (N, 784) of each image's cross-entropy, in float32 as torch makes it."""
    x = x.clone().requires_grad_()
    loss = F.cross_entropy(model(x), y, reduction="sum")
    return torch.autograd.grad(loss, x)[0].flatten(1)


@pytest.mark.slow
def test_distillation_saturates_and_falls():
    """Against Carlini and Wagner 2016: the gradient is 0 for most digits; at temperature T it is back, and PGD leaves none."""
    training, (x, y) = data.load("mnist-5k", "train"), data.load("mnist-5k").pick(200)
    pair = training.images[:1000], training.labels[:1000]
    teacher, student = models.build("mnist-small", seed=0), models.build("mnist-small", seed=1)
    settings = {"epochs": 8, "batch_size": 64, "lr": 5e-3, "device": "cpu", "progress": False}
    distil(teacher, student, pair, 100.0, **settings)
    student.eval()
    hidden = (input_gradients(student, x, y) == 0).all(1)
    assert (
        hidden.float().mean() >= 0.5 and (input_gradients(plain(), x, y) == 0).all(1).float().mean() <= 0.01
    )
    assert not (input_gradients(AtTemperature(student, 100.0), x, y) == 0).all(1).any()
    naive = (x + 0.3 * input_gradients(student, x, y).sign().view_as(x)).clamp(0, 1)
    assert accuracy(student, naive, y) >= 0.5  # FGSM on the cross-entropy seems to fail
    assert accuracy(student, x, y) >= 0.85 and left(student, PGD(0.3, steps=20)) <= 0.05


def test_igr_flattens_the_loss_and_falls_to_the_full_budget():
    """Against the same network without it: smaller gradients and some gain at eps 0.1, nothing left at 0.3."""
    model, (x, y) = trained(InputGradientRegularization()), data.load("mnist-5k").pick(200)
    sizes = [input_gradients(net, x, y).norm(dim=1).mean() for net in (model, plain())]
    assert sizes[0] <= 0.7 * sizes[1] and left(model, FGSM(0.0)) >= 0.9
    assert left(model, FGSM(0.1)) >= left(plain(), FGSM(0.1)) + 0.03
    assert left(model, PGD(0.3, steps=20)) <= 0.05


def test_dcn_contracts_and_falls_to_pgd():
    """Against the same network without it: the exact norm of its last layer, and the estimate of all, fall; PGD leaves none."""
    model, (x, _) = trained(DeepContractive()), data.load("mnist-5k").pick(200)
    torch.manual_seed(0)
    ours, others = (contraction(net, x, draws=3)[1].mean(1) for net in (model, plain()))
    assert ours.sum() <= 0.7 * others.sum() and model[-1].weight.norm() < plain()[-1].weight.norm()
    assert left(model, FGSM(0.0)) >= 0.9 and left(model, PGD(0.3, steps=20)) <= 0.05


# ---- arguments ----


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: DeepContractive(-1.0), "weight: got -1.0"),
        (lambda: DeepContractive((0.1, math.nan)), "weight: got nan"),
        (lambda: DeepContractive(draws=0), "draws: got 0; allowed is an integer >= 1"),
        (lambda: InputGradientRegularization(-0.1), "weight: got -0.1"),
        (
            lambda: InputGradientRegularization.deepsec(316, 0),
            "batch_size: got 0; allowed is an integer >= 1",
        ),
        (lambda: InputGradientRegularization.deepsec(-1, 10), "constant: got -1"),
        (lambda: DefensiveDistillation(), "teacher: got None; .*`distil` trains the teacher"),
        (lambda: DefensiveDistillation("mnist-cnn"), "teacher: got 'mnist-cnn'"),
        (lambda: DefensiveDistillation(linear(), 0.0), "temperature: got 0.0; allowed is a number > 0"),
        (lambda: DefensiveDistillation(linear(), -5), "temperature: got -5"),
        (lambda: AtTemperature(linear(), 0), "temperature: got 0; allowed is a number > 0"),
        (lambda: AtTemperature("mnist-cnn"), "model: got 'mnist-cnn'; allowed is a torch.nn.Module"),
        (lambda: teacher_objective(0), "temperature: got 0; allowed is a number > 0"),
        (lambda: teacher_objective(math.inf), "temperature: got inf"),
        (lambda: distil(linear(), linear(), blobs(), -1.0), "temperature: got -1.0"),
        (lambda: distil(linear(), linear(), blobs(), objective=print), "objective: not accepted here"),
    ],
)
def test_bad_settings_are_named(make, message):
    """Against one bad setting at a time; the error names it, before any training."""
    with pytest.raises(InputError, match=message):
        make()


def test_networks_that_do_not_fit_are_named():
    """Against a teacher that learns itself, one of other classes, a network of no layers, and weights for other layers."""
    model = linear()
    with pytest.raises(InputError, match="student: got the teacher"):
        distil(model, model, blobs())
    with pytest.raises(InputError, match="teacher: got the student"):
        quiet(model, blobs(), DefensiveDistillation(model), epochs=1)
    with pytest.raises(InputError, match="teacher: got 5 classes; allowed are 3"):
        quiet(model, blobs(), DefensiveDistillation(linear(5)), epochs=1)
    with pytest.raises(InputError, match="weight: got 3; allowed is one for each of the model's 1 layers"):
        quiet(model, blobs(), DeepContractive((0.1, 0.1, 0.1)), epochs=1)
    for other in (nn.Sequential(nn.Flatten()), nn.ModuleList([nn.Linear(16, 3)]), nn.Linear(4, 3)):
        with pytest.raises(InputError, match=r"model: got .*; allowed is a torch.nn.Sequential"):
            DeepContractive()(other, *blobs())
    with pytest.raises(InputError, match="y: got label 3; allowed are 0 to 2"):
        teacher_objective(2.0)(model, blobs()[0], blobs()[1] + 1)
