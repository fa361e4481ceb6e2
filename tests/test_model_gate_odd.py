"""Odd models and images at the gate: what writes where nobody looks, and what torch would say in words of its own.

The tests run over all registered attacks where a model could lead one astray. They check against the same model written
decently, and against sentences by hand.
"""

import warnings

import pytest
import torch
from nets import Function, conv, images
from test_model_gate import ATTACKS, quick, run
from torch import nn

from advcourse import attacks
from advcourse.core import inputs
from advcourse.core.inputs import InputError

NET = conv().eval()
X, Y = images(6), torch.tensor([0, 1, 2, 3, 4, 0])


def changed_by_data(x):
    x.data.clamp_(0.3, 0.6)
    return NET(x)


def changed_by_numpy(x):
    x.detach().numpy()[...] *= 0.5
    return NET(x)


@ATTACKS
@pytest.mark.parametrize("forward", [changed_by_data, changed_by_numpy], ids=lambda f: f.__name__)
def test_what_a_model_writes_into_its_input_reaches_no_attack(cls, forward):
    """Checks against the same model with a copy of its own: the same images, to the bit. Torch does not count such writing."""
    attack = quick(cls)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, expected = (
            run(attack, Function(model)).images for model in (forward, lambda x: forward(x.clone()))
        )
    assert torch.equal(found, expected)


class Reusing(nn.Module):
    """Answers in one buffer, which the next call fills again, as a captured CUDA graph does."""

    def __init__(self):
        super().__init__()
        self.net, self.answers = conv(), {}

    def forward(self, x):
        answer = self.net(x)
        with torch.no_grad():
            return self.answers.setdefault(answer.shape, answer.detach().clone()).copy_(answer)


def test_an_answer_is_kept_though_the_model_uses_its_buffer_again():
    """Checks logits in parts of two images against those of all at once."""
    assert torch.allclose(inputs.predict(Reusing(), X, batch_size=2), inputs.predict(Reusing(), X), atol=1e-5)


class Merging(nn.Module):
    """A layer with a low-rank change that `eval` adds to the weight, and `train` takes off again (LoRA)."""

    def __init__(self):
        super().__init__()
        self.net, self.change, self.merged = conv(), 0.5, False

    def train(self, mode=True):
        super().train(mode)
        if mode == self.merged:
            with torch.no_grad():
                self.net[0].weight.add_(-self.change if mode else self.change)
            self.merged = not mode
        return self

    def forward(self, x):
        return self.net(x)


def test_weights_that_are_merged_for_evaluation_are_taken_apart_again():
    """Checks the weight before and after, in training mode and in evaluation mode."""
    for mode in (True, False):
        model = Merging().train(mode)
        before = model.net[0].weight.clone()
        inputs.predict(model, X)
        assert torch.allclose(model.net[0].weight, before) and model.merged != mode
        assert all(part.training == mode for part in model.modules())


def ungrateful(x):
    torch.set_grad_enabled(False)
    return NET(x)


def quantised():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(
            nn.Sequential(nn.Flatten(), nn.Linear(64, 5)), {nn.Linear}
        )


WITHOUT_GRADIENT = {"switched off": lambda: Function(ungrateful), "quantised": quantised}


@pytest.mark.parametrize("kind", WITHOUT_GRADIENT)
def test_a_model_without_a_gradient_is_told_so(kind):
    """Checks that the sentence names Transfer and BPDA, and that torch's own switch is as it was."""
    with pytest.raises(InputError, match=r"no gradient with respect to the images .*Transfer"):
        attacks.FGSM()(WITHOUT_GRADIENT[kind](), X, Y)
    assert torch.is_grad_enabled()


def test_an_exported_model_is_attacked():
    """Checks the attack's images against those of the net that was exported, which has no modes to set."""
    net = conv().eval()
    exported = torch.export.export(net, (X,)).module()
    assert torch.allclose(attacks.FGSM()(exported, X, Y), attacks.FGSM()(net, X, Y), atol=1e-5)


ODD_IMAGES = {
    "meta": (lambda: X.to("meta"), r"^x: got a meta tensor; allowed is a dense one with values"),
    "sparse": (lambda: X.to_sparse(), r"^x: got a torch.sparse_coo tensor; .*x\.to_dense\(\)"),
    "nested": (lambda: torch.nested.nested_tensor(list(X)), "^x: got a nested tensor"),
    "of one byte": (lambda: X.to(torch.float8_e4m3fn), r"float8_e4m3fn; allowed are .*x\.float\(\)"),
    "without pixels": (lambda: X[:, :, :0], r"shape \(6, 1, 0, 8\).*with pixels in it"),
    "of other channels": (lambda: X.repeat(1, 3, 1, 1), r"^x: got images of shape \(3, 8, 8\), on which"),
    "of another size": (lambda: X[:, :, :7], r"^x: got images of shape \(1, 7, 8\), on which the model"),
}


@pytest.mark.parametrize("kind", ODD_IMAGES)
@pytest.mark.parametrize("ask", [lambda x: attacks.FGSM()(NET, x, Y), lambda x: inputs.predict(NET, x)])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_images_of_an_odd_kind_get_a_sentence(ask, kind):
    """Checks sentences by hand, where torch would name an operator of its own."""
    make, message = ODD_IMAGES[kind]
    with pytest.raises(InputError, match=message):
        ask(make())


def test_buffers_without_values_are_named():
    """Checks a model on the processor of which one buffer is on meta."""
    model = nn.Sequential(NET, nn.BatchNorm1d(5, affine=False, device="meta")).eval()
    with pytest.raises(InputError, match="^model: has weights or buffers on the meta device"):
        inputs.predict(model, X)


@pytest.mark.parametrize("dtype", [torch.uint16, torch.uint32, torch.uint64, torch.int16], ids=str)
def test_labels_of_every_whole_type_are_labels(dtype):
    """Checks the images against those for labels of int64, and targets likewise."""
    pgd = attacks.PGD(steps=2, targeted=True)
    expected = pgd(NET, X, Y, (Y + 1) % 5)
    assert torch.equal(pgd(NET, X, Y.to(dtype), ((Y + 1) % 5).to(dtype)), expected)


def test_labels_that_are_not_dense_get_a_sentence():
    """Checks sparse and quantised labels against sentences by hand."""
    with pytest.raises(InputError, match=r"^y: got a torch.sparse_coo tensor; .*y\.to_dense\(\)"):
        attacks.FGSM()(NET, X, Y.to_sparse())
    with pytest.raises(InputError, match=r"^y: .*quint8; allowed are int64 class numbers"):
        attacks.FGSM()(NET, X, torch.quantize_per_tensor(Y.float(), 1, 0, torch.quint8))
