"""What every attack keeps, whatever its algorithm.

The tests run over `drawn_attacks.EVERY`: the attacks of `attacks.REGISTRY`, and the physical ones of the cases. Their
settings are drawn at random from what the fields allow. The truth they check against is the contract itself: the threat
model's box and budget, the caller's own copies of everything handed in, and the same attack run another way.
"""

import dataclasses
import pickle
import random

import numpy as np
import pytest
import torch
from drawn_attacks import ATTACKS, CLASSES, EVERY, attacks_of, batch, quick
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import Function, Scaled, conv, linear
from torch import nn

import advcourse.attacks.base
from advcourse import attacks, metrics, models
from advcourse import data as digits

# Settings are drawn at random, short steps among them.
pytestmark = pytest.mark.filterwarnings("ignore::advcourse.core.errors.BudgetWarning")
OF_SINGLE_IMAGES = {name: cls for name, cls in EVERY.items() if not cls.universal}


@ATTACKS
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_images_stay_in_the_box_and_in_the_budget(cls, data):
    """[0, 1] exactly; L-infinity up to one ulp of a pixel; L2 up to float32's rounding of a sum; what fails as it was."""
    attack = data.draw(attacks_of(cls))
    shape = data.draw(st.sampled_from([(1, 8, 8), (3, 6, 7)]))
    dtype = data.draw(st.sampled_from([torch.float32, torch.float64]))
    x, y, target = batch(attack, data.draw(st.integers(1, 9)), shape, dtype=dtype)
    if data.draw(st.booleans()):
        x = x.round()  # pixels at the ends of the range, as most of a digit's are
    x_adv = attack(conv(shape, CLASSES, dtype=dtype), x, y, target)
    assert x_adv.shape == x.shape and x_adv.dtype == x.dtype and not x_adv.requires_grad
    assert x_adv.min() >= 0 and x_adv.max() <= 1
    if attack.kind == "minimum-norm":
        missed = ~attack.run(conv(shape, CLASSES, dtype=dtype), x, y, target).success
        assert torch.equal(x_adv[missed], x[missed])
    elif attack.norm == "L0":
        assert metrics.l0(x, x_adv, per="channel").max() <= attack.gamma * x[0].numel()
    elif attack.norm == "Linf":
        assert (x_adv - x).abs().max() <= attack.eps + torch.finfo(dtype).eps
    else:
        assert metrics.l2(x, x_adv).max() <= attack.eps * (1 + 1e-6) + 1e-6


@ATTACKS
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_the_record_is_true(cls, data):
    """Each entry against a fresh forward pass, numpy's norms, or the images that a plain call returns."""
    attack = data.draw(attacks_of(cls))
    model = conv()
    x, y, target = batch(attack, data.draw(st.integers(1, 9)))
    record = attack.run(model, x, y, target)
    assert record.attack is attack
    assert torch.equal(record.images, attack(model, x, y, target))
    assert torch.equal(record.clean, x) and torch.equal(record.labels, y)
    with torch.no_grad():
        logits = model.eval()(attack.as_read(record.images))
    torch.testing.assert_close(record.logits, logits)
    wanted = logits.argmax(1) == record.target if attack.targeted else logits.argmax(1) != y
    assert torch.equal(record.success, wanted)
    assert record.success_rate == pytest.approx(wanted.double().mean().item())
    delta = (record.images.double() - x.double()).flatten(1).numpy()
    for name, order in (("L0", 0), ("L1", 1), ("L2", 2), ("Linf", np.inf)):
        np.testing.assert_allclose(
            record.distances[name], np.linalg.norm(delta, ord=order, axis=1), rtol=1e-9, atol=1e-12
        )
    assert record.steps.shape == (len(x),) and record.seconds > 0
    assert record.backward_passes >= record.steps.sum()
    if attack.targeted:
        assert (record.target != y).all()


def test_passes_are_counted_as_the_model_sees_them():
    """Against counters inside the model: a forward hook, and a hook on the gradient that comes back to its output."""
    for cls in EVERY.values():
        seen = {"forward": 0, "backward": 0}

        def count(module, inputs, output, seen=seen):
            seen["forward"] += len(output)
            if output.requires_grad:
                output.register_hook(lambda grad: seen.__setitem__("backward", seen["backward"] + len(grad)))

        model = conv()
        attack = quick(cls)
        x, y, target = batch(attack, 7)
        model.register_forward_hook(count)
        record = attack.run(model, x, y, target)
        assert seen["forward"] == record.forward_passes + len(x)  # the last check is not the attack's
        assert seen["backward"] == record.backward_passes


@ATTACKS
def test_nothing_is_left_behind(cls):
    """Modes, parameters, gradients, buffers, tensors and all global random states are as copies taken before say."""
    model = conv().train()
    model[1].eval()  # a frozen batch norm in a model that trains
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    model[5].bias.requires_grad_(False)
    attack = quick(cls, restarts=2)
    x, y, target = batch(attack, 6)
    x.requires_grad_()

    def state():
        torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()
        tensors = [x, y, *model.state_dict().values(), *(p.grad for p in model.parameters()), torch_state]
        flags = [m.training for m in model.modules()] + [p.requires_grad for p in model.parameters()]
        return (
            [t.detach().clone() for t in tensors if t is not None],
            flags,
            pickle.dumps((numpy_state, random.getstate())),
        )

    before = state()
    record = attack.run(model, x, y, target)
    after = state()
    assert all(torch.equal(a, b) for a, b in zip(before[0], after[0], strict=True))
    assert before[1:] == after[1:]
    assert x.grad is None and x.requires_grad and not record.images.requires_grad
    assert record.images.data_ptr() != x.data_ptr()


@ATTACKS
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_the_same_seed_gives_the_same_images_in_any_chunks(cls, data):
    """One pass over 37 images against chunks of any size, with other global random states."""
    attack = data.draw(attacks_of(cls))
    model = conv(dtype=torch.float64)
    x, y, target = batch(attack, 37, dtype=torch.float64)
    whole = attack(model, x, y, target)
    torch.manual_seed(data.draw(st.integers(0, 99)))
    size = data.draw(st.integers(1, 37))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(advcourse.attacks.base, "_chunk_size", lambda x, whole=False: len(x) if whole else size)
        chunked = attack(model, x, y, target)
    torch.testing.assert_close(chunked, whole, rtol=0, atol=1e-9)


@ATTACKS
def test_another_seed_gives_other_images_where_there_is_a_seed(cls):
    """A seed that changes nothing would not be one; an attack without a seed is deterministic by the test above."""
    if "seed" not in {field.name for field in dataclasses.fields(cls)}:
        assert cls.seed == 0
        return
    attack = quick(cls, keep="last", steps=1)
    x, y, target = batch(attack, 60)
    other = dataclasses.replace(attack, seed=1)
    assert not torch.equal(attack(conv(), x, y, target), other(conv(), x, y, target))


@ATTACKS
def test_a_model_that_draws_random_numbers_follows_the_seed(cls):
    """Dropout that stays on at inference: the same images twice, from different global states, which stay as they were."""
    model = Function(lambda x: nn.functional.dropout(x.flatten(1), 0.3)[:, :CLASSES] * 3 - 1)
    attack = quick(cls)
    x, y, target = batch(attack, 6)
    torch.manual_seed(1)
    first = attack(model, x, y, target)
    state = torch.manual_seed(2).get_state()
    assert torch.equal(first, attack(model, x, y, target))
    assert torch.equal(state, torch.get_rng_state())


@ATTACKS
def test_an_empty_batch_gives_an_empty_batch(cls):
    """No images in, none out, and no rate of anything."""
    attack = quick(cls)
    x, y, target = batch(attack, 0)
    record = attack.run(conv(), x, y, target)
    assert record.images.shape == (0, 1, 8, 8) and record.success.shape == (0,) and record.steps.shape == (0,)
    assert np.isnan(record.success_rate) and record.forward_passes == record.backward_passes == 0


@ATTACKS
@pytest.mark.parametrize("misread", [False, True])
def test_a_model_is_never_asked_about_no_images(cls, misread):
    """Many models refuse an empty batch: none is asked for where all images are fooled, early or from the start."""
    net, seen = linear(CLASSES, (1, 8, 8), dtype=torch.float32), []

    def answer(z):
        seen.append(len(z))
        return net(z)

    attack = quick(cls, eps=0.5, alpha=0.5, targets=3, restarts=2, queries=600)
    x, y, target = batch(attack, 5)
    with torch.no_grad():
        order = net(x).argsort(1, descending=True)
    attack(Function(answer), x, order[:, 1 if misread else 0], None if target is None else order[:, 2])
    assert seen and min(seen) > 0


def in_parts(attack, model, x, y, target, size):
    """What the attack gives in batches of `size`, put together again: images, sizes of the change, success, steps."""
    parts = [slice(first, first + size) for first in range(0, len(x), size)]
    targets = [None if target is None else target[part] for part in parts]
    runs = [attack.run(model, x[p], y[p], t, first=p.start) for p, t in zip(parts, targets)]
    return [torch.cat([getattr(r, name) for r in runs]) for name in ("images", "size", "success", "steps")]


@pytest.mark.parametrize("cls", OF_SINGLE_IMAGES.values(), ids=OF_SINGLE_IMAGES)
def test_each_image_is_attacked_on_its_own(cls):
    """Each image alone becomes what it becomes among others, in float64: no mean, norm or abort over the batch couples them."""
    attack, model = quick(cls, steps=20), conv(dtype=torch.float64)
    x, y, target = batch(attack, 6, dtype=torch.float64)
    together, alone = (in_parts(attack, model, x, y, target, size) for size in (6, 1))
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-9)


@pytest.mark.parametrize("cls", OF_SINGLE_IMAGES.values(), ids=OF_SINGLE_IMAGES)
def test_in_float32_company_changes_neither_rate_nor_mean_size(cls):
    """Twelve digits together and in fives, on a trained net: as many succeed but for one, and the mean size to a tenth."""
    names = {field.name for field in dataclasses.fields(cls)}
    attack = cls(targets=2) if "targets" in names else cls()  # of nine targets, each has a say of its own
    model, (x, y) = models.load("mnist-small"), digits.load("mnist-5k").pick(12, seed=3)
    target = (y + 1) % 10 if attack.targeted and not attack.chooses_target else None
    (_, size, success, _), (_, other, also, _) = (
        in_parts(attack, model, x, y, target, size) for size in (12, 5)
    )
    both = success & also
    assert both.any() and (success != also).sum() <= 1
    assert other[both].mean().item() == pytest.approx(size[both].mean().item(), rel=0.1)


@ATTACKS
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_its_repr_repeats_it_and_it_cannot_be_changed(cls, data):
    """Python's own `eval` of the text gives an equal attack."""
    attack = data.draw(attacks_of(cls))
    assert eval(repr(attack), vars(attacks) | EVERY) == attack
    field = dataclasses.fields(attack)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(attack, field, 1)


@ATTACKS
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_works_where_gradients_are_off(cls, mode):
    """The same images as with gradients on: attacks turn on what they need."""
    attack = quick(cls)
    x, y, target = batch(attack, 6)
    expected = attack(conv(), x, y, target)
    model = conv()
    with mode():
        assert torch.equal(
            attack(model, x.clone(), y.clone(), None if target is None else target.clone()), expected
        )


@ATTACKS
def test_scaled_logits_hide_nothing(cls):
    """The decisions are the same, so an attack must do as well; cross-entropy's gradient is exactly 0 at these logits."""
    attack = quick(cls, eps=0.5, alpha=0.1)
    model = linear(CLASSES, (1, 8, 8), dtype=torch.float32)
    x, y, target = batch(attack, 64)
    y, runner_up = (
        model(x).topk(2).indices.unbind(1)
    )  # a target that an attack of few pixels can reach as well
    target = None if target is None else runner_up
    x.requires_grad_()
    assert not torch.autograd.grad(nn.functional.cross_entropy(Scaled(model, 1e5)(x), y), x)[0].any()
    plain, scaled = (attack.run(m, x, y, target).success_rate for m in (model, Scaled(model, 1e5)))
    assert plain > 0.05
    # Not equal: at this scale only the nearest other class has a say in the direction, where all had one before.
    assert scaled >= 0.8 * plain


@ATTACKS
def test_a_model_without_gradients_gives_no_nan(cls):
    """Constant logits: there is no direction to go, and the images come back in the box."""
    model = Function(lambda x: x.flatten(1)[:, :CLASSES] * 0 + torch.arange(CLASSES))
    attack = quick(cls)
    x, y, target = batch(attack, 6)
    x_adv = attack(model, x, y, target)
    assert torch.isfinite(x_adv).all() and x_adv.min() >= 0 and x_adv.max() <= 1


@ATTACKS
def test_a_model_in_half_precision_is_attacked_in_its_own_type(cls):
    """bfloat16, which a CPU has too: the images come back in it, in the box, and the record is what the model says of them."""
    attack = quick(cls, eps=0.5, alpha=0.2)
    model = conv(dtype=torch.bfloat16)
    x, y, target = batch(attack, 20, dtype=torch.bfloat16)
    record = attack.run(model, x, y, target)
    assert record.images.dtype == torch.bfloat16 and record.images.min() >= 0 and record.images.max() <= 1
    with torch.no_grad():
        assert torch.equal(record.logits, model.eval()(attack.as_read(record.images)))
    exact = attack.run(conv(), x.float(), y, target)
    assert abs(record.success_rate - exact.success_rate) <= 0.25


@ATTACKS
def test_the_layout_in_memory_changes_nothing(cls):
    """A `channels_last` model and the plain one: the same weights, so the same images, in float64."""
    attack = quick(cls)
    shape = (3, 8, 8)
    x, y, target = batch(attack, 6, shape, dtype=torch.float64)
    expected = attack(conv(shape, dtype=torch.float64), x, y, target)
    model = conv(shape, dtype=torch.float64).to(memory_format=torch.channels_last)
    images = attack(model, x, y, target)
    torch.testing.assert_close(images, expected, rtol=0, atol=1e-9)
    assert images.is_contiguous()


@pytest.mark.parametrize("attack", [attacks.FGSM(), attacks.PGD(steps=2)], ids=["FGSM", "PGD"])
def test_a_record_of_a_random_model_repeats(attack):
    """The whole record, the last check of success included, follows from the attack's seed; the global state stays."""
    model, (x, y) = linear(CLASSES, dtype=torch.float32), (torch.rand(6, 1, 6, 6), torch.arange(6) % CLASSES)
    noisy = Function(lambda images: model(images) + torch.randn(len(images), CLASSES))
    torch.manual_seed(3)
    first, after = attack.run(noisy, x, y), torch.rand(2)
    second = attack.run(noisy, x, y)
    assert torch.equal(first.images, second.images) and torch.equal(first.logits, second.logits)
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(2))
