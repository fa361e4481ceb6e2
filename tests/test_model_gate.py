"""The one gate to a model: what an attack or `predict` may be given, and when a failure means nothing.

The tests run over all registered attacks. They check against sentences written by hand, copies taken before, and models of which
it is known by construction what gradient they have.
"""

import itertools
import warnings

import pytest
import torch
from drawn_attacks import ATTACKS
from nets import Function, conv, images, linear
from torch import nn

from advcourse import attacks, data, models
from advcourse.attacks.gradient_watch import GradientWatch
from advcourse.core import inputs
from advcourse.core.errors import (
    DoubtfulResultWarning,
    NonFiniteGradientWarning,
    ProbabilitiesWarning,
    ZeroGradientWarning,
)
from advcourse.core.inputs import InputError

NET = conv().eval()
X, Y = images(6), torch.tensor([0, 1, 2, 3, 4, 0])
BROKEN = {
    "tuple": (
        lambda x: (NET(x), None),
        r"returned a tuple of Tensor, NoneType; .* forward returns self\.net\(x\)\[0\]",
    ),
    "dictionary": (
        lambda x: {"logits": NET(x)},
        r"returned a dict of Tensor; .* returns self\.net\(x\)\['logits'\]",
    ),
    "labels": (lambda x: NET(x).argmax(1), r"returned a tensor of shape \(\d+,\)"),
    "whole numbers": (lambda x: NET(x).long(), r"returned .*int64; allowed are floating-point logits"),
    "in place": (lambda x: NET(x.mul_(0.5)), r"changes its input in place; .*x = x\.clone\(\)"),
    "no graph": (
        torch.no_grad()(NET.forward),
        r"no gradient with respect to the images .*Transfer; or replace .* by attacks\.BPDA",
    ),
    "detached": (
        lambda x: NET(x.detach()),
        r"no gradient with respect to the images .*Transfer; or replace .* by attacks\.BPDA",
    ),
}
ONLY_FOR_ATTACKS = ("no graph", "detached")


def quick(cls):
    fields = cls.__dataclass_fields__
    small = {"steps": 2, "copies": 2, "passes": 1, "binary_search_steps": 1, "doublings": 0, "slides": 1}
    return cls(**{name: value for name, value in small.items() if name in fields})


def run(attack, model, x=X, y=Y, classes=5):
    takes_target = attack.targeted and not attack.chooses_target
    return attack.run(model, x, y, (y + 1) % classes if takes_target else None)


@ATTACKS
@pytest.mark.parametrize("kind", BROKEN)
def test_every_attack_refuses_a_broken_model_and_names_the_remedy(cls, kind):
    """Sentences by hand; torch's own errors would pass through. The caller's images are as a copy says.

    An attack that asks for logits alone needs no graph.
    """
    answer, message = BROKEN[kind]
    x = X.clone()
    if cls.black_box and kind in ONLY_FOR_ATTACKS:
        assert run(quick(cls), Function(answer), x).backward_passes == 0
        return
    with pytest.raises(InputError, match=rf"^model: .*{message}"):
        run(quick(cls), Function(answer), x)
    assert torch.equal(x, X)


@pytest.mark.parametrize("kind", BROKEN)
def test_predict_refuses_them_too_but_needs_no_gradient(kind):
    """The same sentences; a model without a graph is read as it is when called by hand."""
    answer, message = BROKEN[kind]
    x = X.clone()
    if kind in ONLY_FOR_ATTACKS:
        with torch.no_grad():
            torch.testing.assert_close(inputs.predict(Function(answer), x), NET(X))
    else:
        with pytest.raises(InputError, match=rf"^model: .*{message}"):
            inputs.predict(Function(answer), x)
    assert torch.equal(x, X)


def test_an_in_place_layer_at_the_start_is_named():
    """torch says "a leaf Variable that requires grad is being used in an in-place operation", which names no layer."""
    with pytest.raises(InputError, match=r"^model: changes its input in place; .*inplace=False"):
        run(attacks.FGSM(), nn.Sequential(nn.ReLU(inplace=True), NET))


def test_an_object_with_logits_is_named():
    """As the models of Hugging Face answer."""

    class Answer:
        logits = None

    with pytest.raises(InputError, match=r"returned a Answer; .*self\.net\(x\)\.logits"):
        inputs.predict(Function(lambda x: Answer()), X)


@pytest.mark.parametrize(
    "ask", [lambda m, x: run(attacks.FGSM(), m, x), inputs.predict], ids=["attack", "predict"]
)
@pytest.mark.parametrize("weights, pixels", [(torch.float32, torch.float64), (torch.float16, torch.float32)])
def test_images_of_another_type_than_the_weights_are_refused_by_name(ask, weights, pixels):
    """Both types are named; one that the model turns into its own is taken, for it works."""
    net = conv(dtype=weights).eval()
    with pytest.raises(
        InputError, match=rf"^x: got {pixels} images, .*weights are {weights}; .*images\.to\({weights}\)"
    ):
        ask(net, X.to(pixels))
    ask(Function(lambda x: net(x.to(weights)).float()), X.to(pixels))


def test_no_images_have_no_logits_even_where_a_model_takes_no_empty_batch():
    """`view(-1, ...)` of nothing is an error in torch; the number of classes is still the model's."""
    model = Function(lambda x: NET(x.view(-1, *x.shape[1:])).view(len(x), -1))
    assert inputs.predict(model, X[:0]).shape == (0, 5)


def warned(function, category=ZeroGradientWarning):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        function()
    return [w for w in seen if issubclass(w.category, category)]


@ATTACKS
def test_a_gradient_of_exactly_zero_is_warned_of_once_a_run(cls):
    """Rounding has the derivative 0 wherever it has one; the same net without it is not warned of, nor with BPDA."""
    rounded = nn.Sequential(Function(lambda x: (3 * x).round() / 3), NET)
    assert len(warned(lambda: run(quick(cls), rounded))) == (not cls.black_box)
    assert not warned(lambda: run(quick(cls), NET))
    shown = nn.Sequential(attacks.BPDA(lambda x: (3 * x).round() / 3), NET)
    assert not warned(lambda: run(quick(cls), shown))


@pytest.mark.parametrize("cls", attacks.REGISTRY.values(), ids=attacks.REGISTRY)
def test_a_gradient_that_is_no_number_is_warned_of_once_a_run(cls):
    """The square root has an infinite slope at 0, and 0 times infinity is NaN: black pixels of a display's gamma, taken back.

    In a photograph black is never exactly 0, so physical attacks do not meet it.
    """
    gamma = nn.Sequential(Function(lambda x: x.abs().sqrt().square()), NET)
    black = torch.where(X < 0.5, 0, X)
    assert len(warned(lambda: run(quick(cls), gamma, black), NonFiniteGradientWarning)) == (not cls.black_box)
    assert not warned(lambda: run(quick(cls), NET, black), NonFiniteGradientWarning)


def test_logits_that_turn_into_no_number_on_the_way_do_not_end_the_program():
    """Checks stAdv, whose flow says where in memory a pixel is read: of three answers with a gradient one is NaN."""
    calls = itertools.count()
    sick = Function(lambda x: NET(x) * (torch.nan if x.requires_grad and next(calls) % 3 == 2 else 1))
    assert run(attacks.StAdv(steps=12), sick).images.isfinite().all()


def test_the_warning_points_at_the_line_of_the_caller_and_names_the_remedy():
    """However deep in the library it was found; Python shows it once for each such line."""
    rounded = nn.Sequential(Function(torch.round), NET)
    (warning,) = warned(lambda: run(attacks.EachTarget(attacks.PGD(steps=1, targeted=True), 1), rounded))
    assert warning.filename == __file__ and "attacks.BPDA" in str(warning.message)


@pytest.mark.parametrize("blind, told", [(1, False), (2, True)])
def test_one_image_in_a_hundred_is_not_enough(blind, told):
    """Of 150 images `blind` get no gradient, their own factor being 0: 0.7 % and 1.3 %, on both sides of the 1 %."""
    factor = torch.ones(150, 1)
    factor[:blind] = 0
    model = linear(3, dtype=torch.float32)
    hidden = Function(lambda x: model(x) * factor + torch.arange(3.0))
    x, y = images(150, (1, 6, 6)), torch.arange(150) % 3
    assert bool(warned(lambda: run(attacks.FGSM(), hidden, x, y))) == told


def test_a_flat_loss_is_no_missing_gradient():
    """The hinge of an image that is misread already is flat, and asks nothing of the model: only the model's own part counts."""
    x = X.clone().requires_grad_()
    logits, watch = NET(x), GradientWatch()
    watch.begin()
    watch.follow(x, logits)
    torch.autograd.grad((logits.sum(1) - 1e6).clamp_min(0).sum(), x)
    assert not warned(watch.report)


def test_a_saturated_softmax_inside_of_the_model_is_warned_of():
    """At these logits float32's softmax is exactly 1 and 0, so its derivative p (1 - p) is exactly 0."""
    model = nn.Sequential(
        linear(5, (1, 8, 8), dtype=torch.float32), Function(lambda z: 1e4 * z), nn.Softmax(1)
    )
    seen = {w.category for w in warned(lambda: run(attacks.PGD(steps=2), model), DoubtfulResultWarning)}
    assert seen == {ProbabilitiesWarning, ZeroGradientWarning}


@pytest.mark.parametrize("name", ["mnist-cnn", "mnist-distilled"])
def test_large_logits_are_no_missing_gradient(name):
    """A distilled net's cross-entropy has no gradient in float32; the attacks climb the log-odds, which has, and are silent."""
    x, y = data.load("mnist-5k").first(32)
    assert not warned(lambda: run(attacks.FGSM(), models.load(name), x, y, 10), DoubtfulResultWarning)


def test_jsma_takes_a_gradient_that_is_one_number_spread_out():
    """Of a sum of pixels each pixel has the same gradient: all pairs are alike, and two pixels up raise the sum by their room."""
    model = Function(lambda x: x.sum((1, 2, 3)).outer(torch.tensor([-1.0, 1.0])))
    x = torch.full((2, 1, 6, 6), 0.25)
    record = attacks.JSMA(gamma=2 / 36).run(model, x, torch.tensor([1, 1]), torch.tensor([0, 0]))
    assert record.images.sum((1, 2, 3)).tolist() == [9.0, 9.0]  # upwards never helps class 0
    up = attacks.JSMA(gamma=2 / 36).run(
        Function(lambda x: model(x) - 100), x, torch.tensor([0, 0]), torch.tensor([1, 1])
    )
    assert up.success_rate == 1.0


@pytest.mark.parametrize("cls", [attacks.DeepFool, attacks.CWL2, attacks.EAD])
def test_under_autocast_as_many_digits_are_fooled_as_without(cls):
    """Unflawed nets all fall in float32. bfloat16 keeps 8 bits, so a step right onto the boundary does not cross it."""
    model, (x, y) = models.load("mnist-small"), data.load("mnist-5k").first(16)
    assert cls().run(model, x, y).success_rate == 1.0
    with torch.autocast("cpu", torch.bfloat16):
        record = cls().run(model, x, y)
        assert record.success_rate >= 15 / 16
        assert (inputs.predict(model, record.images).argmax(1) != y).float().mean() == record.success_rate


@pytest.mark.slow
def test_a_compiled_model_is_attacked_or_refused_with_a_remedy():
    """torch frees what a compiled backward pass needs after one run: one gradient a step works, two from one graph do not."""
    net, (x, y) = models.load("mnist-mlp"), data.load("mnist-5k").first(4)
    compiled = torch.compile(net, backend="aot_eager")
    expected = run(quick(attacks.PGD), net, x, y, 10).images
    torch.testing.assert_close(run(quick(attacks.PGD), compiled, x, y, 10).images, expected)
    for cls in (attacks.DeepFool, attacks.JSMA, attacks.CWL2):
        with pytest.raises(InputError, match=r"^model: its compiled backward pass .*model\._orig_mod"):
            run(quick(cls), compiled, x, y, 10)
        run(quick(cls), compiled._orig_mod, x, y, 10)


@pytest.mark.parametrize(
    "y, message",
    [
        (Y.numpy(), r"^y: got a numpy\.ndarray .*: torch\.as_tensor\(y\)"),
        (Y + 9, r"^y: got label 13; allowed are 0 to 4"),
        (nn.functional.one_hot(Y, 5), r"^y: got .*; for one-hot labels use y\.argmax\(1\)"),
        (Y.unsqueeze(1), r"^y: got .*: y\.squeeze\(1\)"),
    ],
    ids=["numpy", "too large", "one-hot", "column"],
)
@pytest.mark.parametrize(
    "attack",
    [attacks.FGSM(), attacks.EachTarget(attacks.FGSM(targeted=True)), attacks.Transfer(attacks.FGSM(), NET)],
    ids=["FGSM", "EachTarget", "Transfer"],
)
def test_labels_are_checked_before_they_are_used(attack, y, message):
    """By hand: the sentence says what to do."""
    with pytest.raises(InputError, match=message):
        attack.run(NET, X, y)


@pytest.mark.parametrize(
    "x, message",
    [
        ((X - 0.5) / 0.25, r"x: got values in \[-.*\]; .*Put the normalisation into the model"),
        (255 * X, r"x: got values in \[.*; divide pixels of 0 to 255 by 255"),
        (
            X.index_fill(3, torch.tensor([0]), 1.0000001),
            r"x: got values in \[.*, 1\.0000001.*\]; .*x\.clamp\(0, 1\)",
        ),
    ],
    ids=["normalised", "0 to 255", "rounding"],
)
def test_images_out_of_range_get_the_remedy_that_fits(x, message):
    """By hand; the numbers have enough digits to show why they are refused."""
    with pytest.raises(InputError, match=message):
        inputs.check_images(x)
