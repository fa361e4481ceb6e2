"""Lab 7: what every lab passes, the judge's formulas, and what is shown of a loss."""

import math
from dataclasses import replace

import pytest
import torch
from lab_tests import LabTests
from test_labs import Wire
from torch.nn.functional import cross_entropy, one_hot

from advcourse import defenses, models
from advcourse.core.inputs import InputError, predict
from advcourse.labs import definitions as by_hand
from advcourse.labs.checks import judge
from advcourse.labs.exercises import Draw
from advcourse.labs.lab1.gradients import climb as climb_of_lab_1
from advcourse.labs.lab7 import (
    LAB,
    TASKS,
    climb,
    distillation_loss,
    eat_loss,
    igr_loss,
    mixed_loss,
    pat_loss,
    show,
    sources,
    trades_loss,
    train,
    trying,
    unmask,
    zero_share,
)
from advcourse.labs.lab7.losses import followed, learning
from advcourse.labs.running import Call, LocalRunner


class TestLab7(LabTests):
    lab, written, pictures = LAB, 6, 8


def question(task, kind="normed", seed=5, **how):
    """A question in float64, and a model of it in training mode."""
    case = learning(TASKS[task], Draw(seed), kind, **how).to(torch.float64)
    return case, case.victim.build(torch.float64)


def by_weights(loss, model):
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, tuple(model.parameters()))])


# Attacked images


def test_the_mixed_loss_by_hand():
    """Checks the weighted mean against sums of the losses of one batch, and its limits: weight 1 is the plain mean."""
    case, model = question("mixed_loss")
    k, y = len(case["x_adv"]), case["y"]
    batch = torch.cat([case["x_adv"], case["x"][k:]])
    losses = cross_entropy(model(batch), y, reduction="none").tolist()
    w = case["weight"]
    right = (sum(losses[k:]) + w * sum(losses[:k])) / (len(y) - k + w * k)
    assert mixed_loss.mixed_loss(model, **case.arguments).item() == pytest.approx(right)
    assert mixed_loss.mixed_loss(model, **case.but(weight=1.0).arguments).item() == pytest.approx(
        sum(losses) / len(y)
    )


def test_the_iterates_are_those_of_lab_1():
    """Checks PGD from the image, as the notebook gives it, against the other judge's, written for lab 1."""
    case, model = question("pat_loss")
    still = case.but(replace(case.victim, training=False))
    steps = {name: case[name] for name in ("alpha", "steps")}
    x = case["x"].double()
    expected = climb_of_lab_1(by_hand.model_of(still), x, x, case["y"], case["eps"], **steps)
    given = climb(model.eval(), case["x"], case["y"], case["x"], case["eps"], **steps)
    assert len(given) == case["steps"] + 1 and torch.allclose(given[-1], expected, atol=1e-12)


def test_pat_is_the_librarys_on_the_same_points():
    """Checks a budget of 0, where all attacks are the image: the library's loss, and its gradient, are the author's."""
    case, model = question("pat_loss")
    value, slope = followed(pat_loss.pat_loss, case.but(eps=0.0, start=case["x"]))
    theirs = defenses.PAT(eps=0.0)(model, case["x"], case["y"])
    assert value.item() == pytest.approx(theirs.item())
    assert torch.allclose(slope, by_weights(theirs, model), atol=1e-10)


@pytest.mark.parametrize("seed", [4, 6, 9])
def test_the_last_iterate_is_told_from_the_better_of_two(seed):
    """Checks a wrong answer on cases where after many steps the last iterate is the better one, or the one before it."""
    verdict = LAB.check(pat_loss.last_but_one_if_it_is_worse, "pat_loss", seed)
    assert verdict.key == "best iterate"


@pytest.mark.parametrize("seed", range(6))
def test_eat_is_the_librarys(seed):
    """Checks against `defenses.EAT`, whose source is the number that torch draws first from this seed."""
    case, model = question("eat_loss", n=5)
    static = tuple(victim.build(torch.float64) for victim in case["static"])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        source = int(torch.randint(3, ()))
        torch.manual_seed(seed)
        theirs = defenses.EAT(static, case["eps"])(model, case["x"], case["y"])
    value, slope = sources.with_source(eat_loss.eat_loss, case, source)
    assert value.item() == pytest.approx(theirs.item(), rel=1e-6)
    assert torch.allclose(slope, by_weights(theirs, model), rtol=1e-5, atol=1e-7)


# Flat losses


def test_the_divergence_is_torchs():
    """Checks KL against `torch.distributions`, and that the loss at beta 0 is the clean one."""
    case, model = question("trades_loss")
    z = model(torch.cat([case["x"], case["x_adv"]]))
    p, q = (torch.distributions.Categorical(logits=part) for part in z.chunk(2))
    divergence = torch.distributions.kl_divergence(p, q).mean()
    clean = cross_entropy(z.chunk(2)[0], case["y"])
    right = clean + case["beta"] * divergence
    assert trades_loss.trades_loss(model, **case.arguments).item() == pytest.approx(right.item())
    assert trades_loss.trades_loss(model, **case.but(beta=0.0).arguments).item() == pytest.approx(
        clean.item()
    )


def test_the_penalty_has_a_closed_form():
    """Checks a linear model, whose gradient is (p - e_y) W, written out; and the library's loss on a curved one."""
    case, model = question("igr_loss", "linear")
    logits = model(case["x"])
    gradient = (logits.softmax(1) - one_hot(case["y"], 10)) @ model[1].weight
    right = cross_entropy(logits, case["y"]) + case["weight"] * gradient.square().sum(1).mean()
    value, slope = followed(igr_loss.igr_loss, case)
    assert value.item() == pytest.approx(right.item())
    assert torch.allclose(slope, by_weights(right, model), atol=1e-10)
    case, model = question("igr_loss", "plain")
    theirs = defenses.InputGradientRegularization(case["weight"])(model, case["x"], case["y"])
    value, slope = followed(igr_loss.igr_loss, case)
    assert value.item() == pytest.approx(theirs.item(), rel=1e-6)
    assert torch.allclose(slope, by_weights(theirs, model), rtol=1e-5, atol=1e-7)


def test_distillation_is_the_librarys():
    """Checks against `defenses.DefensiveDistillation`, asked with a teacher that says what the question says."""
    case, model = question("distillation_loss")

    class Teacher(torch.nn.Module):
        def forward(self, x):
            return case["teacher_logits"]

    theirs = defenses.DefensiveDistillation(Teacher(), case["temperature"])(model, case["x"], case.labels)
    assert distillation_loss.distillation_loss(model, **case.arguments).item() == pytest.approx(
        theirs.item(), rel=1e-6
    )


# The hidden gradient


@pytest.mark.parametrize("seed", range(4))
def test_the_share_without_a_gradient_goes_by_margins(seed):
    """Checks the author's share: with the right label the gradient is 0 where all other probabilities are, else never."""
    case = zero_share.both_kinds(TASKS["zero_share"], Draw(seed))
    far = zero_share.margins(case) > (zero_share.ZERO + zero_share.SMALL) / 2
    zero = far & (by_hand.most_likely(case) == case["y"])
    assert zero_share.in_float32(zero_share.zero_share, case).item() == zero.double().mean().item()
    sizes = zero_share.gradient_of(case.victim.build(), **case.arguments).flatten(1).abs().amax(1)
    assert 0.2 < zero.double().mean() < 0.9
    assert ((sizes > 0) & (sizes < 1e-8)).any() and (sizes > 1e-2).any()


def test_the_authors_attack_keeps_to_its_budget():
    """Checks the bounds of the author's attack, and that one step fools fewer than `SHARE` of what all of them do."""
    case = TASKS["unmask"].case(Draw(2), "masked", unmask.DIGITS)
    model = case.victim.build()
    images, once = (unmask.unmask(model, **c.arguments) for c in (case, case.but(steps=1)))
    assert (images - case["x"]).abs().max() <= case["eps"] + 1e-6
    assert images.min() >= 0 and images.max() <= 1
    fooled, by_one = (int((predict(model, x).argmax(1) != case.labels).sum()) for x in (images, once))
    assert by_one < unmask.SHARE * fooled


def test_the_offending_digit_is_shown():
    """Checks the picture of an attack that never starts: its image is the clean one, and its change is 0."""
    verdict = LAB.check(unmask.plain_pgd, "unmask", 3)
    assert verdict.key == "does not move"
    assert torch.equal(verdict.picture.yours.float(), verdict.picture.clean)
    assert "from +0.000 to +0.000" in verdict.picture.alt


# The engine, where the result is a loss


def test_the_slope_is_the_gradient_by_the_weights():
    """Checks the runner's slope against torch's gradient of the same loss, in the order of the model's parameters."""
    case, model = question("igr_loss", "plain")
    call = Call(case.victim, case.arguments, differentiate=True)
    reply = LocalRunner(igr_loss.igr_loss.solution)(call)
    right = igr_loss.igr_loss.solution(model, case["x"], case["y"], case["weight"])
    assert torch.allclose(reply.slope, by_weights(right, model), atol=1e-12)
    assert LocalRunner(igr_loss.item)(call).slope is None
    assert LocalRunner(igr_loss.igr_loss.solution)(replace(call, differentiate=False)).slope is None


def test_a_loss_that_cannot_be_followed_is_a_crash():
    """Checks a graph that the function itself has used up: the error of torch is told, and nothing is raised."""

    def spent(model, x, y, weight):
        loss = igr_loss.igr_loss.solution(model, x, y, weight)
        torch.autograd.grad(loss, tuple(model.parameters()))
        return loss

    verdict = LAB.check(spent, "igr_loss", 0)
    assert verdict.outcome == "crashed" and "backward through the graph a second time" in verdict.trace


@pytest.mark.parametrize("answer", [eat_loss.eat_loss.solution, eat_loss.true_labels])
def test_losses_cross_the_border_too(answer):
    """Checks a question with several models behind JSON and unpickled arrays: the verdict is that of a local function."""
    here, there = (judge(TASKS["eat_loss"], runner(answer), 11) for runner in (LocalRunner, Wire))
    assert here.as_dict() == there.as_dict()


# Trying out


def test_train_teaches_with_the_students_loss(monkeypatch):
    """Checks that a net learns by it, and that what is told is the last of the measured accuracies."""
    for name, value in {"DIGITS": 150, "EPOCHS": 2, "HELD_OUT": 40}.items():
        monkeypatch.setattr(trying, name, value)
    calls = []

    def counted(model, x, x_adv, y, weight):
        calls.append(len(x))
        return mixed_loss.mixed_loss(model, x, x_adv, y, weight)

    trying.ordinary.cache_clear()
    shown = train(counted, "50 %", "mixed_loss")
    trying.ordinary.cache_clear()
    assert calls.count(trying.BATCH) == 6 and repr(shown).endswith("You guessed 50 %.")
    assert shown.png.startswith(b"\x89PNG") and "mixed_loss: " in shown.alt


def test_nothing_is_trained_with_a_wrong_loss():
    """Checks the words for an unwritten and for a wrong answer, and the errors for what is no function or no loss."""

    def pat_loss_unwritten(model, x, y, start, eps, alpha, steps):
        raise NotImplementedError()

    assert repr(train(pat_loss_unwritten, task="pat_loss")) == "pat_loss is not written yet."
    assert "`check(pat_loss)` says why" in repr(train(pat_loss.back_too_late, task="pat_loss"))
    with pytest.raises(InputError, match="function: got 3; allowed is the function itself"):
        train(3)
    with pytest.raises(InputError, match="task: got 'unmask'; allowed are 'mixed_loss'"):
        train(unmask.plain_pgd, task="unmask")


def test_show_tells_the_share_that_was_counted():
    """Checks the share of the distilled net against its own gradients, counted here, and that softer logits have some."""
    x, y = trying.data.load("mnist-5k", "test").pick(trying.HELD_OUT)
    gradient = zero_share.gradient_of(models.load("mnist-distilled"), x, y)
    share = (gradient.flatten(1).abs().amax(1) == 0).double().mean().item()
    told = repr(show(zero_share.zero_share.solution, task="zero_share")).splitlines()[1]
    shares = [int(word) / 100 for word in told.replace("%", " ").split() if word.isdigit()]
    assert math.isclose(shares[0], share, abs_tol=0.0051) and shares[-1] < 0.05 < share


def test_the_lab_has_the_points_it_says():
    """Checks the sum by hand: 3 + 4 + 4 + 3 + 4 + 2 + 2 + 4."""
    assert LAB.points == 26
