"""Lab 11: the likelihood-ratio attack on membership, from a matrix of confidences."""

import math

import numpy as np
import torch

from advcourse.labs.comparing import called, gives
from advcourse.labs.exercises import exercise
from advcourse.labs.lab11.confidences import SCORES, a_matrix, on_and_off
from advcourse.labs.lab11.sets import PlainTask
from advcourse.labs.numbers import near
from advcourse.labs.properties import answers, keeps_what_it_gets, leaves_nothing_behind, other_device


@exercise(
    "Membership",
    5,
    a_matrix,
    (
        "First take the target out: keep = torch.arange(len(phi)) != target; then phi[keep] and members[keep]. "
        "What the target says is phi[target].",
        "One function for a side, called with members and with ~members: v = phi.masked_fill(~inside, torch.nan) keeps the side; "
        "the centres are v.nanmedian or better v.nanquantile(0.5, 0), the mean of the two middle ones; "
        "(v - v.nanmean(0)).square().nansum() is the sum of squares.",
        "spread = (squares / (inside.sum(0) - 1).sum()).sqrt(). Online: log_density(in) - log_density(out), each "
        "-((phi[target] - centre) / spread) ** 2 / 2 - log(spread); the 2 pi goes away. Offline: "
        "(phi[target] - centre_out) / spread_out.",
    ),
    shape=lambda case: (case["phi"].shape[1],),
    kind=PlainTask,
)
def lira(phi, members, target, online):
    keep = torch.arange(len(phi), device=phi.device) != target
    said = phi[target]
    out = side(phi[keep], ~members[keep])
    return density(said, *side(phi[keep], members[keep])) - density(said, *out) if online else z(said, *out)


def side(phi, inside):
    """Centre (M,) and common spread of the values inside."""
    values = phi.masked_fill(~inside, torch.nan)
    squares = (values - values.nanmean(0)).square().nansum()
    return median(values), (squares / (inside.sum(0) - 1).sum()).sqrt()


def median(values):
    """Of each column, without the NaN."""
    ordered, count = values.sort(0).values, (~values.isnan()).sum(0)
    low, high = (ordered.gather(0, place[None])[0] for place in ((count - 1) // 2, count // 2))
    return (low + high) / 2


def z(said, centre, spread):
    return (said - centre) / spread


def density(said, centre, spread):
    return -z(said, centre, spread).square() / 2 - spread.log()


def score_by(a_side, phi, members, target, online):
    """The scores, where `a_side` gives centre and spread."""
    keep = torch.arange(len(phi), device=phi.device) != target
    said, out = phi[target], a_side(phi[keep], ~members[keep])
    return density(said, *a_side(phi[keep], members[keep])) - density(said, *out) if online else z(said, *out)


@lira.slip(
    "its own shadow",
    "The target is among its own shadow nets. For each point it is one of the sixteen that tell what members, or others, look "
    "like, "
    "which the attacker cannot know. Leave its row out.",
)
def with_the_target(phi, members, target, online):
    said, out = phi[target], side(phi, ~members)
    return density(said, *side(phi, members)) - density(said, *out) if online else z(said, *out)


@lira.slip(
    "spread of the wrong side",
    "Both sides have the spread of the members. Those who are not among the training points vary less: each side has a spread "
    "of its own.",
)
def members_spread_for_both(phi, members, target, online):
    keep = torch.arange(len(phi)) != target
    inner, outer = side(phi[keep], members[keep]), side(phi[keep], ~members[keep])
    outer = outer[0], inner[1]
    return density(phi[target], *inner) - density(phi[target], *outer) if online else z(phi[target], *outer)


@lira.slip(
    "others' spread for both",
    "Both sides have the spread of the non-members. Members vary more here: each side has a spread of its own.",
)
def others_spread_for_both(phi, members, target, online):
    keep = torch.arange(len(phi)) != target
    inner, outer = side(phi[keep], members[keep]), side(phi[keep], ~members[keep])
    inner = inner[0], outer[1]
    return density(phi[target], *inner) - density(phi[target], *outer) if online else z(phi[target], *outer)


@lira.slip(
    "one spread for both",
    "Both sides have one spread, of all values together. Each side has a spread of its own, about its own means.",
)
def one_spread(phi, members, target, online):
    keep = torch.arange(len(phi)) != target
    phi_, members_ = phi[keep], members[keep]
    spread = phi_.std()
    inner, outer = (side(phi_, chosen)[0] for chosen in (members_, ~members_))
    said = phi[target]
    return density(said, inner, spread) - density(said, outer, spread) if online else z(said, outer, spread)


@lira.slip(
    "two-sided",
    "Your offline score is high on both sides: a point of which the net is unusually UNSURE counts as a member. Take "
    "(phi - centre) / spread as it is, with its sign.",
)
def two_sided(phi, members, target, online):
    right = lira(phi, members, target, online)
    return right if online else right.abs()


@lira.slip("two-sided")
def minus_the_density(phi, members, target, online):
    keep = torch.arange(len(phi)) != target
    out = side(phi[keep], ~members[keep])
    return lira(phi, members, target, online) if online else -density(phi[target], *out)


@lira.slip("two-sided")
def a_square(phi, members, target, online):
    right = lira(phi, members, target, online)
    return right if online else right.square()


@lira.slip(
    "offline by the members",
    "Offline, you compare with the members. The attacker has no net that learned from the point: only the others are left.",
)
def offline_by_the_members(phi, members, target, online):
    keep = torch.arange(len(phi)) != target
    inner = side(phi[keep], members[keep])
    return lira(phi, members, target, online) if online else z(phi[target], *inner)


@lira.slip(
    "always online",
    "You return the online score in both cases. With online=False only the nets without the point may be used.",
)
def ignores_online(phi, members, target, online):
    return lira(phi, members, target, True)


@lira.slip(
    "always offline", "You return the offline score in both cases. With online=True both sides are used."
)
def never_online(phi, members, target, online):
    return lira(phi, members, target, False)


@lira.slip(
    "turned round",
    "Your score is high for those who are NOT members. Members minus others, not the other way.",
)
def the_other_way(phi, members, target, online):
    return -lira(phi, members, target, online)


@lira.slip("turned round")
def sides_mixed_up(phi, members, target, online):
    return lira(phi, ~members, target, online)


def mean_side(phi, inside):
    return phi.masked_fill(~inside, torch.nan).nanmean(0), side(phi, inside)[1]


@lira.slip(
    "mean for median",
    "Your centres are means. A few nets are far off here, as in life, and pull a mean with them: take the median.",
)
def centres_by_the_mean(phi, members, target, online):
    return score_by(mean_side, phi, members, target, online)


def lower_side(phi, inside):
    return phi.masked_fill(~inside, torch.nan).nanmedian(0).values, side(phi, inside)[1]


@lira.slip(
    "lower median",
    "Of two middle values your median takes the lower one, as torch.median does. It is the mean of the two: "
    "nanquantile(0.5, 0), or numpy's nanmedian.",
)
def lower_medians(phi, members, target, online):
    return score_by(lower_side, phi, members, target, online)


def own_side(phi, inside):
    values = phi.masked_fill(~inside, torch.nan)
    squares = (values - values.nanmean(0)).square().nansum(0)
    return side(phi, inside)[0], (squares / (inside.sum(0) - 1)).sqrt()


@lira.slip(
    "a spread for each point",
    "Each point has a spread of its own. From seven or eight nets that is a poor guess, and a point whose values happen to agree "
    "decides everything: one spread for all points of a side.",
)
def own_spreads(phi, members, target, online):
    return score_by(own_side, phi, members, target, online)


def across_side(phi, inside):
    return side(phi, inside)[0], phi[inside].std()


@lira.slip(
    "spread across points",
    "Your spread is that of all values of a side together, also across points, some of which are easy and some hard. Take from "
    "each "
    "value the mean of its own point first.",
)
def across_points(phi, members, target, online):
    return score_by(across_side, phi, members, target, online)


def biased_side(phi, inside):
    values = phi.masked_fill(~inside, torch.nan)
    squares = (values - values.nanmean(0)).square().nansum()
    return side(phi, inside)[0], (squares / inside.sum()).sqrt()


@lira.slip(
    "divided by n",
    "Your spread divides the sum of squares by the number of values. A mean was taken away from each point: divide by the sum of "
    "n - 1.",
)
def divides_by_n(phi, members, target, online):
    return score_by(biased_side, phi, members, target, online)


def about_side(phi, inside):
    values = phi.masked_fill(~inside, torch.nan)
    squares = (values - values.nanquantile(0.5, 0)).square().nansum()
    return values.nanquantile(0.5, 0), (squares / (inside.sum(0) - 1).sum()).sqrt()


@lira.slip(
    "spread about the median",
    "Your spread is measured from the medians. The centre is the median; the spread is about the mean, as a variance is.",
)
def about_the_median(phi, members, target, online):
    return score_by(about_side, phi, members, target, online)


def mean_of_spreads_side(phi, inside):
    centre, spread = own_side(phi, inside)
    return centre, spread.mean()


@lira.slip(
    "mean of the spreads",
    "You average the spreads of the points. Average their variances, each with its weight n - 1, and take the root at the end.",
)
def averages_the_spreads(phi, members, target, online):
    return score_by(mean_of_spreads_side, phi, members, target, online)


def squared_side(phi, inside):
    centre, spread = side(phi, inside)
    return centre, spread.square()


@lira.slip("variance for spread", "You use the variance where the spread belongs, its root.")
def variances(phi, members, target, online):
    return score_by(squared_side, phi, members, target, online)


@lira.slip(
    "log of the spread",
    "Your densities lack -log(spread). It does not cancel, since the two sides have two spreads.",
)
def without_the_logs(phi, members, target, online):
    keep = torch.arange(len(phi)) != target
    sides = [z(phi[target], *side(phi[keep], chosen)) for chosen in (members[keep], ~members[keep])]
    return (sides[1].square() - sides[0].square()) / 2 if online else sides[1]


@lira.slip(
    "ratio",
    "Your online score is the ratio of the densities. Take its logarithm, the difference of the logarithms: a ratio overflows.",
)
def no_logarithm(phi, members, target, online):
    right = lira(phi, members, target, online)
    return right.exp() if online else right


@lira.slip(
    "rounded",
    "Your scores are right to about seven digits and no more: somewhere the numbers became float32. phi is float64: do not call "
    ".float(), and make new tensors with dtype=phi.dtype.",
    test=lambda case, found: bool(near(found, called(lira.solution, case)).all()),
)
def in_float32(phi, members, target, online):
    return lira(phi.float(), members, target, online).double()


@lira.right
def point_by_point(phi, members, target, online):
    device, phi, members = phi.device, phi.cpu().numpy(), members.cpu().numpy()
    rest, kept, said = np.delete(phi, target, 0), np.delete(members, target, 0), phi[target]
    scores, sides = np.zeros(phi.shape[1]), []
    for inside in (kept, ~kept):
        groups = [rest[inside[:, j], j] for j in range(phi.shape[1])]
        squares = sum(((g - g.mean()) ** 2).sum() for g in groups)
        spread = math.sqrt(squares / sum(len(g) - 1 for g in groups))
        sides.append((np.array([np.median(g) for g in groups]), spread))
    (inner, spread_in), (outer, spread_out) = sides
    scores = (said - outer) / spread_out
    if online:
        scores = scores**2 / 2 - ((said - inner) / spread_in) ** 2 / 2 + math.log(spread_out / spread_in)
    return torch.from_numpy(scores).to(device)


@lira.right
def by_normal_distributions(phi, members, target, online):
    keep = [i for i in range(len(phi)) if i != target]
    rest, inside = phi[keep], members[keep]
    sides = {}
    for name, chosen in (("in", inside), ("out", ~inside)):
        count = chosen.sum(0)
        mean = (rest * chosen).sum(0) / count
        variance = ((rest - mean).square() * chosen).sum() / (count - 1).sum()
        ordered = rest.masked_fill(~chosen, torch.inf).sort(0).values
        low, high = (count - 1) // 2, count // 2
        centre = (ordered.gather(0, low[None]) + ordered.gather(0, high[None]))[0] / 2
        sides[name] = torch.distributions.Normal(centre, variance.sqrt())
    if online:
        return sides["in"].log_prob(phi[target]) - sides["out"].log_prob(phi[target])
    return (phi[target] - sides["out"].loc) / sides["out"].scale


@lira.wrong("shape")
def one_number(phi, members, target, online):
    return lira(phi, members, target, online).mean()


@lira.wrong("shape")
def of_all_nets(phi, members, target, online):
    return torch.stack([lira(phi, members, i, online) for i in range(len(phi))])


@lira.wrong("type")
def accusations(phi, members, target, online):
    return lira(phi, members, target, online) > 0


@lira.wrong("formula")
def the_confidence_itself(phi, members, target, online):
    return phi[target]


@lira.wrong("input")
def marks_in_place(phi, members, target, online):
    found = lira(phi, members, target, online)
    phi[~members] = torch.nan
    return found


@lira.wrong("not a number")
def infinite_ratios(phi, members, target, online):
    return lira(phi, members, target, online) / torch.zeros(())


lira.checks(
    answers,
    keeps_what_it_gets,
    gives(lira, SCORES, make=on_and_off),
    other_device,
    leaves_nothing_behind,
)
