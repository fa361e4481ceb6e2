"""The PixelCNN: what each pixel's distribution depends on, and that it is one."""

import math
from itertools import product

import pytest
import torch
from nets import images

from advcourse import data, models
from advcourse.core.inputs import InputError
from advcourse.models import PixelCNN, bits_per_pixel
from advcourse.training import fit

HEIGHT, WIDTH = 6, 7


def network(levels=4, channels=4, layers=3, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PixelCNN(levels, channels, layers).double()


@pytest.fixture(scope="module")
def reached():
    """reached[i, j]: whether pixel j changes what is said of pixel i, both in raster order; by the gradient of all levels."""
    size = (1, 1, HEIGHT, WIDTH)
    x = torch.rand(size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    slopes = torch.autograd.functional.jacobian(network(layers=5), x)
    return (slopes != 0).any(1)[0].reshape(HEIGHT * WIDTH, HEIGHT * WIDTH)


def test_no_pixel_is_told_of_itself_or_of_a_later_one(reached):
    """Against the factorisation of the paper's equation 1: the matrix of what depends on what is strictly lower triangular."""
    assert not reached.triu().any()


def test_every_earlier_pixel_within_reach_is_seen(reached):
    """Against the paper's section 2.2: the two stacks leave no blind spot. Five layers reach as far as this image goes."""
    assert reached.equal(torch.ones_like(reached).tril(-1))


def test_a_changed_pixel_changes_nothing_before_it():
    """Against the same factorisation, by changing every pixel in turn, bit for bit."""
    net, x = network(), images(1, (1, HEIGHT, WIDTH)).double()
    before = net(x).flatten(2)
    for place in range(HEIGHT * WIDTH):
        changed = x.clone()
        changed.view(-1)[place] += 0.3
        assert net(changed).flatten(2)[..., : place + 1].equal(before[..., : place + 1])


def test_the_probabilities_of_all_images_sum_to_one():
    """Against the definition of a distribution: over the 3^4 images of 2 x 2 pixels and 3 levels."""
    every = torch.tensor(list(product((0, 0.5, 1), repeat=4)), dtype=torch.float64).view(-1, 1, 2, 2)
    assert network(levels=3).log_prob(every).exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_images_are_drawn_as_often_as_they_are_probable():
    """Against the chi-squared distribution: 20 000 draws of 2 pixels, 9 images; 26.1 is its 99.9 % quantile at 8 degrees."""
    net = network(levels=3)
    drawn = net.sample(20_000, 2, 1, torch.Generator().manual_seed(0))
    every = torch.tensor(list(product((0, 0.5, 1), repeat=2)), dtype=torch.float64).view(-1, 1, 2, 1)
    expected = 20_000 * net.log_prob(every).exp()
    counts = torch.stack([(drawn == image).all((1, 2, 3)).sum() for image in every])
    assert counts.sum() == 20_000
    assert ((counts - expected).square() / expected).sum() < 26.1


def test_making_images_in_order_is_the_network_asked_anew_for_each_pixel():
    """Against the definition, a whole pass for each pixel: the scores that decide, less their sum, and the images."""
    net, scores = network(), []

    def choose(told, row, column):
        scores.append(told.log_softmax(1))
        return told.argmax(1) if row % 2 else (told.argmin(1) + column) % 4

    made = net.in_order(3, HEIGHT, WIDTH, choose)
    x = torch.zeros_like(made)
    for place, (row, column) in enumerate(product(range(HEIGHT), range(WIDTH))):
        told = net(x)[:, :, row, column]
        torch.testing.assert_close(scores[place], told, rtol=0, atol=1e-12)
        x[:, 0, row, column] = choose(told, row, column).double() / 3
    assert made.equal(x)


def test_bits_and_objective_are_the_mean_negative_log_probability():
    """Against the definition, by hand: -1 / (N H W) sum log2 p(a pixel's level | those before it); between levels, the nearer."""
    net, x = network(), images(2, (1, HEIGHT, WIDTH)).double()
    levels = (3 * x).round()
    log_p = net(levels / 3)
    picked = [
        log_p[n, int(levels[n, 0, row, column]), row, column]
        for n, row, column in product(range(2), range(HEIGHT), range(WIDTH))
    ]
    expected = -sum(one.item() for one in picked) / len(picked) / math.log(2)
    assert net.bits(x).mean().item() == pytest.approx(expected, rel=1e-12)
    assert bits_per_pixel(net, x, torch.zeros(2)).item() == pytest.approx(expected, rel=1e-12)
    assert net.log_prob(x).equal(net.log_prob(net.rounded(x)))


def test_the_slope_of_a_log_probability():
    """Against differences of levels: of a pixel that no other depends on, the last one, (log p(k+1) - log p(k-1)) / (2 / 3)."""
    net, x = network(), torch.full((1, 1, 2, 2), 1 / 3, dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(net.log_prob(x).sum(), x)
    log_p = net(x)[0, :, 1, 1]
    assert slope[0, 0, 1, 1].item() == pytest.approx(((log_p[2] - log_p[0]) * 1.5).item(), rel=1e-9)


def test_training_finds_the_frequencies_of_a_coin():
    """Against Shannon: images that are black with probability 1/4 and white else carry H(1/4) = 0.811 bits, each."""
    white = torch.arange(64) % 4 > 0
    x = white.double().view(-1, 1, 1, 1).expand(-1, 1, 2, 2).clone()
    net = network(levels=2, channels=16, layers=2)
    fit(net, (x, torch.zeros(64)), bits_per_pixel, epochs=100, batch_size=64, lr=0.02, progress=False)
    assert 0.8112 < 4 * bits_per_pixel(net, x, None).item() < 0.83


def test_the_shipped_network_knows_digits():
    """Against its card: held-out digits take the bits that it tells; the same with noise, or upside down, take more."""
    net, (x, _) = models.load("mnist-pixelcnn"), data.load("mnist-5k").pick(100)
    with torch.no_grad():
        digits, turned = net.bits(x), net.bits(x.flip(2))
        noisy = net.bits((x + 0.1 * torch.rand(x.shape)).clamp(0, 1))
    assert abs(digits.mean() - models.card("mnist-pixelcnn")["bits_per_pixel"]) < 0.05
    assert (noisy > digits).all() and (turned > digits).double().mean() > 0.8


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"levels": 1}, r"levels: got 1; allowed is an integer >= 2 and <= 256"),
        ({"channels": 0}, r"channels: got 0; allowed is an integer >= 1"),
        ({"layers": 1}, r"layers: got 1; allowed is an integer >= 2"),
    ],
)
def test_a_bad_setting_is_named(settings, complaint):
    """Against the limits that the documentation names."""
    with pytest.raises(InputError, match=complaint):
        PixelCNN(**settings)


def test_coloured_images_are_refused():
    """Against the documented limit: one channel."""
    with pytest.raises(InputError, match="x: got images of 3 channels; allowed are grey images"):
        network()(images(1, (3, 4, 4)).double())
