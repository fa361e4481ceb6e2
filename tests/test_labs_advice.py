"""What torch's errors mean: each row of the table is met by the true error, raised by a mistake that students make."""

import xml.etree.ElementTree as ET

import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from advcourse.labs.advice import ADVICE, explained, meaning
from advcourse.labs.lab1 import check


def loss_of(model, x, y):
    return cross_entropy(model(x), y)


def copied(x):
    return x.clone().requires_grad_()


def another_copy(model, x, y, eps):
    x_i, other = copied(x), copied(x)
    return torch.autograd.grad(loss_of(model, other, y), x_i)[0]


def no_gradient_required(model, x, y, eps):
    x_i = x.clone()
    loss_of(model, x_i, y).backward()
    return x_i + eps * x_i.grad.sign()


def gradient_of_no_leaf(model, x, y, eps):
    x_i = copied(x) * 1
    loss_of(model, x_i, y).backward()
    return x_i + eps * x_i.grad


def return_is_missing(model, x, y, eps):
    def gradient():
        torch.autograd.grad(loss_of(model, x_i, y), x_i)

    x_i = copied(x)
    return x + eps * torch.sign(gradient())


def without_a_graph(model, x, y, eps):
    x_i = copied(x)
    with torch.no_grad():
        loss = loss_of(model, x_i, y)
    return torch.autograd.grad(loss, x_i)[0]


def by_x_itself(model, x, y, eps):
    return torch.autograd.grad(loss_of(model, x, y), x)[0]


def adds_in_place(model, x, y, eps):
    x_i = copied(x)
    x_i += eps
    return x_i


def sets_a_part(model, x, y, eps):
    x_i = copied(x)
    x_i[:, :, 0] = 1
    return x_i


def one_loss_for_all_steps(model, x, y, eps):
    x_i = copied(x)
    loss = loss_of(model, x_i, y)
    return sum(torch.autograd.grad(loss, x_i)[0] for _ in range(2))


def spoils_the_graph(model, x, y, eps):
    probabilities = model(copied(x)).exp()
    probabilities += 1
    probabilities.sum().backward()


def loss_of_each(model, x, y, eps):
    x_i = copied(x)
    cross_entropy(model(x_i), y, reduction="none").backward()
    return x_i.grad


def to_numpy(model, x, y, eps):
    return torch.tensor(model(copied(x)).numpy())


def labels_as_floats(model, x, y, eps):
    return loss_of(model, x, y.float())


def float_index(model, x, y, eps):
    return model(x)[torch.arange(len(x)), y.float()]


def float_gather(model, x, y, eps):
    return model(x).gather(1, y.float()[:, None])


def float_one_hot(model, x, y, eps):
    return one_hot(y.float(), 10)


def doubles(model, x, y, eps):
    return model(x.double())


def doubled_product(model, x, y, eps):
    return x.flatten(1) @ torch.ones(x[0].numel(), 1, dtype=torch.float64)


def doubled_place(model, x, y, eps):
    x_i = x.clone()
    x_i[torch.tensor([0])] = x[:1].double()
    return x_i


def doubled_scatter(model, x, y, eps):
    return torch.zeros(len(x), 10).scatter(1, y[:, None], torch.ones(len(x), 1, dtype=torch.float64))


def labels_beyond(model, x, y, eps):
    return loss_of(model, x, y + 10)


def index_beyond(model, x, y, eps):
    return model(x)[10 + y]


def gathers_beyond(model, x, y, eps):
    return model(x).gather(1, 10 + y[:, None])


def one_number_each(model, x, y, eps):
    return x / x.flatten(1).norm(dim=1)


def expands(model, x, y, eps):
    return torch.zeros(3).expand(len(x), 2)


def not_flattened(model, x, y, eps):
    return x.flatten(1) @ torch.ones(10, 3)


def reshaped(model, x, y, eps):
    return x.view(7, 7, 7)


def labels_of_one(model, x, y, eps):
    return loss_of(model, x, y[:1])


def if_of_a_batch(model, x, y, eps):
    return x if model(x).argmax(1) == y else x + eps


def sign_of_a_tuple(model, x, y, eps):
    x_i = copied(x)
    return x + eps * torch.autograd.grad(loss_of(model, x_i, y), x_i).sign()


def function_of_a_tuple(model, x, y, eps):
    x_i = copied(x)
    return x + eps * torch.sign(torch.autograd.grad(loss_of(model, x_i, y), x_i))


def times_a_tuple(model, x, y, eps):
    x_i = copied(x)
    return x - torch.autograd.grad(loss_of(model, x_i, y), x_i)


def sign_of_a_pair(model, x, y, eps):
    return x + eps * x.max(1).sign()


def mean_of_a_mask(model, x, y, eps):
    return (model(x).argmax(1) == y).mean()


def gradient_of_labels(model, x, y, eps):
    return y.clone().requires_grad_()


def less_a_half(model, x, y, eps):
    return x + eps * ((model(x).argmax(1) == y) - 0.5).view(-1, 1, 1, 1)


ELEMENT = ET.fromstring('<service xmlns:android="urn:android" android:name=".Sync"/>')


def name_without_its_namespace(model, x, y, eps):
    return ELEMENT.get("android:name").startswith(".")


def a_dot_in_no_name(model, x, y, eps):
    return "." in ELEMENT.get("name")


def attribute_by_its_prefix(model, x, y, eps):
    return ELEMENT.attrib["android:name"]


def no_such_attribute(model, x, y, eps):
    return ELEMENT.attrib["{urn:android}label"]


GUILTY = {
    another_copy: "Compute the loss from that very tensor",
    no_gradient_required: "Here .grad is None",
    gradient_of_no_leaf: "Here .grad is None",
    name_without_its_namespace: "ANDROID + 'name'",
    a_dot_in_no_name: "ANDROID + 'name'",
    attribute_by_its_prefix: "ANDROID + 'name'",
    no_such_attribute: "choose elements by their tag first",
    return_is_missing: "whose `return` is missing",
    without_a_graph: "The loss is not connected",
    by_x_itself: "by a tensor that does not require one",
    adds_in_place: "requires a gradient is changed in place",
    sets_a_part: "requires a gradient is changed in place",
    one_loss_for_all_steps: "compute the loss anew in every step",
    spoils_the_graph: "the gradient still needs was changed in place",
    loss_of_each: "Add them up first, loss.sum()",
    to_numpy: "numpy knows no gradients",
    labels_as_floats: "Labels and indices are whole numbers",
    float_index: "Labels and indices are whole numbers",
    float_gather: "Labels and indices are whole numbers",
    float_one_hot: "Labels and indices are whole numbers",
    doubles: "Numbers of two types meet",
    doubled_product: "Numbers of two types meet",
    doubled_place: "Numbers of two types meet",
    doubled_scatter: "Numbers of two types meet",
    labels_beyond: "A label names a class",
    index_beyond: "An index is larger",
    gathers_beyond: "An index is larger",
    one_number_each: ".view(-1, 1, 1, 1)",
    expands: ".view(-1, 1, 1, 1)",
    not_flattened: "The number of columns on the left",
    reshaped: "another number of values",
    labels_of_one: "another number of values",
    if_of_a_batch: "torch.where(mask, a, b)",
    sign_of_a_tuple: "take its first entry, [0]",
    function_of_a_tuple: "take its first entry, [0]",
    times_a_tuple: "take its first entry, [0]",
    sign_of_a_pair: "Take .values or .indices",
    mean_of_a_mask: "mask.double().mean()",
    less_a_half: "Make numbers of them first, 1 and 0",
    gradient_of_labels: "Only floating-point numbers have gradients",
}


@pytest.mark.parametrize("answer", GUILTY, ids=lambda answer: answer.__name__)
def test_a_students_crash_says_what_it_means(answer):
    """Checks the sentence beneath the trace of a mistake that really raises torch's error."""
    verdict = check(answer, "fgsm", seed=3)
    assert verdict.outcome == "crashed"
    *trace, told = verdict.trace.splitlines()
    assert told.startswith("This means: ") and GUILTY[answer] in told, verdict.trace
    assert f"in {answer.__name__}: " in trace[0] and "Error: " in trace[-1]
    assert told in repr(verdict) and "This means: " in verdict._repr_html_()


def test_every_row_of_the_table_is_met():
    """Checks the table against the mistakes above: each row speaks for one of them at least, but for that of a GPU."""
    spoken = {next(told for _, told in ADVICE if told in check(answer, "fgsm", 3).trace) for answer in GUILTY}
    silent = [told for _, told in ADVICE if told not in spoken]
    assert len(silent) == 1 and "on the GPU" in silent[0]
    assert "where x is" in meaning(
        "RuntimeError: Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"
    )


def test_other_errors_stay_as_they_are():
    """Checks errors that say themselves what is wrong."""
    for trace in ("ZeroDivisionError: division by zero", "NameError: name 'x_adv' is not defined"):
        assert explained(trace) == trace and meaning(trace) == ""
