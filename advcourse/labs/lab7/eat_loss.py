"""Lab 7: the loss of clean images and of those that one of several networks attacks."""

import copy
import random

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from advcourse.labs.exercises import Case, Draw, exercise
from advcourse.labs.lab7.answering import drawn, evaluating, kept_off, of_probabilities, of_ten_classes, own
from advcourse.labs.lab7.losses import (
    FIRST,
    LAST,
    PARTLY,
    SOFTMAX_TWICE,
    TaughtTask,
    in_logarithms,
    one_number,
)
from advcourse.labs.lab7.sources import counts_its_sources, draws_evenly, follows_its_source
from advcourse.labs.victims import Victim


def two_others(draw: Draw, x: Tensor) -> dict[str, object]:
    """Two static networks, a budget, and a seed."""
    shape = tuple(x.shape[1:])
    static = tuple(Victim(kind, draw.integer(), shape) for kind in ("plain", "smooth"))
    return {"static": static, "eps": draw.number(0.1, 0.3), "seed": draw.integer() // 2}


def source_of(model, static, seed):
    return [*static, model][drawn(len(static) + 1, seed)]


def still(model):
    """A copy in eval mode."""
    return copy.deepcopy(model).eval()


def slope(source, x, label):
    """The gradient of each image's loss."""
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(cross_entropy(source(x), label, reduction="sum"), x)[0]


def step(source, x, eps, label):
    """FGSM."""
    return (x + eps * slope(source, x, label).sign()).clamp(0, 1)


def own_step(source, x, eps, kind=nn.Module):
    """FGSM at the source's own answer, with its layers of this kind in eval mode."""
    with evaluating(source, kind):
        return step(source, x, eps, source(x).argmax(1))


def both(model, x, x_adv, y, loss=own):
    return loss(model(torch.cat([x, x_adv])), torch.cat([y, y])).mean()


@exercise(
    "Attacks from elsewhere, and no label leaks",
    4,
    two_others,
    (
        "sources = [*static, model]. A generator of your own, with this seed, draws one number below len(sources): "
        "torch.randint(n, (), generator=g).",
        "The source's own answers, source(x_i).argmax(1), stand where the label stood in FGSM. If the source is the model, it "
        "must be in eval mode for that: note the mode, model.eval(), and put it back before the loss.",
        "x_adv = (x + eps * gradient.sign()).clamp(0, 1); return cross_entropy(model(torch.cat([x, x_adv])), torch.cat([y, "
        "y])), whose mean over 2N images is the mean of both losses.",
    ),
    shape=one_number,
    kind=TaughtTask,
)
def eat_loss(model, static, x, y, eps, seed):
    return both(model, x, own_step(source_of(model, static, seed), x, eps), y)


@eat_loss.slip(
    "label leaks",
    "The step climbs the loss of the true labels y. So it tells the label to the model, which learns to read it off the "
    "perturbation. Climb the loss of the source's own answers, source(x).argmax(1).",
)
def true_labels(model, static, x, y, eps, seed):
    source = source_of(model, static, seed)
    with evaluating(source):
        x_adv = step(source, x, eps, y)
    return both(model, x, x_adv, y)


@eat_loss.slip(
    "another's answer",
    "The step on a static network climbs the loss of what the learning model answers. Each source is attacked at its own "
    "answer.",
)
def what_the_model_says(model, static, x, y, eps, seed):
    source = source_of(still(model), static, seed)
    return both(model, x, step(source, x, eps, still(model)(x).argmax(1)), y)


@eat_loss.slip(
    "source in training mode",
    "Where the model itself is the source, it is attacked in training mode. Put it into eval mode for its answer and the "
    "attack, and back before the loss.",
)
def mode_forgotten(model, static, x, y, eps, seed):
    source = copy.deepcopy(source_of(model, static, seed))  # its statistics move, the model's do not
    return both(model, x, step(source, x, eps, still(source)(x).argmax(1)), y)


@eat_loss.slip(*PARTLY)
def batch_normalisation_alone_in_eval_mode(model, static, x, y, eps, seed):
    source = source_of(copy.deepcopy(model), static, seed)
    return both(model, x, own_step(source, x, eps, nn.BatchNorm2d), y)


@eat_loss.slip("partly in training mode")
def dropout_alone_in_eval_mode(model, static, x, y, eps, seed):
    source = source_of(copy.deepcopy(model), static, seed)
    return both(model, x, own_step(source, x, eps, nn.Dropout), y)


@eat_loss.slip(
    "loss in eval mode",
    "The loss is taken in eval mode. Put the mode back before the loss, not after it.",
)
def back_too_late(model, static, x, y, eps, seed):
    with evaluating(model):
        return eat_loss(model, static, x, y, eps, seed)


@eat_loss.slip(*SOFTMAX_TWICE)
def probabilities_as_logits(model, static, x, y, eps, seed):
    return both(model, x, own_step(source_of(model, static, seed), x, eps), y, of_probabilities)


@eat_loss.slip("downhill", "The step makes the source surer of its answer. Go up the gradient of the loss.")
def surer_of_itself(model, static, x, y, eps, seed):
    return eat_loss(model, static, x, y, -eps, seed)


@eat_loss.slip("no clip", "The attacked images are not clipped to [0, 1]: x_adv.clamp(0, 1).")
def out_of_the_box(model, static, x, y, eps, seed):
    source = source_of(still(model), static, seed)
    return both(model, x, x + eps * slope(source, x, source(x).argmax(1)).sign(), y)


@eat_loss.slip(
    "two passes",
    "Clean and attacked images go through the model one after the other. Each pass has statistics of its own in batch "
    "normalisation: give the model one batch of twice the size.",
)
def one_after_the_other(model, static, x, y, eps, seed):
    x_adv = own_step(source_of(model, static, seed), x, eps)
    return (cross_entropy(model(x), y) + cross_entropy(model(x_adv), y)) / 2


@eat_loss.slip(
    "attacked images alone",
    "This is the loss of the attacked images alone. Half of it is that of the clean ones.",
)
def no_clean_images(model, static, x, y, eps, seed):
    return cross_entropy(model(own_step(source_of(model, static, seed), x, eps)), y)


@eat_loss.slip(
    "clean images alone",
    "This is the loss of the clean images alone. Half of it is that of the attacked ones.",
)
def no_attacked_images(model, static, x, y, eps, seed):
    return cross_entropy(model(x), y)


@eat_loss.slip("sum of both", "The two losses are added up. Take their mean.")
def not_halved(model, static, x, y, eps, seed):
    return 2 * eat_loss(model, static, x, y, eps, seed)


@eat_loss.slip("sum of both")
def two_passes_not_halved(model, static, x, y, eps, seed):
    return 2 * one_after_the_other(model, static, x, y, eps, seed)


@eat_loss.slip(
    "all sources",
    "All sources attack every batch. Draw one of them for each batch, from the generator with this seed.",
)
def everyone_attacks(model, static, x, y, eps, seed):
    batch = torch.cat([x, *(own_step(source, x, eps) for source in (*static, model))])
    return cross_entropy(model(batch), y.repeat(2 + len(static)))


@eat_loss.slip("all sources")
def mean_of_everyone(model, static, x, y, eps, seed):
    attacked = [own_step(source, x, eps) for source in (*static, model)]
    return torch.stack([both(model, x, x_adv, y) for x_adv in attacked]).mean()


@eat_loss.right
def on_a_copy_and_with_pythons_generator(model, static, x, y, eps, seed):
    source = random.Random(seed).choice([still(model), *static])
    images = x.detach().clone().requires_grad_()
    logits = source(images)
    logits.log_softmax(1).amax(1).sum().backward(inputs=[images])
    x_adv = (x - eps * images.grad.sign()).clamp(0, 1)
    clean, attacked = model(torch.cat([x, x_adv])).chunk(2)
    return (cross_entropy(clean, y) + cross_entropy(attacked, y)) / 2


@eat_loss.wrong("mode lost")
def left_in_eval_mode(model, static, x, y, eps, seed):
    return eat_loss(model.eval(), static, x, y, eps, seed)


@eat_loss.wrong("always training")
def all_are_trained(model, static, x, y, eps, seed):
    return eat_loss(model.train(), static, x, y, eps, seed)


@eat_loss.wrong("not repeatable")
def a_fresh_draw_each_time(model, static, x, y, eps, seed):
    return eat_loss(model, static, x, y, eps, random.SystemRandom().randrange(2**31))


@eat_loss.wrong("no draw")
def always_the_first(model, static, x, y, eps, seed):
    return both(model, x, own_step(static[0], x, eps), y)


@eat_loss.wrong("never itself")
def others_only(model, static, x, y, eps, seed):
    return both(model, x, own_step(static[drawn(len(static), seed)], x, eps), y)


@eat_loss.wrong("one left out")
def last_one_never_drawn(model, static, x, y, eps, seed):
    return eat_loss(model, static[:-1], x, y, eps, seed)


@eat_loss.wrong("random state")
def global_draw(model, static, x, y, eps, seed):
    torch.manual_seed(seed)
    source = [*static, model][int(torch.randint(1 + len(static), ()))]
    return both(model, x, own_step(source, x, eps), y)


@eat_loss.wrong("detached")
def graph_lost(model, static, x, y, eps, seed):
    return eat_loss(model, static, x, y, eps, seed).detach()


@eat_loss.wrong("formula")
def half_the_budget(model, static, x, y, eps, seed):
    return eat_loss(model, static, x, y, eps / 2, seed)


@eat_loss.wrong("crash")
def added_tuples(model, static, x, y, eps, seed):
    sources = static + model
    return both(model, x, own_step(sources[drawn(len(sources), seed)], x, eps), y)


@eat_loss.wrong("taken in turn")
def remainder_of_the_seed(model, static, x, y, eps, seed):
    return both(model, x, own_step([*static, model][seed % (1 + len(static))], x, eps), y)


@eat_loss.wrong("other amount")
def always_three(model, static, x, y, eps, seed):
    return both(model, x, own_step([*static, model][drawn(3, seed)], x, eps), y)


@eat_loss.wrong("logarithm of a softmax")
def kept_off_0(model, static, x, y, eps, seed):
    return both(model, x, own_step(source_of(model, static, seed), x, eps), y, kept_off(1e-8))


@eat_loss.wrong("other classes")
def ten_classes(model, static, x, y, eps, seed):
    return both(model, x, own_step(source_of(model, static, seed), x, eps), y, of_ten_classes)


@eat_loss.wrong("label leaks")
def true_labels_on_itself_alone(model, static, x, y, eps, seed):
    source = source_of(still(model), static, seed)
    label = source(x).argmax(1) if source in static else y
    return both(model, x, step(source, x, eps, label), y)


@eat_loss.wrong("formula")
def own_answers_as_targets(model, static, x, y, eps, seed):
    source = source_of(still(model), static, seed)
    batch = torch.cat([x, own_step(source, x, eps)])
    return cross_entropy(model(batch), torch.cat([y, source(x).argmax(1)]))


@eat_loss.wrong("formula")
def without_the_sign(model, static, x, y, eps, seed):
    source = source_of(still(model), static, seed)
    return both(model, x, (x + eps * slope(source, x, source(x).argmax(1))).clamp(0, 1), y)


def itself_or_another(model, static, seed, share):
    """The model with a probability of `share`, or one of the others."""
    generator = torch.Generator().manual_seed(seed)
    if torch.rand((), generator=generator) < share:
        return model
    return static[int(torch.randint(len(static), (), generator=generator))]


@eat_loss.wrong("not uniform")
def itself_half_of_the_time(model, static, x, y, eps, seed):
    return both(model, x, own_step(itself_or_another(model, static, seed, 0.5), x, eps), y)


@eat_loss.wrong("not uniform")
def itself_mostly(model, static, x, y, eps, seed):
    return both(model, x, own_step(itself_or_another(model, static, seed, 0.6), x, eps), y)


def no_attack(case: Case) -> dict[str, float]:
    """A budget of 0, where all sources give the image."""
    return {"eps": 0.0}


eat_loss.checks(
    *FIRST,
    counts_its_sources,
    follows_its_source,
    draws_evenly,
    in_logarithms(eat_loss, change=no_attack),
    *LAST,
)
