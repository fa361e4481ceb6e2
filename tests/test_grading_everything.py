"""What names do not lead to: the whole notebook is run where they give no right answer; what it offers; answers in pieces."""

import time
from pathlib import Path

import pytest
from grading_tests import needs_bubblewrap
from notebook_files import LABS, file, stored

from advcourse.grading.read.submission import program, read, released
from advcourse.grading.run.grader import Grader
from advcourse.grading.run.sandbox import Sandbox
from advcourse.labs import lab1

IMPORTS = "import torch\nfrom advcourse.labs.lab1 import check, hint, measure"
CFG = "class Cfg:\n    low = 0"
LATER = "def fill():\n    Cfg.high = 1\nfill()"
PROJECT = "def project(x_adv, x, eps):\n    return x_adv.clamp(x - eps, x + eps).clamp(Cfg.low, Cfg.high)"
RIGHT = PROJECT.replace("Cfg.low, Cfg.high", "0, 1")
ENDLESS = "while True:\n    pass"


@pytest.fixture(scope="module")
def grader():
    with Grader() as grader:
        yield grader


def graded(grader, *cells, task="project", seed=4):
    report = grader.grade(file(IMPORTS, *cells), "lab1", seed=seed)
    (found,) = [result for result in report.tasks if result.task == task]
    return found


def tries(*cells, task="project"):
    """The cells of the further tries, as numbers."""
    found = program(task, tuple(lab1.TASKS), read(file(IMPORTS, *cells)), released("lab1"))
    return [
        [int(part.label.split()[1]) for part in cells if "lab's" not in part.label] for cells in found.wider
    ]


@pytest.mark.parametrize("lab", LABS)
def test_the_labs_need_no_further_tries(lab):
    """Checks that neither the author's notebooks nor the students' copies hold a cell that is run for nothing."""
    submitted, copy = read(stored(lab)), released(lab)
    tasks = [cell.grade_id for cell in submitted.cells if cell.solution and cell.kind == "code"]
    assert tasks
    for task in tasks:
        assert program(task, tuple(tasks), submitted, copy).wider == ()
        assert program(task, tuple(tasks), copy, copy).wider == ()


def test_what_could_matter_is_tried_until_the_checks_and_in_all():
    """Checks the cells of each try by hand; what only binds other names, or calls the lab's tools, is no reason for one."""
    idle = [
        "guess = 50",
        "def other(x):\n    return x",
        "measure(project, guess)",
        "import math",
        "check(project)",
    ]
    assert tries(CFG, PROJECT, *idle) == []
    assert tries(CFG, PROJECT, LATER) == [[1, 2, 3, 4]]
    assert tries(CFG, PROJECT, LATER, "check(project)", "Cfg = fill()") == [[1, 2, 3, 4], [1, 2, 3, 4, 6]]
    assert tries("exec(text)") == [[1, 2]] and tries("x = 3") == []


@needs_bubblewrap
@pytest.mark.parametrize(
    "experiment",
    [ENDLESS, "import time\ntime.sleep(1000)", "raise SystemExit", "input()", "1 / 0", "x = [0] * 10**12"]
    + ["from advcourse.data import load\nimages = load('mnist-5k')", "torch.set_grad_enabled(False)"]
    + [
        "while True:\n    try:\n        pass\n    except Exception:\n        pass",
        "def project(a):\n    return a",
        "del x",
    ],
)
def test_an_experiment_beside_it_costs_nothing(grader, experiment):
    """Checks an answer that only a run of the whole notebook makes right, beside what crashes, ends, or never ends."""
    found = graded(grader, experiment, CFG, LATER, PROJECT, "check(project)")
    assert (found.outcome, found.points) == ("right", 2), found


@needs_bubblewrap
def test_an_endless_experiment_costs_no_right_answer_and_is_waited_for_once(grader):
    """Checks a right answer before an endless loop; eight wrong ones take less than four times what one takes."""
    assert graded(grader, RIGHT, ENDLESS).outcome == "right"
    assert graded(grader, *[ENDLESS] * 12, CFG, LATER, PROJECT).outcome == "right"
    tasks = "fgsm llc rfgsm project bim mifgsm pgd project_l2".split()
    wrong = [
        f"def {task}({', '.join(lab1.TASKS[task].parameters)}):\n    return 2 * {'x_adv' if 'project' in task else 'x'}"
        for task in tasks
    ]
    seconds = []
    for answers in (wrong[:1], wrong):
        began = time.monotonic()
        report = grader.grade(file(IMPORTS, ENDLESS, *answers), "lab1", seed=1)
        seconds.append(time.monotonic() - began)
        assert report.points == 0 and sum(task.outcome == "wrong" for task in report.tasks) == len(answers)
    assert seconds[1] < 4 * seconds[0]


@needs_bubblewrap
@pytest.mark.parametrize(
    ("cells", "key"),
    [
        ([CFG, PROJECT, "def fill():\n    Cfg.high = 0.5\nfill()"], "formula"),
        ([CFG, "setattr(Cfg, 'high', 2)", PROJECT], "box"),
        (
            [
                RIGHT,
                "exec('''def project(x_adv, x, eps):\n    return x_adv''')",
                RIGHT.replace("x + eps", "x + 2 * eps"),
            ],
            "budget",
        ),
        ([CFG, PROJECT], "crash"),
        ([PROJECT, LATER.replace("Cfg", "Other")], "crash"),
        (["def make():\n    global project\n    project = 3\nmake()"], "missing"),
    ],
)
def test_more_tries_give_no_points_away(grader, cells, key):
    """Checks answers that are wrong however much of the notebook is run: no points, and what the notebook would say."""
    found = graded(grader, *cells)
    assert (found.points, found.key) == (0, key), found


@needs_bubblewrap
def test_both_tries_ask_the_same_questions(grader):
    """Checks that a wrong answer gets the same words as the one that needs no second try."""
    wrong = PROJECT.replace("x + eps", "x + 3 * eps")
    plain = graded(grader, wrong.replace("Cfg.low, Cfg.high", "0, 1"), seed=9)
    again = graded(grader, CFG, LATER, wrong, seed=9)
    assert plain.outcome == "wrong" and (plain.message, plain.alt) == (again.message, again.alt)


# Answers in pieces


HEAD, BODY = PROJECT.split("\n")
SPLIT = [
    ([HEAD, BODY], "2 and 3"),
    ([HEAD + "\n    near = x_adv", "    near = near * 1", BODY], "2, 3 and 4"),
    (
        [HEAD + '\n    """Nearest."""', {"cell_type": "markdown", "source": "so:"}, "\n# then\n" + BODY],
        "2 and 4",
    ),
    ([HEAD + "\n\tnear = x_adv", "\treturn near"], "2 and 3"),
    ([HEAD + "\n    for _ in range(2):", "        x = x\n" + BODY, "check(project)"], "2 and 3"),
]


@needs_bubblewrap
@pytest.mark.parametrize(("cells", "where"), SPLIT)
def test_an_answer_in_pieces_is_told(grader, cells, where):
    """Checks the sentence that names the cells, counted by hand, and that put together they are an answer."""
    found = graded(grader, *cells)
    assert (found.outcome, found.key, found.points) == ("does not compile", "syntax", 0)
    assert found.message == (
        f"The function `project` is split over the cells {where}: put them together (Edit, Merge Selected Cells)."
    )
    whole = "\n".join(cell for cell in cells if isinstance(cell, str))
    assert "split" not in graded(grader, whole).message


@needs_bubblewrap
def test_an_indented_cell_behind_an_answer_is_no_piece_of_it(grader):
    """Checks a right answer, before cells that begin with a blank and compile alone, or not at all."""
    assert graded(grader, RIGHT, "    print(3)").outcome == "right"
    assert graded(grader, RIGHT, "    return 3").outcome == "right"
    wrong = RIGHT.replace("+ eps", "+ 2 * eps")
    assert "split" not in graded(grader, wrong, "    print(3)").message
    assert "split" not in graded(grader, HEAD, BODY, wrong).message


# What a notebook offers


@needs_bubblewrap
@pytest.mark.parametrize(
    "used",
    [
        "from IPython.display import *\ndisplay(3, display_id=True).update(4)",
        "import IPython.display as ipd\nipd.display(ipd.Audio([0], rate=1), ipd.SVG('x'), ipd.IFrame('a', 1, 2))",
        "from IPython.core.magic import register_line_magic\n@register_line_magic\ndef shout(line):\n    return line\nshout('a')",
        "from IPython.core.magic import Magics, magics_class, line_magic\n@magics_class\nclass M(Magics):\n"
        "    @line_magic\n    def go(self, line):\n        return line\nget_ipython().register_magics(M)",
        "from IPython.utils import io\nwith io.capture_output() as out:\n    print(out.stdout)",
        "get_ipython().run_line_magic('matplotlib', 'inline')\nassert not get_ipython().getoutput('ls')",
        "assert 'IPKernelApp' in get_ipython().config and type(get_ipython()).__name__ == 'ZMQInteractiveShell'",
        "import matplotlib_inline.backend_inline\nmatplotlib_inline.backend_inline.set_matplotlib_formats('svg')",
        "import matplotlib.pyplot as plt\nplt.figure()\nplt.plot([1])\nplt.show()\nplt.close('all')",
        "import ipywidgets as w\nw.HBox([w.IntSlider(value=3), w.Button(description='go')]).layout.width = '3em'",
        "import ipywidgets as w\nb = w.Button()\nw.jslink((b, 'value'), (b, 'value'))\nassert isinstance(b, w.Button)",
        "from ipywidgets import interact, interactive, fixed, interact_manual\nassert interact(lambda a: a, a=(0, 4))(7) == 7\n"
        "@interact_manual(a=1)\ndef f(a):\n    raise ValueError\ninteractive(lambda a: a, a=fixed(3))",
        "from tqdm.auto import tqdm, trange\nfrom tqdm.notebook import tqdm as bar\nassert list(bar(trange(2))) == [0, 1]",
        "import nest_asyncio\nnest_asyncio.apply()",
        "In, Out, _, __, exit, quit",
    ],
)
def test_what_a_notebook_offers_is_there(grader, used):
    """Checks an answer that counts on tools of the notebook, within it and beside it: it is right, and nothing stops it."""
    probe = f"ready = []\ntry:\n{_indented(used)}\n    ready.append(1)\nexcept Exception as error:\n    ready = error"
    found = graded(grader, f"{probe}\n{RIGHT.replace('return', 'ready[0]; return')}")
    assert found.outcome == "right", found


ENDS = "LOW, HIGH = 0, 1"
FROM_AID = "from aid import LOW, HIGH"
BOXED = PROJECT.replace("Cfg.low, Cfg.high", "LOW, HIGH")
RELOADED = BOXED.replace(
    "x_adv.clamp(x - eps, x + eps).clamp(LOW, HIGH)", "aid.box(box(x_adv.clamp(x - eps, x + eps)))"
)
NOTEBOOKS = {
    "a file's folder": [
        "!mkdir -p src",
        f"%%file src/aid.py\n{ENDS}",
        "import sys\nsys.path.append('src')",
        FROM_AID,
        BOXED,
    ],
    "a way to a folder": [
        "%mkdir lib\n%cd lib",
        f"%%writefile aid.py\n{ENDS}",
        "%cd ..",
        "import sys\nsys.path.append('lib')",
        FROM_AID,
        BOXED,
    ],
    "a file's name": ["NAME = 'aid'", f"%%writefile {{NAME}}.py\n{ENDS}", FROM_AID, BOXED],
    "autoreload": [
        "%load_ext autoreload\n%autoreload 2",
        "%%writefile aid.py\ndef box(a):\n    return a.clamp(0, 2)",
        "import aid\nfrom aid import box",
        "%%writefile aid.py\ndef box(a):\n    return a.clamp(0, 1.0)",
        RELOADED,
    ],
    "a timed cell": [ENDS, "%%timeit -n1 -r1\nHIGH = 2.5", "%timeit -n 1 -r1 LOW = 0.5", BOXED],
    "another process": [ENDS, "%%python3\nHIGH = 2.5", "%%python\nLOW = 0.5", BOXED],
    "the last value": ["0\n1", "LOW, HIGH = __ or 0, _", BOXED],
    "magics of its own": [
        "from IPython.core.magic import register_line_magic\n@register_line_magic\ndef low(line):\n    return int(line) - 1",
        "@register_line_magic('top')\ndef first(line):\n    return 3\n@register_line_magic('top')\ndef last(line):\n    return 1",
        "get_ipython().register_magic_function(lambda line, cell: int(cell), 'cell', 'high')",
        "LOW = %low 1",
        "HIGH = get_ipython().run_cell_magic('high', '', '1') * get_ipython().run_line_magic('top', '')",
        BOXED,
    ],
    "a file's arguments": [
        "%%writefile ends.py\nimport sys\nLOW, HIGH = map(int, sys.argv[1:])",
        "%run ends 0 1",
        BOXED,
    ],
    "a loop of asyncio": [
        "import asyncio\nasync def end(value):\n    await asyncio.sleep(0)\n    return value",
        "LOW, later = 0, asyncio.create_task(end(1))",
        "HIGH = await later",
        BOXED,
    ],
    "another notebook": [
        "from google.colab import drive, files\ndrive.mount('/content/drive')\nfiles.download('a.png')\nLOW = 0",
        "try:\n    import google.colab\n    HIGH = 3\nexcept ImportError:\n    HIGH = 1",
        BOXED,
    ],
}


@needs_bubblewrap
@pytest.mark.parametrize("kind", NOTEBOOKS)
def test_files_modules_and_names_are_as_in_a_notebook(grader, kind):
    """Checks answers that are right with the values of the notebook (as IPython documents its magics), and wrong with others."""
    found = graded(grader, *NOTEBOOKS[kind])
    assert found.outcome == "right", found


@needs_bubblewrap
def test_a_notebook_without_the_answers_cells_is_run_once(grader, monkeypatch):
    """Counts the runs of a notebook that makes two of eight answers in a loop, and matplotlib leaves no trace in any of them."""
    right = "def project_(x_adv, x, eps):\n    return x_adv.clamp(x - eps, x + eps).clamp(0, 1)"
    loop = "for name in ('project', 'fgsm'):\n    globals()[name] = globals()[name + '_']"
    plot = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
    runs, begun = [], []
    tried, start = Grader._tried, Sandbox._start
    monkeypatch.setattr(
        Grader, "_tried", lambda self, task, *rest: runs.append(task.name) or tried(self, task, *rest)
    )
    monkeypatch.setattr(Sandbox, "_start", lambda self: begun.append(1) or start(self))
    content = file(IMPORTS, plot, right, "fgsm_ = lambda model, x, y, eps: x", loop)
    report = grader.grade(content, "lab1", seed=4)
    assert {task.task: task.outcome for task in report.tasks if task.outcome != "not attempted yet"} == {
        "project": "right",
        "fgsm": "wrong",
    }
    assert sorted(runs) == ["fgsm", "project"] and len(begun) <= 1


@needs_bubblewrap
def test_a_missing_name_is_told_with_the_error_behind_it(grader):
    """Checks the order of the sentences by hand: what failed, what is missing for it, and where; and what is there to import."""
    found = graded(grader, "from nowhere import LOW, HIGH", BOXED)
    first, *_, last = found.trace.split("\nThis means")[0].split("\n")
    assert first == "line 1, in <module>: from nowhere import LOW, HIGH" and last.startswith(
        "NameError: name 'LOW'"
    )
    assert "ModuleNotFoundError: No module named 'nowhere'\nSo `LOW` is missing:\n" in found.trace
    assert "When answers are graded there are torch" in found.advice


POOLS = {
    "threads": "from multiprocessing.pool import ThreadPool as P",
    "processes": "import multiprocessing\nP = multiprocessing.get_context('fork').Pool",
}
POOLED = """
def one(row):
    return row[0].clamp(row[1] - row[2], row[1] + row[2]).clamp(0, 1)
def project(x_adv, x, eps):
    with P(2) as pool:
        return torch.stack(list(pool.map(one, [(a, b, eps) for a, b in zip(x_adv, x)])))"""


@pytest.mark.parametrize(
    ("pool", "isolation"),
    [*(pytest.param(p, "bubblewrap", marks=needs_bubblewrap) for p in POOLS), ("processes", "process")],
)
def test_pools_work_and_leave_nothing(pool, isolation):
    """Checks answers that a pool works out against what they are alone, right; and the files of the machine's shared memory."""
    shared = Path("/dev/shm")
    before = set(shared.iterdir()) if shared.exists() else set()
    with Grader(isolation=isolation) as grader:
        found = graded(grader, POOLS[pool] + POOLED)
    assert found.outcome == "right", found
    assert not shared.exists() or not {p for p in set(shared.iterdir()) - before if p.name.startswith("sem.")}


def _indented(text):
    return "\n".join(f"    {line}" for line in text.split("\n"))


# Parameters that are hidden


@needs_bubblewrap
@pytest.mark.parametrize(
    ("cells", "outcome", "told"),
    [
        (
            [
                "def plain(f):\n    def wrapper(*a, **k):\n        return f(*a, **k)\n    return wrapper",
                f"@plain\n{RIGHT}",
            ],
            "right",
            "",
        ),
        (["def plain(f):\n    return lambda *a: f(*a)", f"@plain\n{RIGHT}"], "right", ""),
        (["def project(x_adv, x, eps, /):" + RIGHT.partition(":")[2]], "right", ""),
        (["def project(x_adv, *rest, eps):\n    return x_adv"], "wrong", "hides its parameters"),
        (
            ["def plain(f):\n    return lambda **k: f(**k)", "@plain\ndef project(a, b, c):\n    return a"],
            "wrong",
            "functools.wraps",
        ),
        (["@torch.jit.script\ndef project(x_adv, x, eps: float):" + RIGHT.partition(":")[2]], "right", ""),
        (
            ["@torch.jit.script\ndef project(x_adv, x, e: float):\n    return x_adv"],
            "wrong",
            "torch.jit.ScriptFunction",
        ),
        (
            ["class P(torch.nn.Module):\n    def forward(self, a, b):\n        return a", "project = P()"],
            "wrong",
            "yours are (a, b)",
        ),
    ],
)
def test_hidden_parameters(grader, cells, outcome, told):
    """Checks that what can be called with the task's arguments is judged, and what cannot is told what to do; as `check` does."""
    found = graded(grader, *cells)
    assert found.outcome == outcome and told in found.message, found
