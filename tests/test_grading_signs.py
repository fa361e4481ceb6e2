"""Signs for the instructor: what is worth a look is named with its place, and honest work is left alone."""

import re

import pytest
from lab_tests import ROOT
from notebook_files import LABS, file, stored

from advcourse.grading.signs import MOST, signs
from advcourse.grading.submission import read, released


def told(*cells, lab="lab1"):
    return signs(read(file(*cells)), released(lab))


@pytest.mark.parametrize("lab", LABS)
def test_honest_work_gives_no_sign(lab):
    """Checks the authors' notebooks, the untouched copies, and each room of the museum as a cell: none hides anything."""
    for folder in ("solutions", "exercises"):
        assert signs(read(stored(lab, folder)), released(lab)) == ()
    rooms = [path for path in (ROOT / "tests" / "museum" / lab).glob("*.py") if path.stem != "__init__"]
    assert len(rooms) >= 8
    for path in rooms:
        answers = re.sub(r"^from museum.*", "", path.read_text(encoding="utf-8"), flags=re.M)
        assert told(answers, lab=lab) == (), path.stem


@pytest.mark.parametrize(
    "source",
    [
        "import torch, math, time, copy, random, functools, itertools, collections, warnings, dataclasses, typing",
        "import numpy as np\nimport torch.nn.functional as F\nfrom tqdm.auto import tqdm\nimport matplotlib.pyplot as plt",
        "%matplotlib inline\n%load_ext autoreload\n!pip install tqdm\nx = 1",
        "%%time\nx = 1",
        "model.eval()\nx.grad = None\nw.requires_grad = True\nself.__class__.__name__",
        "import torch\ntorch.backends.cudnn.deterministic = True\ntorch.manual_seed(0)\nf = torch.compile(f)",
        "class Net(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.a = 1",
        "def f(x):\n    '''See /tmp, open, solutions/ and eval.'''\n    return x",
        "from advcourse.labs.lab1 import check, hint, measure\ncheck(fgsm)",
        "if __name__ == '__main__':\n    print(getattr(x, 'shape'))",
        "import matplotlib as m\nm.rcParams['figure.dpi'] = 90\nimport torch as t\nnoise = t.randn(3)\nnoise.data = 3",
        "def broken(:\n    import os",
    ],
)
def test_ordinary_code_gives_no_sign(source):
    """Checks what honest notebooks hold, line by line judged by hand."""
    assert told(source) == ()


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("import os", "imports os"),
        ("def f():\n  import sys as s", "imports sys"),
        ("import importlib.util", "imports importlib.util"),
        ("from multiprocessing import Pool", "imports multiprocessing"),
        ("import foolbox as math", "imports foolbox, a library of attacks"),
        ("import advcourse.attacks as a", "imports advcourse.attacks, which may hold the answers"),
        ("from advcourse.attacks import FGSM", "imports advcourse.attacks"),
        ("from advcourse.labs.lab1 import LAB", "imports advcourse.labs.lab1"),
        ("from advcourse.labs.lab1.tasks import check", "imports advcourse.labs.lab1.tasks"),
        ("open('x')", "uses open"),
        ("f = eval", "uses eval"),
        ("__import__('torch')", "uses __import__"),
        ("__builtins__.print = 3", "uses __builtins__"),
        ("exit()", "uses exit, which ends the program"),
        ("f.__globals__['x']", "uses .__globals__"),
        ("().__class__.__base__.__subclasses__()", "uses .__subclasses__"),
        ("getattr(f, '__code__')", "uses getattr with '__code__'"),
        ("import torch\ntorch.Tensor.sign = f", "changes torch.Tensor.sign"),
        ("import torch as t\nT = t.Tensor\nT.sign = f", "changes T.sign"),
        ("from torch import Tensor as T\nsetattr(T, 'sign', f)", "changes T"),
        ("import torch\ndef f(x):\n    torch.clamp = x", "changes torch.clamp"),
        ("import torch\ntorch.load('x')", "uses torch.load"),
        ("import numpy as np\nnp.fromfile('x')", "uses np.fromfile"),
        ("from torch.overrides import TorchFunctionMode", "imports TorchFunctionMode from torch.overrides"),
        ("import torch\nclass T(torch.Tensor):\n    pass", "defines T, a tensor with methods of its own"),
        ("class T:\n    def __torch_function__(self):\n        pass", "defines __torch_function__"),
        ("def check(f):\n    return 2", "binds check, the lab's own, anew"),
        ("measure = print", "binds measure, the lab's own, anew"),
        ("get_ipython().ast_transformers.clear()", "uses get_ipython"),
        ("x = '/proc/self/environ'", "names a path with '/proc'"),
        ("f'{a}/solutions/lab1'", "names a path with 'solutions/'"),
        ("!cat x", "runs a command of the shell: cat x"),
        ("y = !ls", "runs a command of the shell: ls"),
        ("%%bash\nls", "uses the magic %%bash"),
        ("%run other.py", "uses the magic %run"),
        ("f\\\n.__globals__", "uses .__globals__"),
    ],
)
def test_what_is_worth_a_look_is_named_with_its_place(source, what):
    """Checks the sentence, and its cell, against where the code stands; also in a cell that is no code cell."""
    found = told("import torch", f"import math\n{source}")
    assert any(what in sentence for sentence in found), found
    assert all(re.match(r"Cell 2, line [2-4]: .+\.$", sentence) for sentence in found)


def test_lines_are_those_of_the_cell():
    """Checks the line numbers by counting, behind magics, blank lines and a decorator."""
    assert told("\n\n%%time\n\n%matplotlib inline\n@wrap\ndef f(x):\n    return open(x)") == (
        "Cell 1, line 8: uses open, which opens files.",
    )


def test_what_the_lab_gives_is_no_sign():
    """Checks a cell of the released copy that a student kept: what it does is the lab's doing."""
    copy = file("import os")
    assert signs(read(copy), read(copy)) == ()
    assert len(signs(read(copy), released("lab1"))) == 1


def test_many_signs_are_cut():
    """Checks the number of sentences for a hundred imports."""
    found = told("import os\n" * 100)
    assert len(found) == MOST + 1 and found[-1] == f"And {100 - MOST} more."
