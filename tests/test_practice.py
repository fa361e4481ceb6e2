"""The cells to fill in: every right answer passes, every known mistake is told its own sentence, and nothing stops a notebook."""

import subprocess
import sys
from collections import Counter

import nbformat
import pytest
import torch
from amounts import amount
from scipy.optimize import linprog

from advcourse import practice
from advcourse.core.errors import InputError
from advcourse.grading.run.staging import stage
from advcourse.labs.exercises import Draw
from advcourse.labs.release import labs
from advcourse.practice import checking
from advcourse.practice.tasks import LEVELS, small_exercise

TASKS = checking.tasks()
ANSWERS = [(name, function, "") for name, task in TASKS.items() for function in task.rights]
ANSWERS += [(name, function, key) for name, task in TASKS.items() for key, function in task.wrongs]
SEEDS = range(amount(8, 200))


def named(case):
    """A test's name for one answer."""
    name, function, _ = case
    return f"{name}-{function.__name__}"


def told(verdict):
    """All that a reader is shown, in a terminal and in a notebook."""
    return f"{verdict!r}\n{verdict._repr_html_()}"


# The answers


@pytest.mark.parametrize("case", ANSWERS, ids=named)
def test_each_answer_gets_its_verdict(case):
    """Checks right answers, written differently, and wrong ones against the mistake that each was written to make. With all seeds
    the rate at which a wrong one passes is 0."""
    name, function, key = case
    found = Counter(practice.check(function, name, seed).key for seed in SEEDS)
    assert found == {key: len(SEEDS)}
    assert practice.check(function, name).right == (not key)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_each_task_is_whole(task):
    """Checks what the course demands of a cell: four mistakes with a sentence each, three right answers, two hints, no points."""
    sentences = {slip.message for slip in task.slips}
    assert len(sentences) == len({slip.key for slip in task.slips}) >= 4
    assert len(task.rights) >= 3 and len(task.hints) == 2 and task.points == 0
    assert task.level in LEVELS and 1 <= task.minutes <= 10
    assert max(value.numel() for case in task.cases_by_hand() for value in tensors(case)) <= 5


def tensors(case):
    return [value for value in case.arguments.values() if isinstance(value, torch.Tensor)]


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_no_points_appear(task):
    """Checks what is shown for a right answer, every mistake and an unwritten cell, for words that speak of a score."""
    functions = [*task.rights, *(function for _, function in task.wrongs), unwritten(task)]
    for function in functions:
        text = told(practice.check(function, task.name))
        assert "points" not in text and "seed" not in text


# The author's answers, against what is not ours


def test_fgsm_step_by_hand():
    """Against three pixels worked out by hand: up, down, and up as far as 1."""
    x, gradient = torch.tensor([0.2, 0.5, 0.95]), torch.tensor([0.3, -1.2, 0.04])
    expected = torch.tensor([0.3, 0.4, 1.0])
    torch.testing.assert_close(TASKS["fgsm_step"](x, gradient, 0.1), expected)


def test_r_fgsm_by_hand():
    """Against three pixels worked out by hand. After the random step they stand at 0.56, 1 and 0; the loss is highest at
    0.52, 0.3 and -0.5, so each goes down by 0.2 - 0.06, the last one as far as 0."""
    x, corner = torch.tensor([0.5, 0.98, 0.03]), torch.tensor([1.0, 1.0, -1.0])
    top = torch.tensor([0.52, 0.3, -0.5])
    result = TASKS["r_fgsm"](x, corner, lambda z: top - z, 0.2, 0.06)
    torch.testing.assert_close(result, torch.tensor([0.42, 0.86, 0.0]))


def test_success_rates_by_hand():
    """Against five images counted by hand: one reaches the target 8, and three are misread."""
    predicted, y = torch.tensor([8, 1, 2, 0, 5]), torch.tensor([3, 1, 7, 0, 6])
    assert [float(rate) for rate in TASKS["success_rates"](predicted, y, torch.full_like(y, 8))] == [0.2, 0.6]


def test_transfer_rate_by_hand():
    """Against three images that fool the source, one of which fools the other model too; and against nothing over nothing."""
    source, other = torch.tensor([1, 1, 1, 0, 0]) == 1, torch.tensor([1, 0, 0, 1, 0]) == 1
    assert float(TASKS["transfer_rate"](source, other)) == pytest.approx(1 / 3)
    assert TASKS["transfer_rate"](source & False, other).isnan()


NO, YES = False, True
IN_HAND = [  # chapter 00
    (
        "coin_noise",
        (torch.tensor([0.5, 0.95, 0.04]), 0.1, torch.tensor([NO, YES, NO])),
        [0.4, 1, 0],
    ),
    (
        "within_budget",
        (torch.tensor([[0.5, 0.5], [0.5, 0.5]]), torch.tensor([[0.75, 0.25], [0.5, 0.125]]), 0.25),
        [1, 0],
    ),
    (
        "success_rate",
        (torch.tensor([3, 1, 7, 0, 6]), torch.tensor([8, 1, 1, 0, 6]), torch.tensor([3, 1, 7, 6, 5])),
        2 / 3,  # of the first three, which are right before; the other two are not
    ),
    # chapter 03: the first pixel reaches the ball's edge, the second white, the third goes back
    (
        "bim_step",
        (
            torch.tensor([0.5, 0.95, 0.3]),
            torch.tensor([0.65, 0.98, 0.2]),
            torch.tensor([2.0, 0.1, 3.0]),
            0.2,
            0.1,
        ),
        [0.7, 1, 0.3],
    ),
    ("momentum_update", (torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, -3.0]]), 0.5), [[0.75, -0.75]]),
    ("worst_case_rate", (torch.tensor([[YES, NO, NO, NO], [NO, NO, YES, NO]]),), 0.5),
    # chapter 08: alternating pushes leave nothing inside; of two fooled images one is right again; up with the mean
    ("through_the_lens", (torch.tensor([0.4, -0.4, 0.4, 0.4]),), [0.2, 0, 0.2, 0.4]),
    (
        "destroyed",
        (
            torch.tensor([YES, YES, YES, NO]),
            torch.tensor([NO, NO, YES, NO]),
            torch.tensor([YES, NO, YES, YES]),
        ),
        0.5,
    ),
    (
        "expected_step",
        (torch.tensor([0.5, 0.5]), torch.tensor([[0.5, -0.1], [-0.2, -0.2], [-0.2, 0.1]]), 0.25),
        [0.75, 0.25],
    ),
    # chapter 11: the steepest is forbidden and the next is there; one of three passes and is what it was; only 2 counts
    (
        "best_addition",
        (torch.tensor([0.5, 3.0, 2.0, 0.7]), torch.tensor([0.0, 0, 1, 0]), torch.tensor([YES, NO, YES, YES])),
        3,
    ),
    ("best_addition", (torch.tensor([-0.5, 3.0]), torch.tensor([0.0, 0]), torch.tensor([YES, NO])), -1),
    (
        "delivered_rate",
        (torch.tensor([YES, YES, NO]), torch.tensor([7, 8, 9]), torch.tensor([7, 0, 9])),
        1 / 3,
    ),
    ("monotone_score", (torch.tensor([2.0, -3.0, 4.0]), -1.5, torch.tensor([1.0, 1, 0])), 0.5),
    # chapter 10: the sums of the slopes are 4, 0 and -1; a printer that turns c into (1 + c) / 2; 30 of 100 against 20 and 5
    ("step_for_all", (torch.tensor([2.0, -1, 1]), torch.tensor([2.0, 1, -2]), 0.2), [-0.2, 0, 0.2]),
    (
        "pasted",
        (torch.tensor([0.3, 0.7]), torch.tensor([YES, NO]), torch.tensor([0.2, 0.9]), lambda c: (1 + c) / 2),
        [0.6, 0.7],
    ),
    ("beyond_controls", (30, torch.tensor([5, 20]), 100), 0.1),
    # chapter 09: rows 2, -1 and 0.1, 0.2 over their largest; 0.1 - 0.3 is dropped; three of four dodge, one as the target
    ("shared_slope", (torch.tensor([[2.0, -1.0], [0.1, 0.2]]),), [0.75, 0.25]),
    ("dropped_step", (torch.tensor([0.1, 0.5]), torch.tensor([0.3, -0.3])), [0.1, 0.8]),
    ("two_rates", (torch.tensor([0, 9, 4, 4]), 0, 9), [0.75, 0.25]),
    # chapter 20: one of two digits that are no 0; -0.6 / -0.75; 16 against 4 over 8; [3, 4] becomes half of it
    ("trigger_success", (torch.tensor([0, 0, 5]), torch.tensor([0, 3, 5]), 0), 0.5),
    (
        "pixels_from_gradient",
        (torch.tensor([[0.1, 0.0], [-0.6, -0.15]]), torch.tensor([0.5, -0.75])),
        [0.8, 0.2],
    ),
    ("likelihood_ratio", (torch.tensor([5.0]), torch.tensor([3.0]), torch.tensor([1.0]), 2.0), [1.5]),
    (
        "private_gradient",
        (torch.tensor([[3.0, 4.0], [0.6, 0.8]]), 2.5, torch.tensor([0.4, -0.4])),
        [1.55, 0.9],
    ),
]


@pytest.mark.parametrize("name, arguments, by_hand", IN_HAND, ids=[row[0] for row in IN_HAND])
def test_the_authors_answer_by_hand(name, arguments, by_hand):
    """Against cases of two to four pixels or images, worked out by hand."""
    found = torch.as_tensor(TASKS[name].solution(*arguments)).double()
    torch.testing.assert_close(found, torch.tensor(by_hand, dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_the_worst_perturbation_solves_the_linear_program(seed):
    """Against scipy's solver: minimise w·δ where each |δᵢ| is at most eps."""
    case = TASKS["worst_perturbation"].case(Draw(seed))
    w, eps = case["w"].double(), case["eps"]
    found = linprog(w.numpy(), bounds=[(-eps, eps)] * len(w))
    expected = torch.from_numpy(found.x)
    torch.testing.assert_close(TASKS["worst_perturbation"](w, eps), expected)


@pytest.mark.parametrize("seed", range(5))
def test_the_smallest_eps_solves_the_linear_program(seed):
    """Against scipy's solver: minimise e where each |δᵢ| is at most e, and w·(x + δ) + b is 0."""
    case = TASKS["smallest_eps"].case(Draw(seed))
    w, b, x = (case[name].double() for name in ("w", "b", "x"))
    eye, ones = torch.eye(len(w), dtype=torch.float64), torch.ones(len(w), 1, dtype=torch.float64)
    within = torch.cat([torch.cat([eye, -ones], 1), torch.cat([-eye, -ones], 1)])  # δ - e <= 0, -δ - e <= 0
    found = linprog(
        [*torch.zeros(len(w)).tolist(), 1.0],
        A_ub=within.numpy(),
        b_ub=torch.zeros(2 * len(w)).numpy(),
        A_eq=torch.cat([w, torch.zeros(1)])[None].numpy(),
        b_eq=[-float(w @ x + b)],
        bounds=[(None, None)] * len(w) + [(0, None)],
    )
    assert float(TASKS["smallest_eps"](w, b, x)) == pytest.approx(found.fun)


# What the reader meets


def unwritten(task):
    """The cell as the chapter has it."""
    space = {"practice": practice}
    exec(practice.stub(task.name), space)
    return space[task.name]


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_an_empty_cell_is_not_attempted_yet(task):
    """Checks the cell of the chapter as it is, and one that returns nothing: no error, a way on, the same each time."""
    verdict = practice.check(unwritten(task))
    assert verdict.outcome == "not attempted yet" and f"practice.hint({task.name})" in verdict.message
    assert told(verdict) == told(practice.check(unwritten(task)))
    nothing = practice.check(lambda *arguments, **named: None, task.name)
    assert nothing.outcome == "not attempted yet" and "`return`" in nothing.message


def test_a_mistake_is_told_with_its_case():
    """Checks the table by the case worked out by hand: what came in, what came out, and what is right."""

    def fgsm_step(x, gradient, eps):
        return x - eps * gradient.sign()

    def smallest_eps(w, b, x):
        return (w @ x + b) / w.abs().sum()

    assert practice.check(fgsm_step).trace == "\n".join(
        (
            "x          0.2   0.5  0.95",
            "gradient   0.3  -1.2  0.04",
            "eps        0.1",
            "yours      0.1   0.6  0.85",
            "right      0.3   0.4     1",
        )
    )
    assert practice.check(smallest_eps).key == "negative budget"
    assert practice.check(smallest_eps).trace.splitlines()[-2:] == ["yours  -0.12", "right   0.12"]


def test_a_matrix_is_shown_row_by_row_and_a_list_is_told_what_it_should_be():
    """Checks the table of a case with two images by hand: a line for each, the name only on the first."""

    def within_budget(x, x_adv, eps):
        return [True] * len(x)

    verdict = practice.check(within_budget)
    assert verdict.trace.splitlines() == [
        "x        0.5    0.5",
        "         0.5    0.5",
        "x_adv   0.75   0.25",
        "         0.5  0.125",
        "eps     0.25",
    ]
    assert verdict.message == (
        "Return a torch.Tensor. Yours returned: list. torch.tensor(...) makes one of a list of numbers."
    )


def test_a_crash_is_told_with_its_line():
    """Checks the line of the reader's own code, the error, what it means, and the arguments; of the library no line is shown."""

    def success_rates(predicted, y, target):
        return (predicted == target).mean(), (predicted != y).mean()

    verdict = practice.check(success_rates)
    assert verdict.outcome == "crashed"
    assert "in success_rates: return (predicted == target).mean()" in verdict.trace
    assert "This means: A mean of whole numbers" in verdict.trace and "advcourse" not in verdict.trace
    assert verdict.trace.startswith("predicted  8  1  2  0  5\n")


@pytest.mark.parametrize(
    ("given", "task", "words"),
    [
        (abs, None, "task: got 'abs'; allowed are .*'fgsm_step'.*practice.check"),
        (lambda w, eps: w, None, "task: got '<lambda>'"),
        (abs, "fgms", "task: got 'fgms'"),
        (3, None, "function: got 3; allowed is the function itself, for example practice.check"),
    ],
)
def test_an_unknown_name_is_told(given, task, words):
    """Checks the error that names what was given and what is allowed."""
    with pytest.raises(InputError, match=words):
        practice.check(given, task)


@pytest.mark.parametrize("name", TASKS)
def test_hints_lead_on(name):
    """Checks number and way on: the first hint names the second, and the last the folded answer."""
    first, last = repr(practice.hint(name)), repr(practice.hint(name, 2))
    assert first.startswith("Hint 1 of 2: ") and first.endswith(f"practice.hint({name}, 2)")
    assert last.startswith("Hint 2 of 2: ") and "folded" in last
    assert repr(practice.hint(unwritten(TASKS[name]), 2)) == last
    with pytest.raises(InputError, match="level: got 3"):
        practice.hint(name, 3)


@pytest.mark.parametrize("name", TASKS)
def test_the_folded_answer_is_right(name):
    """Checks the code in the fold, run by itself with torch alone, by the check."""
    code = practice.fold(name).split("```")[1].removeprefix("python\n")
    space = {"torch": torch}
    exec(code, space)
    assert practice.check(space[name]).right and "@" not in code.splitlines()[0]


def test_the_global_random_state_stays():
    """Checks that the numbers a chapter draws do not depend on whether a cell was checked before."""
    before = torch.get_rng_state()
    practice.check(TASKS["fgsm_step"].solution)
    assert torch.equal(before, torch.get_rng_state())


def test_what_a_cell_has_set_does_not_matter(monkeypatch):
    """Checks a task whose file is first read where new tensors are float64: its case by hand is float32 as ever, and a right
    answer passes."""
    place = "advcourse.practice.ch02.fgsm_step"
    monkeypatch.setattr(sys.modules["advcourse.practice.ch02"], "fgsm_step", sys.modules[place])
    monkeypatch.delitem(sys.modules, place)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        task = checking.tasks_of("ch02")["fgsm_step"]
        assert task is not TASKS["fgsm_step"] and task.cases_by_hand()[0]["x"].dtype == torch.float32
        assert practice.check(task.solution).right and torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(before)


# Its place in the project


def test_tasks_are_found_by_their_files():
    """Checks the folders against the tasks: each chapter has a file for each, and no name is used twice."""
    assert {"ch01", "ch02"} <= {*checking.chapters()}
    found = [name for chapter in checking.chapters() for name in checking.tasks_of(chapter)]
    assert sorted(found) == sorted(TASKS) and len(found) == len({*found})


def test_a_name_that_two_chapters_use_is_refused(monkeypatch):
    """Checks one chapter that stands there twice."""
    monkeypatch.setattr(checking, "chapters", lambda: ("ch01", "ch01"))
    with pytest.raises(InputError, match="allowed is a name that is used once"):
        checking.tasks.__wrapped__()


def test_minutes_and_level_are_checked():
    """Checks two declarations that no heading could show."""
    given = {"by_hand": (), "drawn": None, "hints": (), "shape": None, "praise": ""}
    with pytest.raises(InputError, match="minutes: got 0"):
        small_exercise("A step", 0, "easy", **given)
    with pytest.raises(InputError, match="level: got 'trivial'"):
        small_exercise("A step", 3, "trivial", **given)


def test_the_grader_knows_nothing_of_it(tmp_path):
    """Checks the list of labs, and that what a submission can import holds no answer to a cell."""
    assert not {*labs()} & {*checking.chapters()}
    stage(tmp_path)
    assert list(tmp_path.rglob("practice*")) == []


@pytest.mark.slow
def test_a_cell_runs_in_a_kernel_under_nbval(tmp_path):
    """Checks a notebook with an empty, a wrong, a crashing and a right cell: nbval runs it to its end, and
    finds the outputs that the cells have in this process."""
    name, answers = (
        "worst_perturbation",
        {
            "not attempted yet": "raise NotImplementedError()",
            "wrong": "return eps * w.sign()",
            "crashed": "return w.sing()",
            "right": "return -eps * w.sign()",
        },
    )
    book = nbformat.v4.new_notebook()
    book.cells = [nbformat.v4.new_code_cell("from advcourse import practice")]
    for outcome, answer in answers.items():
        code = practice.stub(name).replace("raise NotImplementedError()", answer)
        verdict = shown(code, tmp_path / f"{outcome}.py")
        assert repr(verdict).splitlines()[0] == f"{name}: {outcome}"
        data = {"text/plain": repr(verdict), "text/html": verdict._repr_html_()}
        count = len(book.cells) + 1
        output = nbformat.v4.new_output("execute_result", data, execution_count=count)
        book.cells.append(nbformat.v4.new_code_cell(code, outputs=[output], execution_count=count))
    assert "line 3, in worst_perturbation: return w.sing()" in book.cells[3].outputs[0].data["text/plain"]
    nbformat.write(book, path := tmp_path / "cells.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider", str(path)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0 and "5 passed" in run.stdout, run.stdout


def shown(code, path):
    """What the last line of a cell is, run here; its lines are read from a file, as a kernel keeps those of a cell."""
    path.write_text(code, encoding="utf-8")
    space = {"practice": practice}
    *lines, last = code.splitlines()
    exec(compile("\n".join(lines), str(path), "exec"), space)
    return eval(last, space)
