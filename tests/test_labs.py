"""The engine of the labs: outcomes, the border between asking and judging, what a check leaves behind."""

import io
import json
import random
import re
import sys
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import cross_entropy

from advcourse import data
from advcourse.core.inputs import InputError
from advcourse.labs.checks import judge
from advcourse.labs.exercises import Draw
from advcourse.labs.lab1 import LAB, TASKS, check, hint, measure
from advcourse.labs.lab1 import fgsm as fgsm_answers
from advcourse.labs.lab1 import pgd as pgd_answers
from advcourse.labs.running import Call, LocalRunner, Reply
from advcourse.labs.victims import KINDS, Victim

fgsm = fgsm_answers.fgsm.solution


def outcome(function, task="fgsm", seed=0):
    verdict = check(function, task, seed)
    assert verdict.right == (verdict.points > 0)
    return verdict.outcome


# Outcomes


def test_the_four_outcomes():
    """Checks each outcome on a function that is by its construction right, wrong, unwritten or broken."""

    def unwritten(model, x, y, eps):
        raise NotImplementedError()

    def crashing(model, x, y, eps):
        return model.no_such_thing(x)

    assert outcome(fgsm) == "right"
    assert outcome(fgsm_answers.sign_flipped) == "wrong"
    assert outcome(unwritten) == "not attempted yet"
    assert outcome(crashing) == "crashed"


@pytest.mark.parametrize("value", [None, ..., NotImplemented])
def test_nothing_returned_is_not_attempted(value):
    """Checks the three values that stand for nothing, and that the message asks after a missing return."""
    verdict = check(lambda model, x, y, eps: value, "fgsm")
    assert verdict.outcome == "not attempted yet" and "return" in verdict.message


def test_a_crash_names_the_students_line():
    """Checks the trace against this file's own text: the failing line, its function, and the error; no line of a library."""

    def step(x):
        return x.reshape(7, 7, 7)  # the line to be named

    def broken(model, x, y, eps):
        return step(x)

    verdict = check(broken, "fgsm")
    lines = verdict.trace.splitlines()
    assert [re.sub(r"\d+", "N", line) for line in lines[:2]] == [
        "line N, in broken: return step(x)",
        "line N, in step: return x.reshape(N, N, N)  # the line to be named",
    ]
    number = int(lines[1].split()[1].rstrip(","))
    with open(__file__, encoding="utf-8") as file:
        assert "the line to be named" in file.readlines()[number - 1]
    assert lines[2].startswith("RuntimeError: shape") and len(lines) == 4
    assert lines[3].startswith("This means: The tensor holds another number of values")
    assert "the line to be named" in repr(verdict) and "RuntimeError" in verdict._repr_html_()


def test_a_missing_helper_is_named():
    """Checks that a stub of another task, reached through the answer, counts as not attempted and is named."""

    def project(x_adv, x, eps):
        raise NotImplementedError()

    verdict = check(lambda model, x, y, eps: project(x, x, eps), "fgsm")
    assert verdict.outcome == "not attempted yet" and "project" in verdict.message


def test_torchs_own_not_implemented_is_a_crash():
    """Checks against torch itself, which raises NotImplementedError for operations that a type does not have."""

    def half_done(model, x, y, eps):
        raise NotImplementedError('"fancy_kernel" not implemented for this type') from None

    def torch_raises(model, x, y, eps):
        torch.library.define("advcourse_test::nothing", "(Tensor x) -> Tensor")
        return torch.ops.advcourse_test.nothing(x)

    assert outcome(half_done) == "not attempted yet"  # a raise of the student's own
    assert outcome(torch_raises) == "crashed"


def test_ending_the_program_is_a_crash():
    """Checks that exit() in an answer does not end the notebook's process."""
    assert check(lambda model, x, y, eps: sys.exit(0), "fgsm").outcome == "crashed"


# The verdict


def test_a_verdict_shows_words_and_a_small_picture():
    """Checks the HTML for the word, the message and the alternative text, and the PNG's size in pixels with Pillow."""
    verdict = check(fgsm_answers.sign_flipped, "fgsm", seed=3)
    page = verdict._repr_html_()
    assert "fgsm: wrong" in page and "0 of 2 points" in page and verdict.message in page
    assert re.search(r'alt="Three pictures: .* the change, from -0\.\d+ to \+0\.\d+\."', page)
    picture = Image.open(io.BytesIO(verdict.picture.png()))
    assert picture.format == "PNG" and max(picture.size) <= 80 * 8 and len(verdict.picture.png()) < 30_000
    assert "seed=3" in repr(verdict) and "seed" not in repr(check(fgsm, "fgsm"))


def test_a_terminal_is_told_of_the_picture_in_the_notebook():
    """Checks the words of a verdict where no picture can be seen: what it shows, its numbers, and where to see it."""
    verdict = check(fgsm_answers.sign_flipped, "fgsm", seed=3)
    told = verdict.picture.alt.removeprefix("Three pictures: ")
    assert f"The notebook also shows a picture: {told}" in repr(verdict) and "Three pictures" not in repr(
        verdict
    )
    assert "picture" not in repr(check(fgsm, "fgsm"))


def test_a_verdict_is_data():
    """Checks that it survives JSON, with the points of the task."""
    verdict = check(fgsm_answers.sign_flipped, "fgsm", seed=3)
    again = json.loads(json.dumps(verdict.as_dict()))
    assert (again["task"], again["outcome"], again["key"], again["points"], again["possible"]) == (
        "fgsm",
        "wrong",
        "descends",
        0,
        2,
    )


def test_html_in_a_students_error_is_escaped():
    """Checks that an error text with markup cannot become markup."""

    def evil(model, x, y, eps):
        raise ValueError("<script>alert(1)</script>")

    assert "<script>" not in check(evil, "fgsm")._repr_html_()


def test_a_seed_repeats_a_check_and_fresh_ones_differ():
    """Checks messages that hold drawn numbers: equal for one seed, not equal for fresh ones."""
    told = [check(fgsm_answers.twice_the_budget, "fgsm", seed=5).message for _ in range(2)]
    assert told[0] == told[1]
    assert len({check(fgsm_answers.twice_the_budget, "fgsm").message for _ in range(4)}) > 1


def test_bad_arguments_are_told():
    """Checks that each message names the argument and what is allowed."""
    with pytest.raises(InputError, match=r"function: got 3; allowed is the function"):
        check(3)
    with pytest.raises(InputError, match=r"task: got 'nothing'; allowed are 'fgsm'"):
        check(fgsm, "nothing")
    with pytest.raises(InputError, match=r"seed: got -1"):
        check(fgsm, "fgsm", seed=-1)
    with pytest.raises(InputError, match=r"level: got 9; allowed is an integer >= 1 and <= 3"):
        hint("fgsm", 9)


class Callable:
    """A right answer to `fgsm` that is an object with `__call__`: it has no name of its own."""

    def __call__(self, model, x, y, eps):
        return fgsm(model, x, y, eps)


@pytest.mark.parametrize(
    "nameless, called",
    [
        (lambda model, x, y, eps: fgsm(model, x, y, eps), "'<lambda>'"),
        (partial(fgsm), "a partial object, which has no name"),
        (Callable(), "a Callable object, which has no name"),
        (fgsm_answers.sign_flipped, "'sign_flipped'"),
    ],
    ids=["lambda", "partial", "object", "other name"],
)
def test_a_function_of_another_name_is_told_how_to_name_its_task(nameless, called):
    """Checks the sentence against the call that works: what it says to write is what makes the check run."""
    with pytest.raises(InputError) as told:
        check(nameless)
    assert str(told.value).startswith(f"task: got {called}; allowed are 'fgsm', 'llc'")
    assert 'check(f, "fgsm")' in str(told.value)
    assert check(nameless, "fgsm").outcome in ("right", "wrong")


# What a check leaves behind


def test_a_check_restores_everything():
    """Checks the process against itself: random states, gradient mode, default type and standard output, after rude answers."""

    def rude(model, x, y, eps):
        torch.manual_seed(7)
        np.random.seed(7)
        random.seed(7)
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        print("noise")
        raise ValueError

    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    for answer in (rude, fgsm):
        check(answer, "fgsm")
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all() and random.getstate() == before[2]
    assert torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32


def test_answers_print_nothing_into_the_verdict(capsys):
    """Checks the captured output: notebooks' graders take a line on stderr for a failure."""

    def loud(model, x, y, eps):
        print("step", file=sys.stderr)
        print("step")
        return fgsm(model, x, y, eps)

    assert outcome(loud) == "right"
    assert capsys.readouterr() == ("", "")


def test_digits_and_models_are_not_the_students():
    """Checks that an answer which ruins all it gets ruins no later check: the library's digits and models stay as they are."""

    def vandal(model, x, y, eps):
        with torch.no_grad():
            x.zero_()
            for parameter in model.parameters():
                parameter.zero_()
        return x

    assert outcome(vandal) == "wrong"
    assert outcome(fgsm) == "right"
    assert len(data.load("mnist-5k").images.unique()) > 2


# The border


class Wire:
    """A runner behind arrays in numpy's format and JSON: what another process would see of a call."""

    def __init__(self, function):
        self._inner, self.has_gpu = LocalRunner(function), False

    def parameters(self):
        return tuple(json.loads(json.dumps(self._inner.parameters())))

    def __call__(self, call):
        arrays = {k: self._array(v) for k, v in call.arguments.items() if isinstance(v, torch.Tensor)}
        victims = {k: v for k, v in call.arguments.items() if isinstance(v, tuple)}
        plain = {k: v for k, v in call.arguments.items() if k not in arrays and k not in victims}
        victims = {k: [vars(victim) for victim in v] for k, v in victims.items()}
        victims[""] = [vars(call.victim)] if call.victim else [None]
        sent = json.loads(
            json.dumps([plain, victims, {"device": call.device, "differentiate": call.differentiate}])
        )
        victims = {k: tuple(map(self._victim, v)) for k, v in sent[1].items()}
        (victim,) = victims.pop("")
        known = {**arrays, **sent[0], **victims}
        reply = self._inner(Call(victim, {name: known[name] for name in call.arguments}, **sent[2]))
        found = {k: self._array(v) for k, v in vars(reply).items() if isinstance(v, torch.Tensor)}
        told = json.loads(json.dumps({k: v for k, v in vars(reply).items() if k not in found}))
        return Reply(**{**told, "left": tuple(told["left"]), **found})

    @staticmethod
    def _victim(fields):
        return fields and Victim(**{**fields, "shape": tuple(fields["shape"])})

    @staticmethod
    def _array(tensor):
        file = io.BytesIO()
        np.save(file, tensor.detach().numpy(), allow_pickle=False)
        return torch.from_numpy(np.load(io.BytesIO(file.getvalue()), allow_pickle=False))


@pytest.mark.parametrize(
    "task, function",
    [
        ("fgsm", fgsm),
        ("fgsm", fgsm_answers.sign_flipped),
        ("fgsm", fgsm_answers.changes_x_in_place),
        ("pgd", pgd_answers.last_restart),
    ],
)
def test_all_that_crosses_the_border_is_numbers_strings_and_arrays(task, function):
    """Checks the judge behind JSON and unpickled arrays against the judge of a local function: the same verdict."""
    here, there = (judge(TASKS[task], runner(function), 11) for runner in (LocalRunner, Wire))
    assert here.as_dict() == there.as_dict()


def test_the_judges_copy_is_its_own():
    """Checks that a result changed after it was returned, or a subclass that lies about its contents, changes no verdict."""
    kept = []

    class Liar(torch.Tensor):
        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            return torch.zeros(1)

    def keeps(model, x, y, eps):
        kept.append(fgsm(model, x, y, eps))
        for old in kept[:-1]:
            old.zero_()
        return kept[-1]

    def lies(model, x, y, eps):
        return fgsm_answers.sign_flipped(model, x, y, eps).as_subclass(Liar)

    assert outcome(keeps) == "right"
    assert check(lies, "fgsm").key == "descends"


def test_a_model_of_another_type_is_a_changed_model():
    """Checks the comparison of weights where the answer has turned them into another type, which torch cannot compare."""

    def doubles(model, x, y, eps):
        return fgsm(model.double(), x.double(), y, eps).float()

    assert check(doubles, "fgsm").key == "parameters"


@pytest.mark.parametrize("kind", KINDS)
def test_a_recipe_builds_the_same_model_twice(kind):
    """Checks two builds of one recipe on the same images, and that no global random number is drawn."""
    recipe = Victim(kind, seed=4, shape=(1, 28, 28), classes=10 if kind != "two hills" else 2)
    before = torch.get_rng_state()
    first, second = recipe.build(), recipe.build()
    assert torch.equal(before, torch.get_rng_state())
    x, _ = Draw(0).images(4)
    answer = first(x)
    assert torch.equal(answer, second(x)) and not first.training
    told = [{**net.state_dict(), **dict(net.named_parameters())} for net in (first, second)]
    assert not {part.data_ptr() for part in told[0].values()} & {part.data_ptr() for part in told[1].values()}
    for module in first.modules():  # what is done to one is not felt by the other
        module.register_forward_hook(lambda module, given, out: out * 0 + 1)
        module.mark = True
    assert torch.equal(second(x), answer) and not any(hasattr(module, "mark") for module in second.modules())


@pytest.mark.gpu
def test_an_answer_that_stays_on_the_cpu_is_told():
    """Checks the property that asks for another device, with an answer that moves all it gets to the CPU."""

    def stays_home(model, x, y, eps):
        return fgsm(model.cpu(), x.cpu(), y.cpu(), eps)

    assert check(stays_home, "fgsm").key == "other device"


# Trying out


def test_measure_counts_as_the_metrics_do():
    """Checks the count against the library's own attack, whose images are the same, judged by hand."""
    result = measure(fgsm, 40, n=50, eps=0.3)
    images = result.images
    model = Victim("mnist-cnn").build()
    with torch.no_grad():
        assert torch.equal(model(images).argmax(1), result.predictions)
    assert re.search(rf"{round(result.rate * 50)} of 50 digits. You guessed 40", repr(result))
    assert "The model sees" in result._repr_html_()


def test_measure_says_what_is_missing():
    """Checks the text for an unwritten answer and for one that returns no images."""

    def unwritten(model, x, y, eps):
        raise NotImplementedError()

    assert repr(measure(unwritten, eps=0.3)) == "unwritten is not written yet."
    assert "The function returned no images" in repr(
        measure(lambda model, x, y, eps: cross_entropy(model(x), y), eps=0.3)
    )


def test_the_lab_has_the_points_it_says():
    """Checks the sum by hand: 2 + 2 + 3 + 2 + 4 + 3 + 5 + 3."""
    assert LAB.points == 24 and list(TASKS) == [
        "fgsm",
        "llc",
        "rfgsm",
        "project",
        "bim",
        "mifgsm",
        "pgd",
        "project_l2",
    ]
