"""Every attack on a GPU, real or pretended, beside the CPU."""

import pytest
import torch
from drawn_attacks import ATTACKS, batch, quick
from nets import conv

# Few steps: some are short for their budget.
pytestmark = pytest.mark.filterwarnings("ignore::advcourse.core.errors.BudgetWarning")


@pytest.mark.gpu
@pytest.mark.parametrize(
    "dtype, layout", [(torch.float16, torch.channels_last), (torch.bfloat16, torch.contiguous_format)]
)
@ATTACKS
def test_a_gpu_attacks_models_in_half_precision(cls, dtype, layout):
    """As many images are fooled, to a few, as in float32 on the CPU, whatever the layout of the model."""
    attack = quick(cls, eps=0.5, alpha=0.2)
    shape = (3, 8, 8)
    x, y, target = batch(attack, 40, shape)
    expected = attack.run(conv(shape), x, y, target).success_rate
    model = conv(shape).to("cuda", dtype, memory_format=layout)
    goal = None if target is None else target.cuda()
    record = attack.run(model, x.to("cuda", dtype), y.cuda(), goal)
    assert record.images.dtype == dtype and record.images.min() >= 0 and record.images.max() <= 1
    assert abs(record.success_rate - expected) <= 0.2


@pytest.mark.gpu
@ATTACKS
def test_a_gpu_gives_the_cpus_images(cls):
    """The same attack in float64 on both devices."""
    attack = quick(cls, eps=0.1, alpha=0.03)
    x, y, target = batch(attack, 40, dtype=torch.float64)
    model = conv(dtype=torch.float64)
    expected = attack(model, x, y, target)
    on_gpu = attack(model.cuda(), x.cuda(), y.cuda(), None if target is None else target.cuda())
    torch.testing.assert_close(on_gpu.cpu(), expected, rtol=0, atol=1e-6)
