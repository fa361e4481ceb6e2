"""Lab 1: the museum, the judge's formulas, and the notebook as its author and as a student has it."""

import re
from collections import Counter
from functools import cache
from pathlib import Path

import nbformat
import pytest
import torch
from museum.lab1 import ROOMS

from advcourse import attacks
from advcourse.labs import definitions as by_hand
from advcourse.labs.checks import Draw
from advcourse.labs.lab1 import LAB, TASKS, check
from advcourse.labs.release import release

ROOT = Path(__file__).resolve().parent.parent
RIGHT = [(room.task, answer) for room in ROOMS for answer in room.rights]
WRONG = [(room.task, key, answer) for room in ROOMS for key, answer in room.wrongs]


# The museum


def test_every_task_has_a_room():
    """Checks the demand of the course: two right answers or more, and five wrong ones or more, for each task."""
    assert [room.task for room in ROOMS] == list(TASKS)
    for room in ROOMS:
        assert len(room.rights) >= 2 and len(room.wrongs) >= 5, room.task


@cache
def verdict_on(task, answer):
    return check(answer, task, seed=1)


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.task)
def test_no_two_mistakes_share_a_message(room):
    """Checks the museum of one task against itself: as many keys, and as many messages, as there are wrong answers."""
    for told in ("key", "message"):
        found = Counter(getattr(verdict_on(room.task, answer), told) for _, answer in room.wrongs)
        assert set(found.values()) == {1}, found


@pytest.mark.parametrize("task, answer", RIGHT, ids=lambda value: getattr(value, "__name__", value))
def test_right_answers_pass(task, answer):
    """Checks answers that were written differently: all are right, each time with fresh images, models and budgets."""
    for seed in (1, 2):
        verdict = check(answer, task, seed)
        assert verdict.right and verdict.points == TASKS[task].points, verdict


@pytest.mark.parametrize("task, key, answer", WRONG, ids=lambda value: getattr(value, "__name__", value))
def test_wrong_answers_meet_their_own_message(task, key, answer):
    """Checks the mistake that each answer was written to make against the one that it is told."""
    verdict = verdict_on(task, answer)
    assert verdict.key == key, verdict
    assert verdict.points == 0 and len(verdict.message.split()) >= 4
    assert verdict.outcome == ("crashed" if key == "crash" else "wrong")


# The judge's formulas


@pytest.mark.parametrize("kind", ["linear", "smooth"])
def test_slope_is_the_gradient(kind):
    """Checks the gradient, on linear models written out by hand, against central differences of the loss."""
    case = TASKS["fgsm"].case(Draw(2), kind, n=2)
    x = by_hand.clean(case)
    gradient = by_hand.slope(case, x, case.labels)
    step = torch.zeros_like(x)
    step[:, 0, 13, 9] = 1e-5
    model = case.victim.build(torch.float64)
    above, below = (
        torch.nn.functional.cross_entropy(model(x + s), case.labels, reduction="none") for s in (step, -step)
    )
    assert torch.allclose(gradient[:, 0, 13, 9], (above - below).detach() / 2e-5, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    "task, attack", [("fgsm", attacks.FGSM), ("bim", attacks.BIM), ("mifgsm", attacks.UMIFGSM)]
)
def test_formulas_agree_with_the_library(task, attack):
    """Checks the judge's images in float64 against those of the library's attack, which was written apart from them."""
    case = TASKS[task].case(Draw(3))
    settings = {name: case[name] for name in attack.__dataclass_fields__ if name in case.arguments}
    if task == "fgsm":
        expected = by_hand.one_step(case, case.labels, 1)
    else:
        alpha = case.arguments.get("alpha", case["eps"] / case["steps"])
        decay = case.arguments.get("decay", 0.0)
        expected = by_hand.climb(case, case.labels, alpha=alpha, steps=case["steps"], decay=decay)
        settings["keep"] = "last"
    images = attack(**settings)(case.victim.build(torch.float64), by_hand.clean(case), case.labels)
    assert (images - expected).abs().max() < 1e-9


def test_projections_agree_with_brute_force():
    """Checks both projections against many random points of the set: none is nearer."""
    case = TASKS["project"].case(Draw(4), n=3, shape=(1, 2, 2))
    x, x_adv, eps = by_hand.clean(case), case["x_adv"].double(), case["eps"]
    nearest = by_hand.nearest(x_adv, x, eps)
    others = (x + eps * (2 * torch.rand(5000, *x.shape, dtype=torch.float64) - 1)).clamp(0, 1)
    assert (
        (others - x_adv).square().flatten(2).sum(2) >= (nearest - x_adv).square().flatten(1).sum(1) - 1e-12
    ).all()
    x = torch.full_like(x, 0.5)  # far from the box, where clipping plays no part
    nearest = by_hand.nearest_l2(x_adv, x, eps)
    direction = torch.randn(5000, *x.shape, dtype=torch.float64)
    others = x + eps * direction / direction.flatten(2).norm(dim=2)[..., None, None, None]
    assert (
        (others - x_adv).square().flatten(2).sum(2) >= (nearest - x_adv).square().flatten(1).sum(1) - 1e-12
    ).all()


def test_two_classes_and_a_line_end_in_the_corner():
    """Checks the closed form: on a linear model with two classes many steps end where one long one does."""
    case = TASKS["bim"].case(Draw(5), kind="linear", classes=2)
    weight = case.victim.build(torch.float64)[1].weight
    uphill = (weight[1 - case.labels] - weight[case.labels]).view_as(case["x"])
    corner = (by_hand.clean(case) + case["eps"] * uphill.sign()).clamp(0, 1)
    steps = by_hand.climb(case, case.labels, alpha=case["eps"] / 4, steps=8)
    assert torch.allclose(steps, corner, atol=1e-12)


# The notebook


def notebook(folder):
    return nbformat.read(ROOT / folder / "lab1" / "lab1.ipynb", as_version=4)


def executed(path, *more):
    """The notebook at `path`, run from its first to its last cell; `more` are the sources of cells put at its end."""
    from nbclient import NotebookClient

    book = nbformat.read(path, as_version=4)
    book.cells += [nbformat.v4.new_code_cell(source) for source in more]
    NotebookClient(
        book, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}, timeout=300
    ).execute()
    return book


def shown(book, ending):
    """What the cells whose id has this ending show as text, by task."""
    found = {}
    for cell in book.cells:
        if cell.id.endswith(ending):
            (output,) = cell.outputs
            found[cell.id.removesuffix(ending)] = output["data"]["text/plain"]
    return found


@pytest.mark.slow
def test_the_authors_notebook_is_all_right():
    """Checks a fresh run: each check says right, and each locked cell gives the task's points, as nbgrader reads them."""
    from nbgrader.utils import determine_grade

    book = executed(ROOT / "solutions" / "lab1" / "lab1.ipynb")
    assert {task: text.split(" (")[0] for task, text in shown(book, "-check").items()} == {
        task: f"{task}: right" for task in TASKS
    }
    grades = {cell.id: determine_grade(cell) for cell in book.cells if cell.id.endswith("-points")}
    assert grades == {f"{name}-points": (task.points, task.points) for name, task in TASKS.items()}
    stored = notebook("solutions")
    assert shown(stored, "-check") == shown(book, "-check")


@pytest.mark.slow
def test_an_untouched_copy_runs_to_the_end():
    """Checks a fresh run of the student's copy: every task is not attempted yet, worth 0 points, and no cell fails.

    At its end stands an answer that crashes: its line must be told as it stands in the cell.
    """
    from nbgrader.utils import determine_grade

    crashing = "def fgsm(model, x, y, eps):\n    return x.nothing(eps)"
    book = executed(ROOT / "exercises" / "lab1" / "lab1.ipynb", crashing, "check(fgsm)")
    crash = book.cells.pop().outputs[0]["data"]["text/plain"]
    assert "fgsm: crashed" in crash and "line 2, in fgsm: return x.nothing(eps)\nAttributeError" in crash
    assert {task: text.split(" (")[0] for task, text in shown(book, "-check").items()} == {
        task: f"{task}: not attempted yet" for task in TASKS
    }
    assert all(determine_grade(c)[0] == 0 for c in book.cells if c.metadata.get("nbgrader", {}).get("grade"))


def test_the_students_copy_is_up_to_date(tmp_path):
    """Checks the stored copy byte by byte against a fresh release of the stored solutions."""
    (fresh,) = release("lab1", out=tmp_path)
    assert fresh.read_bytes() == (ROOT / "exercises" / "lab1" / "lab1.ipynb").read_bytes()


def test_the_students_copy_holds_no_answer():
    """Checks the copy for each line between the author's solution marks, for the marks, and for the written answers."""
    copy = "\n".join(cell.source for cell in notebook("exercises").cells)
    secrets, inside = ["BEGIN SOLUTION", "HIDDEN TESTS", "MARK SCHEME"], False
    for cell in notebook("solutions").cells:
        meta = cell.metadata.get("nbgrader", {})
        if cell.cell_type == "markdown" and meta.get("solution"):
            secrets += [line.strip() for line in cell.source.splitlines() if line.strip()]
        for line in cell.source.splitlines():
            if "SOLUTION" in line:
                inside = "BEGIN" in line
            elif inside and line.strip():
                secrets.append(line.strip())
    assert len(secrets) > 40
    assert [secret for secret in secrets if secret in copy] == []
    assert not any(cell.get("outputs") for cell in notebook("exercises").cells)


@pytest.mark.parametrize("folder", ["solutions", "exercises"])
def test_the_notebooks_format_is_nbgraders(folder):
    """Checks the notebooks with the validators of nbformat and nbgrader, and the points against the lab's own."""
    from nbgrader.nbgraderformat import MetadataValidator

    book = notebook(folder)
    nbformat.validate(book)
    MetadataValidator().validate_nb(book)
    points = {
        cell.id: cell.metadata.nbgrader.points
        for cell in book.cells
        if cell.metadata.get("nbgrader", {}).get("grade")
    }
    assert {k.removesuffix("-points"): v for k, v in points.items() if k.endswith("-points")} == {
        name: task.points for name, task in TASKS.items()
    }
    (stated,) = re.findall(r"\*\*Points:\*\* (\d+)\.", book.cells[0].source)
    assert sum(points.values()) == int(stated) == LAB.points + 6


def test_stated_points_and_signatures_are_the_tasks():
    """Checks each heading's points and each stub's parameters against the task that the check goes by."""
    text = "\n".join(cell.source for cell in notebook("exercises").cells)
    assert {
        name: int(points) for name, points in re.findall(r"### Task \d: `(\w+)` \((\d) points\)", text)
    } == {name: task.points for name, task in TASKS.items()}
    for name, parameters in re.findall(r"^def (\w+)\((.*)\):$", text, re.M):
        assert tuple(p.split("=")[0] for p in parameters.split(", ")) == TASKS[name].parameters


def test_stored_pictures_are_light():
    """Checks the stored file: below 400 kB, and every picture has alternative text."""
    path = ROOT / "solutions" / "lab1" / "lab1.ipynb"
    assert path.stat().st_size < 400_000
    pages = [
        out["data"]["text/html"]
        for cell in notebook("solutions").cells
        for out in cell.get("outputs", [])
        if "text/html" in out.get("data", {})
    ]
    assert sum("<img" in page for page in pages) >= 7
    assert all('<img alt="' in page for page in pages if "<img" in page)
