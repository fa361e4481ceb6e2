"""Attacks on a net that hears: the spectrogram, rooms and decibels against SciPy and by hand, the attacks by closed forms."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage, signal
from torch import nn

from advcourse import data, models
from advcourse.attacks import FGSM, PGD
from advcourse.attacks.noise import Noise
from advcourse.beyond import speech
from advcourse.beyond.controls import RandomSigns
from advcourse.beyond.speech.attack import _Adam
from advcourse.core.identity import identity
from advcourse.core.inputs import InputError, accuracy, predict
from advcourse.data import spoken
from advcourse.data.transformations import EightBit
from advcourse.models.sound_nets import mel_filters
from advcourse.zoo import recipes

ATTACKS = {
    "cw": speech.CWAudio(steps=30),
    "rooms": speech.RoomEOT(level=-25, steps=4, draws=2),
    "plain": speech.RoomEOT(level=-25, steps=4, room=None),
}
each_attack = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)


@pytest.fixture(scope="module")
def clips():
    """The shipped net, 20 clips of unheard voices, their digits, and targets."""
    x, y = data.load("spoken").pick(20, seed=1)
    return models.load("spoken-digits"), x, y, (y + 1 + torch.arange(20) % 9) % 10


def some_waves(n=3, length=6000):
    return 0.5 * torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (n, length)))


# ---- the net ----


def test_the_spectrogram_is_scipys():
    """Against scipy.signal.stft with the same window, hop and reflection, bin by bin, in float64."""
    wave = some_waves()
    layer = models.Spectrogram().double()
    _, _, bins = signal.stft(wave.numpy(), nperseg=256, noverlap=176, boundary="even", padded=False)
    power = np.abs(bins * signal.get_window("hann", 256).sum()) ** 2
    expected = np.log(layer.filters.numpy() @ power + 1e-4)
    found = layer(spoken.as_images(wave)).numpy()
    assert found.shape == (3, 32, 76)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)  # torch's window is stored in float32


def test_mel_filters_by_closed_form():
    """Against the mel scale: 1000 Hz are 1000 mel; between the first and the last centre, neighbours add up to 1."""
    assert 2595 * np.log10(1 + 1000 / 700) == pytest.approx(1000, abs=0.1)
    bank, hertz = mel_filters(32, 129, 8000).numpy(), np.linspace(0, 4000, 129)
    centres = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 4000 / 700), 34)[1:-1] / 2595) - 1)
    inside = (hertz >= centres[0]) & (hertz <= centres[-1])
    np.testing.assert_allclose(bank.sum(0)[inside], 1, atol=1e-5)
    for k in (3, 15, 30):
        expected = np.interp(hertz, [0, *centres, 4000], np.eye(34)[k + 1])
        np.testing.assert_allclose(bank[k], expected, atol=1e-5)


def test_the_shipped_net_hears_unheard_voices():
    """Against its card, the recipe and the bar: 95 % of 200 clips of four voices that training did not have."""
    net, held_out, card = models.load("spoken-digits"), data.load("spoken"), models.card("spoken-digits")
    right = accuracy(net, held_out.images, held_out.labels)
    assert right >= 0.95 and card["held_out_accuracy"] == pytest.approx(right, abs=0.01)
    assert card["data"]["test"] == held_out.checksum
    assert card["settings"].items() <= recipes.RECIPES["spoken-digits"].settings().items()


@pytest.mark.slow
def test_training_again_gives_a_net_as_good(tmp_path):
    """Against the shipped card: within three points on unheard voices."""
    card = recipes.train_shipped("spoken-digits", tmp_path, progress=False)
    assert card["held_out_accuracy"] == pytest.approx(
        models.card("spoken-digits")["held_out_accuracy"], abs=0.03
    )


def test_shaken_sounds_by_hand():
    """Against a click: it moves by at most the reach, its height follows the gain, and the generator decides."""
    click = torch.full((50, 1, 1, 4000), 0.5)
    click[..., 2000] = 0.9
    one, same, other = (
        speech.shaken(click, torch.Generator().manual_seed(seed), reach=300, loudest_noise=0.0)
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, same) and not torch.equal(one, other)
    places, heights = one.flatten(1).argmax(1), (one.flatten(1) - 0.5).amax(1) / 0.4
    assert (places - 2000).abs().max() <= 300 and places.unique().numel() > 30
    assert (
        heights.min() >= 0.4
        and heights.max() <= 1.2
        and ((one - 0.5).abs() > 1e-6).flatten(1).sum(1).eq(1).all()
    )


# ---- decibels, noise, rooms ----


def test_decibels_by_hand():
    """Against the definition: a change a tenth as high as the peak is -20 dB, a hundredth -40; energies likewise."""
    clean, images = torch.full((3, 1, 1, 100), 0.5), torch.full((3, 1, 1, 100), 0.5)
    clean[..., 10] += 0.4
    images[..., 10] += 0.4
    images[0, ..., 20] += 0.04
    images[1, ..., 20:24] -= 0.004
    assert speech.decibels(clean, images)[:2].tolist() == pytest.approx([-20, -40], abs=1e-4)
    assert speech.decibels(clean, images)[2] == -torch.inf
    # 0.4^2 / 0.04^2 = 100; 0.4^2 / (4 x 0.004^2) = 2500
    assert speech.signal_to_noise(clean, images)[:2].tolist() == pytest.approx(
        [20, 10 * np.log10(2500)], abs=1e-4
    )
    assert speech.signal_to_noise(clean, images)[2] == torch.inf


def test_silence_has_decibels_too():
    """By the limits of the definition: no change is -inf dB also beside silence, and any change of silence inf."""
    silence = torch.full((2, 1, 1, 100), 0.5)
    images = silence.clone()
    images[1, ..., 3] += 0.1
    assert speech.decibels(silence, images).tolist() == [-torch.inf, torch.inf]
    assert speech.signal_to_noise(silence, images).tolist() == [torch.inf, -torch.inf]


@pytest.mark.parametrize("attack", [speech.CWAudio(steps=3), speech.RoomEOT(steps=3, draws=1)])
def test_silence_stays_silent_and_is_flagged(attack):
    """By the definition: beside silence nothing is quiet, so the attack may add nothing, and its size is that of no change."""
    x = torch.full((2, 1, 1, 200), 0.5, dtype=torch.float64)
    x[1, ..., 7] = 0.9
    result = attack.run(Line(), x, torch.tensor([0, 0]), torch.tensor([1, 1]))
    assert torch.equal(result.images[0], x[0]) and result.size[0] == -torch.inf
    assert not result.size.isnan().any() and not result.success[0]


def test_the_control_has_the_energy_of_the_change(clips):
    """Against the L2 norms, clip by clip; the noise is spread over all samples, and follows its seed."""
    _, x, _, _ = clips
    images = (x + 0.003 * torch.randn(x.shape).sign()).clamp(0, 1)
    noisy = speech.equal_noise(x, images, seed=1)
    torch.testing.assert_close(
        (noisy - x).flatten(1).norm(dim=1), (images - x).flatten(1).norm(dim=1), rtol=1e-3, atol=0
    )
    assert torch.equal(noisy, speech.equal_noise(x, images, 1)) and not torch.equal(
        noisy, speech.equal_noise(x, images, 2)
    )
    assert ((noisy - x).abs() > 0).double().mean() > 0.99
    torch.testing.assert_close(speech.equal_noise(x[:5], images[:5], 1), noisy[:5])


STILL = speech.Room(quietest=1, delay=0, echo=0, noise=300)


def test_a_room_that_does_nothing(clips):
    """Against the sound itself."""
    _, x, _, _ = clips
    torch.testing.assert_close(STILL.heard(x, Noise(0)), x, atol=1e-5, rtol=0)


def test_rooms_part_by_part(clips):
    """Against each part by hand: gains in range, moves in range without wrapping round, noise 25 dB below, echo by SciPy."""
    _, x, _, _ = clips
    wave = spoken.waves_of(x)
    gains = spoken.waves_of(replace(STILL, quietest=0.5).heard(x, Noise(0))).norm(dim=1) / wave.norm(dim=1)
    assert gains.min() >= 0.5 and gains.max() <= 1 and gains.std() > 0.05
    click = torch.full((40, 1, 1, 1000), 0.5)
    click[..., 100] = 0.9
    moved = replace(STILL, delay=25.0).heard(click, Noise(0)).flatten(1)
    places = moved.argmax(1)[(moved.amax(1) > 0.8)]
    assert (
        (places - 100).abs().max() <= 200 and places.unique().numel() > 10 and len(places) < 40
    )  # some leave
    noisy = spoken.waves_of(replace(STILL, noise=25.0).heard(x, Noise(0)))
    found = 10 * (wave.square().sum(1) / (noisy - wave).square().sum(1)).log10()
    assert (found - 25).abs().max() < 0.5
    random, decay = torch.randn(20, 1600), torch.rand(20)
    echoed, tail = STILL, random.double().numpy()
    echoed = replace(STILL, echo=0.3)._echoed(wave, decay, random)
    for i in (0, 7):
        seconds = (50 + 150 * decay[i].item()) / 1000
        fall = tail[i] * 10 ** (-3 * np.arange(1, 1601) / 8000 / seconds)
        impulse = np.concatenate([[1], fall * np.sqrt(0.3 / (fall**2).sum())])
        expected = signal.fftconvolve(wave[i].double().numpy(), impulse)[:6000]
        np.testing.assert_allclose(echoed[i].numpy(), expected, atol=1e-4)


def test_rooms_have_gradients_and_do_not_depend_on_the_batch(clips):
    """Against torch's graph, and the same sounds in two parts of 16 and 4."""
    _, x, _, _ = clips
    heard = speech.Room().heard(x.clone().requires_grad_(), Noise(3), 5)
    assert heard.requires_grad and heard.min() >= 0 and heard.max() <= 1
    parts = [speech.Room().heard(x[:16], Noise(3), 5), speech.Room().heard(x[16:], Noise(3, 16), 5)]
    torch.testing.assert_close(torch.cat(parts), heard.detach(), atol=1e-5, rtol=0)
    assert not torch.allclose(speech.Room().heard(x, Noise(3), 6), heard)


def test_smoothing_and_telephone_are_what_they_say(clips):
    """Against scipy.ndimage's uniform filter, and mu-law there and back."""
    _, x, _, _ = clips
    expected = ndimage.uniform_filter1d(x.double().numpy(), 5, axis=-1, mode="nearest")
    np.testing.assert_allclose(speech.Smoothing(5)(x).numpy(), expected, atol=1e-6)
    assert torch.equal(speech.Telephone()(x), x)  # the clips are stored so
    heard = speech.Telephone()(x * 0.9 + 0.03)
    assert torch.equal(spoken.encode(heard * 2 - 1), spoken.encode((x * 0.9 + 0.03) * 2 - 1))


def test_shares_are_counted_over_rooms():
    """Against a net that hears only whether a sound is loud, in rooms that halve it or not: the share is between."""

    class Loud(nn.Module):
        def forward(self, x):
            loud = (x.flatten(1) - 0.5).abs().amax(1, keepdim=True) - 0.3
            return torch.cat([-loud, loud], 1)

    x = torch.full((2, 1, 1, 500), 0.5)
    x[0, ..., 100], x[1, ..., 100] = 0.95, 0.6
    found = speech.share_heard(Loud(), x, torch.tensor([1, 1]), replace(STILL, quietest=0.5), draws=60)
    assert abs(found[0] - (1 - 0.3 / 0.45) * 2) < 0.25 and found[1] == 0


# ---- the attacks, by closed forms ----


def test_adam_is_torchs():
    """Against torch.optim.Adam with a rate of 1, over ten steps."""
    mine, values = (
        _Adam(torch.zeros(4, 1, 1, 3, dtype=torch.float64)),
        torch.zeros(4, 1, 1, 3, dtype=torch.float64),
    )
    theirs = nn.Parameter(torch.zeros_like(values))
    optimiser = torch.optim.Adam([theirs], lr=1.0, eps=1e-300)
    for _ in range(10):
        theirs.grad = torch.randn_like(theirs)
        values = values - mine.direction(theirs.grad)
        optimiser.step()
    torch.testing.assert_close(values, theirs.detach(), rtol=1e-9, atol=1e-9)


class Line(nn.Module):
    """Two classes, whose margin is linear: Z_1 - Z_0 = w . (x - 1/2) - b."""

    def __init__(self, length=200, b=0.05):
        super().__init__()
        random = torch.Generator().manual_seed(0)
        self.register_buffer("w", torch.randn(length, generator=random, dtype=torch.float64) / length**0.5)
        self.b = b

    def forward(self, x):
        lead = (x.flatten(1) - 0.5) @ self.w.to(x) - self.b
        return torch.stack([torch.zeros_like(lead), lead], 1)


def test_the_quietest_change_of_a_linear_net_is_known():
    """Against the least change in L-infinity that crosses a linear boundary, distance / ||w||_1: at most 2 dB above it."""
    net = Line()
    x = (
        0.5
        + 0.3
        * torch.sin(torch.arange(4, dtype=torch.float64)[:, None] + torch.arange(200.0)[None] / 7)[
            :, None, None
        ]
    )
    y = predict(net, x).argmax(1)
    least = predict(net, x)[:, 1].abs() / net.w.abs().sum()
    result = speech.CWAudio(steps=200, start=-5).run(net, x, y, 1 - y)
    exact = 20 * (least / (x - 0.5).abs().amax((1, 2, 3))).log10()
    assert result.success.all() and (result.size >= exact - 1e-6).all() and (result.size <= exact + 2).all()


# ---- what was measured ----


def test_quiet_changes_choose_what_is_heard(clips):
    """Against the bars: every target is reached, the median change at least 40 dB below the sound, none above -25; noise of the
    same energy changes nothing; rounding to 8 bit, mu-law or a mean of three samples undo most of it."""
    net, x, y, target = clips
    result = speech.CWAudio().run(net, x, y, target)
    assert result.success_rate == 1 and result.size.median() <= -40 and result.size.max() <= -25
    assert speech.signal_to_noise(x, result.images).median() >= 25
    assert accuracy(net, speech.equal_noise(x, result.images), y) >= 0.95
    for change, left in ((EightBit(), 0.2), (speech.Telephone(), 0.2), (speech.Smoothing(), 0.6)):
        assert accuracy(net, change(result.images), target) <= left
    assert speech.share_heard(net, result.images, target, speech.Room(), 5, seed=1).mean() <= 0.1


def test_the_librarys_attacks_run_on_sound(clips):
    """Against the bars: PGD within 0.003 fools nearly all, one step few, and random signs of that size none."""
    net, x, y, _ = clips
    rates = [
        attack.run(net, x, y).success_rate
        for attack in (PGD(0.003, steps=20), FGSM(0.003), RandomSigns(0.003))
    ]
    assert rates[0] >= 0.9 > 0.6 >= rates[1] >= rates[2] == 0


@pytest.mark.slow
def test_expectation_over_rooms_outlives_the_room(clips):
    """Against the plain change of the same loudness, in 15 fresh rooms, and against noise as loud, which reaches no target."""
    net, x, y, target = clips
    rates = {}
    for name, room in (("plain", None), ("rooms", speech.Room())):
        result = speech.RoomEOT(level=-33, steps=40, draws=4, room=room).run(net, x, y, target)
        assert (result.size - -33).abs().max() < 0.01
        rates[name] = speech.share_heard(net, result.images, target, speech.Room(), 15, seed=9).mean().item()
    noisy = speech.equal_noise(x, result.images)
    assert rates["rooms"] >= 0.6 and rates["rooms"] >= rates["plain"] + 0.1
    assert speech.share_heard(net, noisy, target, speech.Room(), 5, seed=9).mean() <= 0.1


# ---- the contract ----


@each_attack
def test_every_attack_keeps_its_contract(attack, clips):
    """Against copies of all that was handed over, a second run, and the box; the budget holds to rounding."""
    net, x, y, target = (each if isinstance(each, nn.Module) else each[:6] for each in clips)
    before, state = [each.clone() for each in (x, y, target)], torch.get_rng_state()
    result = attack.run(net, x, y, target)
    assert torch.equal(torch.get_rng_state(), state) and not net.training
    assert all(torch.equal(a, b) for a, b in zip(before, (x, y, target)))
    assert all(parameter.grad is None for parameter in net.parameters())
    assert torch.equal(attack(net, x, y, target), result.images) and identity(attack) == identity(
        replace(attack)
    )
    assert result.images.min() >= 0 and result.images.max() <= 1 and not result.images.requires_grad
    level = attack.level if attack.kind == "budgeted" else attack.start
    assert (result.size <= level + 0.01).all() and str(attack.threat_model).startswith(("dB", "least dB"))
    failed = ~result.success
    if attack.kind == "minimum-norm":
        assert torch.equal(result.images[failed], x[failed])
    else:
        assert str(attack.threat_model).endswith("physical")
    assert attack.run(net, x[:0], y[:0], target[:0]).images.shape == (0, 1, 1, 6000)


def test_a_sound_alone_gets_the_same_change():
    """Against the same sound in a batch of five, in float64, after few steps."""
    net, (x, y) = Line(), (spoken.as_images(some_waves(5, 200)), torch.zeros(5, dtype=torch.int64))
    y = predict(net, x).argmax(1)
    for attack in (
        speech.CWAudio(steps=20),
        speech.RoomEOT(steps=5, level=-10, room=speech.Room(delay=2, longest=50)),
    ):
        whole = attack(net, x, y, 1 - y)
        torch.testing.assert_close(attack(net, x[:1], y[:1], 1 - y[:1]), whole[:1], rtol=0, atol=1e-9)


X, Y = torch.full((2, 1, 1, 200), 0.6, dtype=torch.float64), torch.tensor([0, 0])


@pytest.mark.parametrize(
    "bad, message",
    [
        (lambda: speech.CWAudio(start=3), "start: got 3; allowed"),
        (lambda: speech.CWAudio(decrease=1.0), "decrease: got 1.0; allowed"),
        (lambda: speech.RoomEOT(room=1), "room: got 1; allowed is a Room, or None"),
        (lambda: speech.RoomEOT(draws=0), "draws: got 0; allowed"),
        (lambda: speech.CWAudio()(Line(), X, Y), "target: got None"),
        (lambda: speech.CWAudio()(Line(), X, Y, Y), "target: got the true label 0"),
        (
            lambda: speech.CWAudio()(Line(), X.view(2, 2, 10, 10), Y, 1 - Y),
            "x: got images of shape .2, 10, 10.",
        ),
        (lambda: speech.Room(quietest=0), "quietest: got 0; allowed"),
        (lambda: speech.Room(shortest=100, longest=50), "longest: got 50; allowed"),
        (lambda: speech.Smoothing(4), "taps: got 4; allowed are odd numbers"),
        (lambda: speech.decibels(X, X[:1]), "images: got shape"),
        (lambda: speech.decibels(X * 2, X), "clean: got values"),
        (lambda: speech.share_heard(Line(), X, Y, speech.Room(), draws=0), "draws: got 0"),
        (lambda: speech.share_heard(Line(), X, Y[:1], speech.Room()), "label: got a tensor of shape .1,."),
        (lambda: speech.share_heard(Line(), X, 0, speech.Room()), "label: got 0"),
        (lambda: speech.share_heard(Line(), X, Y, None), "room: got None; allowed is a Room"),
        (lambda: speech.share_heard(Line(), X.view(2, 2, 10, 10), Y, speech.Room()), "x: got shape"),
        (lambda: speech.equal_noise(X, X, seed=-1), "seed: got -1"),
        (lambda: RandomSigns(eps=-1), "eps: got -1"),
    ],
)
def test_bad_input_is_named(bad, message):
    """Against the sentences that say what is allowed."""
    with pytest.raises(InputError, match=message):
        bad()


def test_random_signs_fill_the_budget():
    """Against the budget: every value moves by eps, about half of them up, as the seed says, and the box holds."""
    x, y = torch.full((4, 1, 1, 1000), 0.5), torch.zeros(4, dtype=torch.int64)
    net = Line(1000)
    moved = RandomSigns(0.1, seed=1)(net, x, y)
    torch.testing.assert_close((moved - x).abs(), torch.full_like(x, 0.1))
    assert 0.4 < (moved > x).double().mean() < 0.6 and torch.equal(moved, RandomSigns(0.1, seed=1)(net, x, y))
    assert (
        not torch.equal(moved, RandomSigns(0.1, seed=2)(net, x, y)) and RandomSigns(0.9)(net, x, y).min() == 0
    )


@pytest.mark.gpu
@each_attack
def test_a_gpu_attacks_as_the_cpu(attack, clips):
    """Against the CPU: the sizes agree to a few dB, and what is returned is on the GPU."""
    from copy import deepcopy

    net, x, y, target = (each if isinstance(each, nn.Module) else each[:4] for each in clips)
    here = attack.run(net, x, y, target)
    there = attack.run(deepcopy(net).to("cuda"), x.cuda(), y.cuda(), target.cuda())
    assert there.images.is_cuda and there.size.is_cuda
    assert abs(here.success_rate - there.success_rate) <= 0.5
    assert speech.share_heard(net, there.images.cpu(), target, speech.Room(), 2).shape == (4,)
