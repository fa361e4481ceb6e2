"""Bad input of every kind gets an error that names the argument, what was given and what is allowed."""

from fractions import Fraction

import pytest
import torch
from nets import Function, conv, images
from torch import nn

from advcourse.attacks import BIM, FGSM, ILLC, PGD, RFGSM, TMIFGSM, UMIFGSM
from advcourse.core import inputs
from advcourse.core.inputs import InputError, ProbabilitiesWarning

MODEL = conv().eval()
X = images()
Y = torch.tensor([0, 1, 2, 3, 4, 0])


def changed(x, value):
    x = x.clone()
    x[0, 0, 0, 0] = value
    return x


BAD_INPUT = {
    "above 1": (changed(X, 1.01), Y, None, r"x: got values in \[.*1\.01\]; allowed is \[0, 1\]"),
    "below 0": (changed(X, -0.01), Y, None, r"x: got values in \[-0\.01.*; allowed is \[0, 1\]"),
    "infinite": (changed(X, torch.inf), Y, None, r"x: got values in .*inf\]; allowed is \[0, 1\]"),
    "NaN": (changed(X, torch.nan), Y, None, r"x: got 1 NaN values; allowed are numbers in \[0, 1\]"),
    "one image": (
        X[0],
        Y[:1],
        None,
        r"x: got a tensor of shape \(1, 8, 8\).*for one image use x\.unsqueeze\(0\)",
    ),
    "flat images": (
        X.flatten(1),
        Y,
        None,
        r"x: got a tensor of shape \(6, 64\).*allowed is shape \(N, C, H, W\)",
    ),
    "8-bit images": (
        (X * 255).to(torch.uint8),
        Y,
        None,
        r"x: got .*uint8; allowed are floating-point images",
    ),
    "numpy images": (X.numpy(), Y, None, r"x: got .*ndarray.*; allowed is a torch\.Tensor"),
    "label too large": (
        X,
        Y.clone().fill_(5),
        None,
        r"y: got label 5; allowed are 0 to 4, the model's 5 classes",
    ),
    "negative label": (X, Y - 1, None, r"y: got label -1; allowed are class numbers from 0"),
    "too few labels": (X, Y[:4], None, r"y: got .*\(4,\).*; allowed is shape \(6,\)"),
    "one-hot labels": (X, nn.functional.one_hot(Y), None, r"y: got .*\(6, 5\).*; allowed is shape \(6,\)"),
    "float labels": (X, Y.float(), None, r"y: got .*float32; allowed are int64 class numbers"),
    "list of labels": (
        X,
        Y.tolist(),
        None,
        r"y: got \[0, 1, 2, 3, 4, 0\] \(list\); allowed is a torch\.Tensor",
    ),
    "target is the label": (X, Y, Y, r"target: got the true label 0 for image 0 \(6 images in all\)"),
    "target too large": (X, Y, Y + 5, r"target: got label 9; allowed are 0 to 4"),
    "target too short": (X, Y, Y[:2] + 1, r"target: got .*\(2,\).*; allowed is shape \(6,\)"),
    "target missing": (
        X,
        Y,
        "missing",
        r"target: got None; FGSM\(eps=0\.3, targeted=True\) needs a label for each",
    ),
    "labels elsewhere": (
        X,
        Y.to("meta"),
        None,
        r"y: got labels on meta; allowed is the device of the images, cpu",
    ),
}


@pytest.mark.parametrize("kind", BAD_INPUT)
def test_bad_images_and_labels_are_refused_by_name(kind):
    """The expected sentence is written out by hand for each kind."""
    x, y, target, message = BAD_INPUT[kind]
    attack = FGSM(targeted=target is not None)
    with pytest.raises(InputError, match=message):
        attack(MODEL, x, y, None if isinstance(target, str) else target)


BAD_SETTINGS = {
    "negative eps": (lambda: FGSM(eps=-0.1), r"eps: got -0\.1; allowed is a number >= 0"),
    "eps is text": (lambda: FGSM(eps="8/255"), r"eps: got '8/255'; allowed is a number >= 0"),
    "NaN eps": (lambda: FGSM(eps=float("nan")), r"eps: got nan; allowed is a number >= 0"),
    "no steps": (lambda: BIM(steps=0), r"steps: got 0; allowed is an integer >= 1"),
    "half a step": (lambda: PGD(steps=2.5), r"steps: got 2\.5; allowed is an integer >= 1"),
    "negative alpha": (lambda: BIM(alpha=-1), r"alpha: got -1; allowed is a number >= 0"),
    "random step over the budget": (
        lambda: RFGSM(eps=0.1, alpha=0.2),
        r"alpha: got 0\.2; allowed is .*<= 0\.1",
    ),
    "unknown norm": (lambda: PGD(norm="L1"), r"norm: got 'L1'; allowed are 'Linf', 'L2'"),
    "unknown keep": (lambda: BIM(keep="all"), r"keep: got 'all'; allowed are 'best', 'last', 'first'"),
    "negative decay": (lambda: UMIFGSM(decay=-1), r"decay: got -1; allowed is a number >= 0"),
    "no restarts": (lambda: PGD(restarts=0), r"restarts: got 0; allowed is an integer >= 1"),
    "equal restarts": (
        lambda: PGD(restarts=3, random_start=False),
        r"restarts: got 3 with random_start=False",
    ),
    "fractional seed": (lambda: PGD(seed=0.5), r"seed: got 0\.5; allowed is an integer >= 0"),
}


@pytest.mark.parametrize("kind", BAD_SETTINGS)
def test_bad_settings_are_refused_when_the_attack_is_made(kind):
    """The expected sentence is written out by hand for each kind."""
    make, message = BAD_SETTINGS[kind]
    with pytest.raises(InputError, match=message):
        make()


def test_a_target_for_an_attack_that_takes_none_is_refused():
    """An untargeted attack would ignore it silently, and the least-likely-class attacks choose their own."""
    with pytest.raises(InputError, match=r"target: got labels, but BIM\(.*\) is untargeted"):
        BIM()(MODEL, X, Y, (Y + 1) % 5)
    with pytest.raises(InputError, match=r"target: got labels; ILLC\(.*\) chooses its own target"):
        ILLC()(MODEL, X, Y, (Y + 1) % 5)
    with pytest.raises(InputError, match=r"target: got None; TMIFGSM\(.*\) needs a label for each image"):
        TMIFGSM()(MODEL, X, Y)


BAD_MODELS = {
    "no module": (lambda x: x, r"model: got .*function.*; allowed is a torch\.nn\.Module"),
    "one logit": (Function(lambda x: x.flatten(1)[:, :1]), r"model: returned .*\(6, 1\).*\(6, K\), K >= 2"),
    "feature maps": (
        Function(lambda x: x),
        r"model: returned .*\(6, 1, 8, 8\).*allowed are logits of shape \(6, K\)",
    ),
    "NaN": (
        Function(lambda x: x.flatten(1)[:, :5] * torch.nan),
        r"model: returned logits that are NaN or infinite",
    ),
    "elsewhere": (conv().to("meta"), r"x: got images on cpu; allowed is the device of the model, meta"),
}


@pytest.mark.parametrize("kind", BAD_MODELS)
def test_a_model_that_breaks_its_contract_is_refused(kind):
    """The expected sentence is written out by hand for each kind."""
    model, message = BAD_MODELS[kind]
    with pytest.raises(InputError, match=message):
        PGD(steps=2)(model, X, Y)


def test_a_model_that_gives_probabilities_is_warned_of():
    """A softmax at the end hides gradients; logits that merely happen to be positive raise no warning."""
    with pytest.warns(ProbabilitiesWarning, match="Drop the final softmax"):
        FGSM()(nn.Sequential(MODEL, nn.Softmax(1)), X, Y)
    assert not [w for w in _warnings(nn.Sequential(MODEL, nn.ReLU())) if w.category is ProbabilitiesWarning]


def _warnings(model):
    import warnings

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        FGSM()(model, X, Y)
    return seen


def test_evaluating_restores_each_part_even_after_an_error():
    """A frozen batch norm inside a model in training mode stays frozen: one flag for the whole model would lose that."""
    model = conv().train()
    model[1].eval()
    before = [module.training for module in model.modules()]
    with pytest.raises(RuntimeError), inputs.evaluating(model):
        assert not any(module.training for module in model.modules())
        raise RuntimeError
    assert [module.training for module in model.modules()] == before


def test_predict_in_pieces_equals_one_pass_and_accuracy_counts():
    """Against the model's own forward pass, and against a share counted by hand."""
    with torch.no_grad():
        logits = MODEL(X)
    torch.testing.assert_close(inputs.predict(MODEL, X, batch_size=4), logits)
    right = logits.argmax(1)
    assert inputs.accuracy(MODEL, X, right) == 1.0
    right[:2] = (right[:2] + 1) % 5
    assert inputs.accuracy(MODEL, X, right) == pytest.approx(4 / 6)


def test_devices_are_found_by_name_and_missing_ones_are_refused():
    """`auto` is CUDA exactly where torch sees it."""
    assert inputs.resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert inputs.resolve_device("cpu") == torch.device("cpu")
    for name in ("warp", "cuda:99"):
        with pytest.raises(InputError, match=rf"device: got '{name}'; allowed is 'auto'"):
            inputs.resolve_device(name)


def test_numbers_beyond_a_float_are_refused():
    """Checks a whole number and a fraction that no float holds, where one is expected, against the sentence by hand."""
    for value in (10**400, Fraction(10**400)):
        with pytest.raises(InputError, match="^eps: got .*; allowed is a number >= 0"):
            FGSM(value)
