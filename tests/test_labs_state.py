"""What a notebook or an answer leaves switched in torch: gradients, the default type and device, inference mode."""

from contextlib import contextmanager

import pytest
import torch

from advcourse.labs.lab1 import check, measure
from advcourse.labs.lab1 import fgsm as fgsm_answers

fgsm = fgsm_answers.fgsm.solution


@contextmanager
def gradients_off():
    torch.set_grad_enabled(False)
    yield
    torch.set_grad_enabled(True)


@contextmanager
def default_type():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@contextmanager
def default_device():
    torch.set_default_device("meta")
    yield
    torch.set_default_device(None)


STATES = [gradients_off, default_type, default_device, torch.inference_mode, lambda: torch.device("meta")]


def state():
    default = torch.tensor([0.5])
    return torch.is_grad_enabled(), torch.is_inference_mode_enabled(), default.dtype, default.device.type


@pytest.mark.parametrize("left_behind", STATES)
def test_what_a_cell_left_switched_changes_no_verdict(left_behind):
    """Checks verdicts and a measurement against those of a fresh process, what an answer finds against torch's own defaults,
    and the notebook's state against itself: gradients off, another default type or device, inference mode."""
    found = []

    def looking(model, x, y, eps):
        found.append(state())
        return fgsm(model, x, y, eps)

    answers = looking, fgsm_answers.sign_flipped
    expected = [repr(check(answer, "fgsm", 3)) for answer in answers], repr(measure(fgsm, n=20, eps=0.3))
    with left_behind():
        before = state()
        told = [repr(check(answer, "fgsm", 3)) for answer in answers], repr(measure(fgsm, n=20, eps=0.3))
        assert state() == before != (True, False, torch.float32, "cpu")
    assert told == expected and "fgsm: right" in told[0][0]
    assert set(found) == {(True, False, torch.float32, "cpu")}
    assert state() == (True, False, torch.float32, "cpu")


@pytest.mark.parametrize("changes", [torch.set_default_dtype, torch.set_default_device])
def test_an_answer_that_changes_the_defaults_is_told(changes):
    """Checks the key and the sentence, and that new tensors are of torch's own default type and device afterwards."""
    default = {torch.set_default_dtype: torch.float64, torch.set_default_device: "meta"}[changes]

    def changing(model, x, y, eps):
        images = fgsm(model, x, y, eps)
        changes(default)
        return images

    verdict = check(changing, "fgsm")
    assert verdict.key == "defaults" and changes.__name__ in verdict.message
    assert state() == (True, False, torch.float32, "cpu")
