"""Model averaging, against the mean of probabilities computed directly."""

import pytest
import torch
from nets import Function

from advcourse.core.inputs import InputError
from advcourse.models.average import Average


def constant(logits):
    """A model with the same logits for every image."""
    return Function(
        lambda x: (
            torch.tensor(logits, dtype=x.dtype).expand(len(x), -1) + 0 * x.flatten(1).sum(1, keepdim=True)
        )
    )


def test_it_is_the_mean_of_the_probabilities():
    """Checks its softmax against the arithmetic mean of the members' softmaxes in float64."""
    x = torch.rand(3, 1, 2, 2, dtype=torch.float64)
    members = [[0.0, 1.0, 2.0], [5.0, -1.0, 0.0], [100.0, 101.0, 99.0]]
    mean = torch.tensor(members, dtype=torch.float64).softmax(1).mean(0)
    torch.testing.assert_close(Average([constant(m) for m in members])(x).softmax(1), mean.expand(3, 3))


def test_a_member_with_large_logits_has_one_vote():
    """Checks the decision where two members of three agree and the third is a million times as loud."""
    members = [[2.0, 0.0], [2.0, 0.0], [0.0, 1e6]]
    assert int(Average([constant(m) for m in members])(torch.rand(1, 1, 2, 2)).argmax()) == 0


def test_logits_and_gradients_stay_finite():
    """Checks in float32, where the probabilities of the losing class underflow to 0, that its logit and gradient are finite."""
    x = torch.rand(2, 1, 2, 2, requires_grad=True)
    steep = Function(lambda x: torch.stack([300 * x.flatten(1).sum(1), -300 * x.flatten(1).sum(1)], 1))
    logits = Average([steep, steep])(x)
    (gradient,) = torch.autograd.grad(logits[:, 1].sum(), x)
    assert logits.isfinite().all() and (gradient != 0).all() and gradient.isfinite().all()


def test_no_models_is_refused():
    """Checks that an empty average is refused by an error that names the argument."""
    with pytest.raises(InputError, match="models"):
        Average([])
