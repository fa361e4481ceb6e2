"""Chapter 11: how often an attack on apps is worth something."""

import torch
from torch import Tensor

from advcourse.labs.exercises import Draw
from advcourse.practice.asking import ALL
from advcourse.practice.tasks import small_exercise


def drawn_apps(draw: Draw) -> dict[str, Tensor]:
    """Twelve apps: some pass and behave as before, some pass and are refused or changed, some behave as before and fail."""
    kinds = torch.tensor([0] * 2 + [1] * 3 + [2] * 2 + [3] * 3 + [4] + [5])
    kinds = kinds[draw.uniform((12,)).argsort()]
    before = 10 + (80 * draw.uniform((12,))).long()
    aside = 1 + (8 * draw.uniform((12,))).long()
    other = torch.where(draw.uniform((12,)) < 0.5, before + aside, before - aside)
    refused = (kinds == 1) | (kinds == 4)
    changed = (kinds == 2) | (kinds == 5)
    after = torch.where(refused, torch.zeros_like(before), torch.where(changed, other, before))
    return {"passes": kinds < 3, "before": before, "after": after}


@small_exercise(
    "What was delivered",
    4,
    "easy",
    by_hand=(
        {
            "passes": torch.tensor([True, True, True, False, True]),
            "before": torch.tensor([41, 17, 23, 35, 52]),
            "after": torch.tensor([41, 0, 22, 35, 53]),
        },
    ),
    drawn=drawn_apps,
    hints=(
        "An app counts if two things are true of it: the detector lets it pass, and its log is what it was. before == after says "
        "the second one.",
        "(passes & (before == after)) is true for the apps that count. Its mean, after .double(), is the share of all apps.",
    ),
    shape=lambda case: (),
    praise="What the detector says is half of the matter. The other half is on the phone.",
)
def delivered_rate(passes, before, after):
    return (passes & (before == after)).double().mean()


@delivered_rate.slip(
    "on paper",
    "You count all that pass, and do not ask the phone. Of these, count only apps whose log is what it was.",
)
def all_that_pass(passes, before, after):
    return passes.double().mean()


@delivered_rate.slip(
    "installed is enough",
    "You count what passes and installs. But an app may install and do something else than before: compare the two logs.",
)
def installs(passes, before, after):
    return (passes & (after != 0)).double().mean()


@delivered_rate.slip(
    "detector forgotten",
    "You count every app that behaves as before, those too that the detector stops. It must also let them pass.",
)
def behaves(passes, before, after):
    return (before == after).double().mean()


@delivered_rate.slip(
    "among those that pass",
    "You divide by the number of apps that pass. The attacker began with all of them: divide by all.",
)
def of_the_passing(passes, before, after):
    return (before == after)[passes].double().mean()


@delivered_rate.slip("either", "You count an app if one of the two is true. It takes both: & instead of |.")
def one_of_both(passes, before, after):
    return (passes | (before == after)).double().mean()


@delivered_rate.slip(
    "the broken ones",
    "You count the apps that pass and are broken. Asked are those whose log is what it was: == instead of !=.",
)
def broken(passes, before, after):
    return (passes & (before != after)).double().mean()


@delivered_rate.slip(
    "a count", "This is a number of apps. A rate is a share of all of them: take the mean, not the sum."
)
def how_many(passes, before, after):
    return (passes & (before == after)).double().sum()


@delivered_rate.slip(
    "order of the logs",
    "You compare the logs by size. The numbers only name them: two logs are equal or they are not, so use ==.",
)
def not_more_than_before(passes, before, after):
    return (passes & (after != 0) & (after <= before)).double().mean()


@delivered_rate.right
def one_by_one(passes, before, after):
    rows = list(zip(passes.tolist(), before.tolist(), after.tolist(), strict=True))
    return sum(passed and old == new for passed, old, new in rows) / len(rows)


@delivered_rate.right
def what_is_lost_taken_off(passes, before, after):
    lost = passes & (before != after)
    return passes.float().mean() - lost.float().mean()


@delivered_rate.wrong("crash")
def mean_of_true_and_false(passes, before, after):
    return (passes & (before == after)).mean()


delivered_rate.checks(*ALL)
