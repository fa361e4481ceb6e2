"""Square Attack beside its paper, its known traps, counters in the model, and another library."""

import pytest
import torch
import torchattacks
from nets import Function, Linear, images

from advcourse import data, models
from advcourse.attacks import Square
from advcourse.attacks.square import patch
from advcourse.core.inputs import predict


class Stubborn(torch.nn.Module):
    """A model that reads class 0 whatever happens, with a margin that follows the images, and keeps what it was asked."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def forward(self, x):
        self.asked.append(x.detach().clone())
        weights = torch.linspace(-1, 1, x[0].numel()).roll(7)
        return torch.stack([50 + x.flatten(1) @ weights, x.flatten(1).sum(1) * 0], 1)


def test_the_side_of_a_square_follows_the_papers_schedule():
    """p = 0.8 of 28 x 28 pixels is 25 x 25; after 10 queries 0.4, after 50 0.2, and so on, by hand."""
    x = torch.zeros(1, 1, 28, 28)
    assert patch(x, 0.8) == (25, 25) and patch(x, 0.1) == (9, 9) and patch(x, 1e-9) == (1, 1)
    shares = {query: Square(p=0.8)._share(query) for query in (1, 10, 11, 50, 51, 201, 501, 1001, 2001, 4001)}
    assert list(shares.values()) == pytest.approx(
        [0.8, 0.8, 0.4, 0.4, 0.2, 0.1, 0.05, 0.025, 0.0125, 0.00625]
    )
    # What is no square image, such as a sound, is changed in stretches of the same area.
    assert patch(torch.zeros(1, 1, 1, 6000), 0.5) == (1, 3000) and patch(torch.zeros(1, 1, 2, 50), 0.8) == (
        2,
        40,
    )


def test_squares_reach_every_place_and_are_each_images_own():
    """Two traps of the authors' code: the last row and column are never changed, and all images share place and sign."""
    model, x = Stubborn(), torch.full((3, 1, 8, 8), 0.5)
    Square(0.1, queries=400)(model, x, torch.zeros(3, dtype=torch.long))
    asked = torch.stack(model.asked)  # (queries, N, C, H, W)
    moved = (asked[1:] != asked[:-1]).flatten(0, 1).any(0)[0]
    assert moved.all()
    last = [(asked[1:, i] != asked[:-1, i]).any(1)[:, -1, :].any(0).all() for i in range(3)]
    assert all(last)
    assert not torch.equal(asked[:, 0], asked[:, 1]) and not torch.equal(asked[:, 1], asked[:, 2])


def test_every_pixel_of_the_first_point_is_moved_in_stripes():
    """The paper's start: each column, in each channel, by +eps or by -eps."""
    model, x = Stubborn(), torch.full((2, 3, 6, 6), 0.5)
    Square(0.1, queries=1)(model, x, torch.zeros(2, dtype=torch.long))
    change = model.asked[0] - x
    torch.testing.assert_close(change.abs(), torch.full_like(x, 0.1))
    assert torch.equal(change, change[:, :, :1].expand_as(change)) and len(change.unique()) == 2


def test_in_l2_the_whole_budget_is_used_at_every_query():
    """Where the box leaves room, each point that the model is asked lies at distance eps, for one channel and for three."""
    for channels in (1, 3):
        model, x = Stubborn(), torch.full((2, channels, 12, 12), 0.5)
        Square(0.4, queries=60, norm="L2")(model, x, torch.zeros(2, dtype=torch.long))
        lengths = (torch.stack(model.asked[:60]) - x).flatten(2).norm(dim=2)
        torch.testing.assert_close(lengths, torch.full_like(lengths, 0.4), rtol=1e-4, atol=0)


def test_it_climbs_to_the_corner_of_the_ball_on_a_linear_model():
    """The least margin of a linear model lies at x - eps * sign(w): 3 000 queries come within 10 % of the whole way."""
    weight = torch.randn(2, 36, generator=torch.Generator().manual_seed(1))
    model, x = Linear(weight, torch.tensor([60.0, 0.0])), torch.full((4, 1, 6, 6), 0.5)
    slope = weight[0] - weight[1]
    with torch.no_grad():
        clean, found = model(x), model(Square(0.2, queries=3000)(model, x, torch.zeros(4, dtype=torch.long)))
    gained = (clean[:, 0] - clean[:, 1]) - (found[:, 0] - found[:, 1])
    assert (gained >= 0.9 * 0.2 * slope.abs().sum()).all() and (gained <= 0.2001 * slope.abs().sum()).all()


def test_queries_are_counted_and_no_gradient_is_taken():
    """Against a counter in a model that can't be differentiated."""
    counted = []

    def answer(x):
        counted.append(len(x))
        with torch.no_grad():
            return torch.stack([x.mean((1, 2, 3)), 0.52 - 0 * x.mean((1, 2, 3))], 1)

    x, y = images(9) * 0.1 + 0.5, torch.zeros(9, dtype=torch.long)
    result = Square(0.1, queries=50).run(Function(answer), x, y)
    last = len(x)  # the record's own look at the result
    assert sum(counted) - last == result.forward_passes == int(result.details["queries"].sum())
    assert result.backward_passes == 0 and 0 < result.success.sum()
    assert (result.details["queries"][result.success] < 50).any()


def test_hopeless_images_are_given_up_after_500_queries():
    """By hand: this model's margin never falls below 40 % of its first one, so all leave; without the setting none does."""
    model, x = Stubborn(), torch.full((2, 1, 8, 8), 0.5)
    y = torch.zeros(2, dtype=torch.long)
    assert Square(0.1, queries=600, give_up=0.4).run(model, x, y).details["queries"].tolist() == [500, 500]
    assert Square(0.1, queries=600).run(model, x, y).details["queries"].tolist() == [600, 600]


@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.15), ("L2", 1.6)])
def test_it_fools_as_many_digits_as_another_librarys(norm, eps):
    """torchattacks' Square with the authors' schedule, 300 queries, 60 digits: at most four fewer, which is chance."""
    model, (x, y) = models.load("mnist-small"), data.load("mnist-5k").pick(60, seed=2)
    own = Square(eps, queries=300, norm=norm).run(model, x, y).success
    peer = torchattacks.Square(model, norm=norm, eps=eps, n_queries=300, p_init=0.8, resc_schedule=False)
    fooled = predict(model, peer(x, y).detach()).argmax(1) != y
    assert 5 < fooled.sum() < 58
    assert own.sum() >= fooled.sum() - 4
