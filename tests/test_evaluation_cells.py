"""One cell: what is measured equals the attack's own record and the metrics; what determines it is in its identity."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from nets import Function, conv

from advcourse import attacks, metrics, models
from advcourse.core.identity import identity
from advcourse.core.inputs import InputError, predict
from advcourse.data.transformations import JPEG, GaussianNoise
from advcourse.evaluation import Cell, Conditions, DataSource, ModelSource, measure
from advcourse.evaluation import cells as module

MLP = ModelSource("mnist-mlp")
DIGITS = DataSource(images=40)
QUICK = Conditions(transformations=(GaussianNoise(0.2),))


def cell(attack, model=MLP, source=DIGITS, conditions=QUICK):
    return Cell("name", attack, model, source, conditions)


def known():
    """The digits of DIGITS that the model reads correctly, their labels, their places, and the model."""
    model = models.load("mnist-mlp")
    x, y = DIGITS.load()
    right = predict(model, x).argmax(1) == y
    return x[right], y[right], right.nonzero().squeeze(1), model


def test_the_values_are_those_of_the_attack():
    """The same attack run by hand, and the metrics of what it returned."""
    x, y, places, model = known()
    record, run = measure(cell(attacks.CWL2())), attacks.CWL2().run(model, x, y)
    assert record.picked == 40 and record.values["index"].tolist() == places.tolist()
    np.testing.assert_array_equal(record.success, run.success.numpy())
    np.testing.assert_allclose(record.size, run.distances["L2"].numpy(), rtol=1e-5)
    np.testing.assert_allclose(record.values["SSIM"], metrics.ssim(x, run.images).numpy(), rtol=1e-5)
    confidence = metrics.wrong_confidence(run.logits, y)
    assert record.values["wrong confidence"].mean() == pytest.approx(confidence, rel=1e-4)
    assert record.clean_accuracy == len(x) / 40
    assert record.efficiency.forward_passes == run.forward_passes / len(x)
    np.testing.assert_allclose(record.pictures["attacked"], run.images[:6].numpy(), atol=1e-5)


def test_transformations_are_applied_to_what_was_attacked():
    """The transformation called by hand, on the attacked and on all the picked images."""
    x, y, _, model = known()
    noise, attack = GaussianNoise(0.6), attacks.FGSM(eps=0.1)
    record = measure(cell(attack, conditions=replace(QUICK, transformations=(noise,))))
    after = predict(model, noise(attack(model, x, y))).argmax(1) != y
    np.testing.assert_array_equal(record.values["success Gaussian noise 0.6"], after.numpy())
    assert 0 < after.double().mean() < 1
    picked, labels = DIGITS.load()
    clean = (predict(model, noise(picked)).argmax(1) == labels).double().mean().item()
    assert record.clean == {"Gaussian noise 0.6": clean} and 0 < clean < 1


def test_targets_are_the_given_ones():
    """`choose_target` by hand; the least likely class is the attack's own choice."""
    x, y, _, model = known()
    record = measure(cell(attacks.JSMA(gamma=0.05), conditions=replace(QUICK, target="next")))
    assert record.values["target"].tolist() == attacks.choose_target(model, x, y, "next").tolist()
    own = measure(cell(attacks.LLC())).values["target"]
    assert own.tolist() == predict(model, x).argmin(1).tolist()
    assert set(measure(cell(attacks.FGSM())).values["target"]) == {-1}


@pytest.mark.parametrize("attack", [attacks.PGD(steps=3), attacks.UAP(passes=1)], ids=["PGD", "UAP"])
def test_batches_change_nothing(attack):
    """The same cell in one batch: noise goes by an image's place, and a universal change is made of all images at once.

    In float64: a batch of another size rounds differently, and in float32 the sign of a small gradient may turn.
    """
    x, y = DIGITS.load()
    given = {
        "model": ModelSource("double", module=models.load("mnist-mlp").double()),
        "source": DataSource("double", given=(x.double(), y)),
    }
    whole, parts = (measure(cell(attack, **given, conditions=replace(QUICK, batch=n))) for n in (48, 16))
    np.testing.assert_allclose(whole.values["L2"], parts.values["L2"], rtol=1e-9)
    np.testing.assert_array_equal(whole.success, parts.success)
    noisy = "success Gaussian noise 0.2"
    np.testing.assert_array_equal(whole.values[noisy], parts.values[noisy])


def test_a_model_that_reads_nothing_has_an_empty_record():
    """No image is attacked: no value, and no rate. With every attack."""
    x, y, _, model = known()
    wrong = DataSource("wrong", given=(x, (y + 1) % 10))
    for attack in attacks.REGISTRY.values():
        record = measure(cell(attack(), source=wrong))
        assert len(record) == 0 and record.picked == len(x) and np.isnan(record.success_rate)
        assert record.clean_accuracy == 0


def test_the_model_and_the_threads_are_as_before():
    """Copies of the weights, the mode that the model came in, and torch's own count of threads."""
    model, before = models.load("mnist-mlp").train(), torch.get_num_threads()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.set_num_threads(2)
    measure(cell(attacks.FGSM(), ModelSource("mine", module=model)))
    assert torch.get_num_threads() == 2 and model.training
    torch.set_num_threads(before)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())


class Noisy(torch.nn.Module):
    """A model that draws random numbers in each pass."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model((x + 0.3 * torch.randn_like(x)).clamp(0, 1))


def test_a_random_model_is_measured_the_same_each_time():
    """Twice the same cell, with other random numbers drawn in between, which go on as if nothing had been."""
    one = cell(attacks.PGD(eps=0.1, steps=3), ModelSource("noisy", module=Noisy(models.load("mnist-mlp"))))
    first = measure(one)
    torch.manual_seed(7)
    torch.rand(5)
    second, after = measure(one), torch.rand(3)
    for name, values in first.values.items():
        np.testing.assert_array_equal(values, second.values[name], err_msg=name)
    assert first.clean == second.clean
    torch.manual_seed(7)
    torch.rand(5)
    assert torch.equal(after, torch.rand(3))


# Identity


class Voting(torch.nn.Module):
    """A part with a plain setting that is neither weight nor structure."""

    def __init__(self, model, votes):
        super().__init__()
        self.model, self.votes = model, votes

    def forward(self, x):
        return self.model(x) * self.votes


def times(k):
    """A function that differs from its like in what it closes over alone."""
    return lambda x: k * x


def voting():
    """A model with `votes` 3: what `build` names by its path."""
    return Voting(models.load("mnist-mlp"), 3)


def prints(**changes):
    return module.key(module.determinants(replace(cell(attacks.FGSM()), **changes)))


CHANGES = {
    "attack": {"attack": attacks.FGSM(eps=0.2)},
    "other attack": {"attack": attacks.BIM()},
    "model": {"model": ModelSource("mnist-cnn")},
    "number of images": {"data": DataSource(images=39)},
    "draw of the images": {"data": DataSource(images=40, seed=1)},
    "target": {"conditions": replace(QUICK, target="next")},
    "seed": {"conditions": replace(QUICK, seed=1)},
    "threads": {"conditions": replace(QUICK, threads=2)},
    "batch": {"conditions": replace(QUICK, batch=16)},
    "transformation": {"conditions": replace(QUICK, transformations=(JPEG(),))},
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_determines_the_result_changes_the_key(change):
    """A result of other settings must not be found again."""
    assert prints(**CHANGES[change]) != prints()


class Hidden(torch.nn.Module):
    """A net whose logits are divided by a number that only a private attribute holds."""

    def __init__(self, net, k):
        super().__init__()
        self.net, self._k = net, k

    def forward(self, x):
        return self.net(x) + torch.nn.functional.one_hot(torch.zeros(len(x), dtype=torch.long), 10) / self._k


def test_what_is_hidden_in_a_model_or_a_source_changes_the_key():
    """Checks models, and sources of a transfer, that differ in a private number; their answers do."""
    one, other = (Hidden(models.load("mnist-mlp"), k) for k in (1.0, 0.1))
    x, _ = DIGITS.load()
    assert not torch.equal(predict(one, x), predict(other, x))
    made = [{"model": ModelSource("mine", module=net)} for net in (one, other)]
    made += [{"attack": attacks.Transfer(attacks.FGSM(), net)} for net in (one, other)]
    made += [{"conditions": replace(QUICK, transformations=(times(k),))} for k in (2, 3)]
    assert len({prints(**changes) for changes in made}) == 6
    assert prints(attack=attacks.FGSM(np.float64(0.3))) == prints(attack=attacks.FGSM(0.3))


def test_a_model_in_half_precision_can_be_measured():
    """Checks a bfloat16 net's record against its own answers."""
    net = models.load("mnist-mlp").bfloat16()
    x, y = DIGITS.load()
    data = DataSource("half", given=(x.bfloat16(), y))
    record = measure(
        cell(attacks.FGSM(0.2), ModelSource("half", module=net), data, Conditions(transformations=()))
    )
    right = predict(net, x.bfloat16()).argmax(1) == y
    assert record.clean_accuracy == right.double().mean().item() and 0 < record.success_rate <= 1


def test_names_do_not_change_the_key():
    """The same measurement under another name is the same."""
    assert prints(name="other", variant="eps 1") == prints()
    assert prints(model=ModelSource("mine", module=models.load("mnist-mlp"))) == prints()


def test_the_fingerprint_sees_weights_structure_settings_and_code():
    """Each pair of models differs in one of these alone."""
    a = conv(seed=0)
    twin, other = conv(seed=0), conv(seed=1)
    assert identity(a) == identity(twin) != identity(other)
    twin.train()
    assert identity(a) == identity(twin), "the mode is put back anyway"
    twin[3].p = 0.25
    assert identity(a) != identity(twin)
    assert identity(Voting(a, 3)) != identity(Voting(a, 5))
    closed = [Function(times(k)) for k in (2, 3)]
    assert identity(closed[0]) != identity(closed[1])
    assert identity(closed[0]) != identity(Function(lambda x: x))
    hooked = conv(seed=0)
    hooked.register_forward_hook(lambda *_: None)
    assert identity(hooked) != identity(a)
    hooked.centres = torch.zeros(3)  # a tensor that is no buffer
    before = identity(hooked)
    hooked.centres = torch.ones(3)
    assert identity(hooked) != before
    with torch.no_grad():
        a[0].bias += 1e-6
    assert identity(a) != identity(conv(seed=0))


def test_the_identity_is_plain():
    """JSON takes it and gives it back."""
    told = module.determinants(cell(attacks.FGSM()))
    assert json.loads(json.dumps(told)) == told
    assert told["attack"] == "FGSM(eps=0.3, targeted=False)" and told["torch"] == torch.__version__


@pytest.mark.parametrize(
    ("part", "what"), [("code", "advcourse"), ("torch", "torch"), ("model", "model"), ("data", "data")]
)
def test_other_code_or_weights_than_were_handed_out_are_refused(part, what):
    """As on a worker with another version: each part of the identity is changed in turn."""
    one = cell(attacks.FGSM())
    with pytest.raises(InputError, match=f"^{what}.*: differs from that of the process"):
        measure(one, module.determinants(one) | {part: "0"})


@pytest.mark.parametrize("part", ["attack", "transformations"])
def test_another_attack_than_was_handed_out_is_refused(part):
    """As on a worker that has another version of a file with code of the user's own."""
    one = cell(attacks.FGSM())
    wanted = module.determinants(one)
    wanted["keys"][part] = "0"
    with pytest.raises(InputError, match=f"^{part}: differs from that of the process"):
        measure(one, wanted)


def test_another_device_is_refused():
    """ "auto" may mean a processor here and a graphics card there."""
    one = cell(attacks.FGSM())
    wanted = module.determinants(one)
    wanted["conditions"]["device"] = "a card"
    with pytest.raises(InputError, match="^device: differs from that of the process"):
        measure(one, wanted)


# Sources


def test_a_model_can_be_built_imported_or_handed_over():
    """The same weights on each way give the same fingerprint."""
    for source in (
        ModelSource("voting", build=voting),
        ModelSource("voting", build=f"{__name__}:voting"),
        ModelSource("voting", module=voting()),
    ):
        assert identity(source.load()) == identity(voting())


BAD = {
    "no such name": (lambda: ModelSource("mnist-9000").load(), r"mnist-9000"),
    "no such module": (
        lambda: ModelSource("x", build="no.such:f").load(),
        r"build: got 'no.such:f'; allowed is",
    ),
    "no such function": (
        lambda: ModelSource("x", build=f"{__name__}:nothing").load(),
        r"build: got .*nothing",
    ),
    "no model": (
        lambda: ModelSource("x", build=int).load(),
        r"build: .* returned int; allowed is a torch.nn.Module",
    ),
    "no images": (lambda: DataSource("x", given=([1], [1])).load(), r"given: got"),
    "batch": (lambda: Conditions(batch=20), r"batch: got 20; allowed are multiples of 16"),
    "threads": (lambda: Conditions(threads=0), r"threads: got 0"),
    "target": (lambda: Conditions(target="easy"), r"target: got 'easy'"),
    "device": (
        lambda: measure(cell(attacks.FGSM(), conditions=Conditions(device="abacus"))),
        r"device: got 'abacus'",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_told(kind):
    """The sentences, written out by hand."""
    call, message = BAD[kind]
    with pytest.raises(InputError, match=message):
        call()


MANY = """
import resource, torch
from advcourse import attacks
from advcourse.evaluation import Cell, DataSource, ModelSource, measure
x = torch.rand(10_000, 3, 32, 32, generator=torch.Generator().manual_seed(0))
noise = DataSource("noise", given=(x, torch.full((10_000,), LABEL)))
record = measure(Cell("FGSM", attacks.FGSM(eps=8 / 255), ModelSource("signs-cnn"), noise))
print(record.picked, len(record), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts in other units, or not at all")
def test_ten_thousand_colour_images_fit_into_two_gibibytes():
    """The system's own record of the process's peak, all that it imports and the images themselves included."""
    label = (
        models.load("signs-cnn")(torch.rand(50, 3, 32, 32)).argmax(1).mode().values.item()
    )  # what noise is read as
    code = MANY.replace("LABEL", str(label))
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    picked, attacked, peak = map(int, printed.split())
    assert picked == 10_000 and attacked > 5_000 and peak <= 2 * 2**20


@pytest.mark.gpu
def test_a_gpu_measures_the_same():
    """The processor's own record, within what float32 in another order makes."""
    here, there = (
        measure(cell(attacks.PGD(steps=5), conditions=replace(QUICK, device=d))) for d in ("cpu", "cuda")
    )
    assert abs(here.success_rate - there.success_rate) <= 0.05
    np.testing.assert_allclose(here.values["Linf"], there.values["Linf"], atol=1e-4)
