"""Lab 11: steal a model by its answers, with a budget of questions."""

import torch
from torch import nn
from torch.nn import functional as F

from advcourse.labs.exercises import exercise
from advcourse.labs.lab11.sets import PlainTask
from advcourse.labs.lab11.thief import a_victim, agrees, asks_within_its_budget
from advcourse.labs.properties import answers, keeps_what_it_gets, leaves_nothing_behind, other_device


@exercise(
    "Thief",
    4,
    a_victim,
    (
        "Three steps: choose `budget` images of the pool at random, ask the model about them in one call, train a copy on "
        "images and "
        "answers; then let the copy read `unseen`.",
        "chosen = torch.randperm(len(pool), generator=torch.Generator().manual_seed(0))[:budget]; labels = model(pool[chosen]). "
        "The pool is sorted: its first images are all alike.",
        "A softmax regression is enough: w = torch.zeros(784, 10, requires_grad=True) and b of 10 zeros, torch.optim.Adam([w, "
        "b], lr=0.03), "
        "100 steps of F.cross_entropy(x @ w + b, labels) with x = pool[chosen].flatten(1). Return "
        "(unseen.flatten(1) @ w + b).argmax(1).",
    ),
    shape=lambda case: (len(case["unseen"]),),
    numbers="whole",
    kind=PlainTask,
)
def steal(model, pool, unseen, budget):
    asked = at_random(pool, budget)
    return copied(asked, model(asked), unseen)


def at_random(pool, count):
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(0))
    return pool[order[:count].to(pool.device)]


def copied(asked, labels, unseen, steps=60):
    """What a softmax regression says of `unseen` that learned these labels."""
    w = torch.zeros(asked[0].numel(), 10, device=asked.device, requires_grad=True)
    b = torch.zeros(10, device=asked.device, requires_grad=True)
    optimizer, x = torch.optim.Adam([w, b], lr=0.03), asked.flatten(1)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(x @ w + b, labels).backward()
        optimizer.step()
    return (unseen.flatten(1) @ w + b).argmax(1)


@steal.right
def by_a_small_net(model, pool, unseen, budget):
    asked = at_random(pool, budget)
    labels = torch.cat([model(part) for part in asked.split(50)])
    generator = torch.Generator().manual_seed(1)
    layers = nn.utils.skip_init(nn.Linear, 784, 64), nn.utils.skip_init(nn.Linear, 64, 10)
    for layer in layers:
        spread = layer.weight.shape[1] ** -0.5
        layer.weight.data = spread * torch.randn(layer.weight.shape, generator=generator)
        layer.bias.data.zero_()
    copy = nn.Sequential(nn.Flatten(), layers[0], nn.ReLU(), layers[1]).to(pool.device)
    optimizer = torch.optim.Adam(copy.parameters(), lr=3e-3)
    for _ in range(20):
        for batch in torch.randperm(len(asked), generator=generator).split(50):
            loss = F.cross_entropy(copy(asked[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return copy(unseen).argmax(1)


@steal.right
def one_question_at_a_time(model, pool, unseen, budget):
    asked = at_random(pool, budget)
    labels = torch.stack([model(image[None])[0] for image in asked])
    target = F.one_hot(labels, 10).double() - 0.1
    apart = torch.cdist(asked.flatten(1), asked.flatten(1)).double()
    width = apart.median()
    kernel = (-((apart / width) ** 2)).exp() + 0.01 * torch.eye(
        len(asked), device=apart.device, dtype=apart.dtype
    )
    near = (-((torch.cdist(unseen.flatten(1), asked.flatten(1)).double() / width) ** 2)).exp()
    return (near @ torch.linalg.solve(kernel, target)).argmax(1)


@steal.wrong("budget")
def asks_the_whole_pool(model, pool, unseen, budget):
    return copied(pool, model(pool), unseen)


@steal.wrong("budget")
def seeds_are_free(model, pool, unseen, budget):
    own = at_random(pool, 50)
    first = model(own)
    more = (own + 0.1 * torch.randn(own.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    asked = torch.cat([at_random(pool, budget), more])
    labels = torch.cat([model(part) for part in asked.split(50)])
    return copied(torch.cat([own, asked]), torch.cat([first, labels]), unseen)


@steal.wrong("budget")
def counts_calls(model, pool, unseen, budget):
    asked = at_random(pool, len(pool))
    labels = torch.cat([model(part) for part in asked.split(10)[:budget]])
    return copied(asked, labels, unseen)


@steal.wrong("budget")
def asks_until_it_is_refused(model, pool, unseen, budget):
    asked, labels = at_random(pool, len(pool)), []
    for part in asked.split(40):
        try:
            labels.append(model(part))
        except RuntimeError:
            break
    labels = torch.cat(labels)
    return copied(asked[: len(labels)], labels, unseen)


@steal.wrong("budget")
def one_more(model, pool, unseen, budget):
    asked = at_random(pool, budget + 1)
    return copied(asked, model(asked), unseen)


@steal.wrong("budget")
def a_budget_of_its_own(model, pool, unseen, budget):
    asked = at_random(pool, 300)
    return copied(asked, model(asked), unseen)


@steal.wrong("asks about the test")
def asks_what_it_is_tested_on(model, pool, unseen, budget):
    half = budget // 2
    asked = torch.cat([at_random(pool, budget - half), unseen[:half]])
    labels = model(asked)
    return torch.cat([labels[budget - half :], copied(asked, labels, unseen[half:])])


@steal.wrong("a few kinds")
def the_first_of_the_pool(model, pool, unseen, budget):
    return copied(pool[:budget], model(pool[:budget]), unseen)


@steal.wrong("questions of another kind")
def asks_about_noise(model, pool, unseen, budget):
    asked = torch.rand((budget, *pool.shape[1:]), generator=torch.Generator().manual_seed(0)).to(pool)
    return copied(asked, model(asked), unseen)


@steal.wrong("questions of another kind")
def asks_about_random_blots(model, pool, unseen, budget):
    order = torch.randperm(784, generator=torch.Generator().manual_seed(0)).to(pool.device)
    asked = at_random(pool, budget).flatten(1)[:, order].view(-1, 1, 28, 28)
    return copied(asked, model(asked), unseen)


@steal.wrong("never asked")
def without_a_question(model, pool, unseen, budget):
    return torch.zeros(len(unseen), dtype=torch.long)


@steal.wrong("hardly asked")
def a_tenth_of_the_budget(model, pool, unseen, budget):
    asked = at_random(pool, budget // 10)
    return copied(asked, model(asked), unseen)


@steal.wrong("hardly asked")
def the_same_few_again(model, pool, unseen, budget):
    asked = at_random(pool, max(1, budget // 10))
    return copied(asked, torch.stack([model(asked) for _ in range(10)])[0], unseen)


@steal.wrong("agreement")
def hardly_trained(model, pool, unseen, budget):
    asked = at_random(pool, budget)
    return copied(asked, model(asked), unseen, steps=1)


@steal.wrong("agreement")
def labels_in_another_order(model, pool, unseen, budget):
    asked = at_random(pool, budget)
    return copied(asked, model(asked).sort().values, unseen)


@steal.wrong("no class")
def counts_classes_from_one(model, pool, unseen, budget):
    return steal(model, pool, unseen, budget) + 1


@steal.wrong("shape")
def labels_of_the_pool(model, pool, unseen, budget):
    return steal(model, unseen, pool, min(budget, len(unseen)))


@steal.wrong("shape")
def scores(model, pool, unseen, budget):
    asked = at_random(pool, budget)
    return F.one_hot(copied(asked, model(asked), unseen), 10)


@steal.wrong("crash")
def looks_inside(model, pool, unseen, budget):
    return model.net(unseen).argmax(1)


@steal.wrong("crash")
def asks_for_probabilities(model, pool, unseen, budget):
    asked = at_random(pool, budget)
    return copied(asked, model(asked).argmax(1), unseen)


@steal.wrong("random state")
def seeds_everything(model, pool, unseen, budget):
    torch.manual_seed(0)
    asked = pool[torch.randperm(len(pool))[:budget]]
    return copied(asked, model(asked), unseen)


@steal.wrong("input")
def sharpens_in_place(model, pool, unseen, budget):
    unseen[unseen < 0.5] = 0
    return steal(model, pool, unseen, budget)


steal.checks(
    asks_within_its_budget,
    answers,
    keeps_what_it_gets,
    agrees,
    other_device,
    leaves_nothing_behind,
)
