"""Signs for the instructor: what is worth a look is named with its place, and honest work is left alone."""

import re

import pytest
from answers import rooms
from notebook_files import LABS, file, stored
from submissions import cell

from advcourse.grading.read.signs import MOST, signs
from advcourse.grading.read.submission import read, released


def told(*cells, lab="lab1"):
    return signs(read(file(*cells)), released(lab))


@pytest.mark.parametrize("lab", LABS)
def test_honest_work_gives_no_sign(lab):
    """Checks the authors' notebooks, the untouched copies, and each right and wrong answer as a cell: none hides anything."""
    for folder in ("solutions", "exercises"):
        assert signs(read(stored(lab, folder)), released(lab)) == ()
    for room in rooms(lab):
        for answer in (*room.rights, *(wrong for _, wrong in room.wrongs)):
            assert told(cell(answer, room.task, (room.task,)), lab=lab) == (), (room.task, answer.__name__)


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
        "from IPython.display import HTML, Markdown, clear_output, display\nfrom tqdm.notebook import tqdm",
        "import IPython\nfrom IPython import display as d, get_ipython\nIPython.display.clear_output()",
        "from IPython.core.display import display\nimport ipywidgets as w\nw.IntSlider()",
        "get_ipython().run_line_magic('matplotlib', 'inline')\nget_ipython().magic('%time f()')",
        "colab = 'google.colab' in str(get_ipython())",
        "%config InlineBackend.figure_format = 'retina'\nx = 1",
        "getattr(x, name)\nhasattr(x, 'shape')\nsetattr(self, name, 1)\nself.os = 3\nself.os",
        "from scipy import io, signal\nimport torch.nn as nn\nnn.functional.relu(x)\nmodel.load(x)",
        "'{0.shape} {x[1]}'.format(x)",
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
        ("import os\nos.system('ls')", "runs a program: os.system('ls')"),
        ("import os as o\no.popen('ls')", "runs a program: o.popen('ls')"),
        ("from subprocess import run, Popen\nPopen(['ls'])", "runs a program: Popen(['ls'])"),
        ("import subprocess\nsubprocess.run(['ls', '-l'])", "runs a program: subprocess.run(['ls', '-l'])"),
        ("%%bash\nls", "uses the magic %%bash"),
        ("%run other.py", "uses the magic %run"),
        ("f\\\n.__globals__", "uses .__globals__"),
        ("import torch\ngetattr(torch.serialization, 'os')", "uses getattr with 'os'"),
        ("import torch\nvars(torch.serialization)['os']", "uses vars"),
        ("import torch\ntorch.serialization.__dict__['os']", "uses .__dict__"),
        (
            "import torch\ngetattr(torch, 'serial' + 'ization')",
            "uses getattr with a name that is made at run time",
        ),
        ("import torch\ngetattr(torch, name)", "uses getattr with a name that is made at run time"),
        ("getattr(x, f'o{s}')", "uses getattr with a name that is made at run time"),
        ("hasattr(x, 'subprocess')", "uses hasattr with 'subprocess'"),
        (
            "import operator\noperator.attrgetter('serialization.os')",
            "uses attrgetter with 'serialization.os'",
        ),
        (
            "from operator import methodcaller\nmethodcaller('system', 'ls')(methodcaller('f_globals'))",
            "'f_globals'",
        ),
        ("from operator import attrgetter as a\na('os')", "imports attrgetter under another name"),
        ("f = getattr\nf(x, 'os')", "uses getattr under another name"),
        ("import torch as t\nu = s\ns = t.serialization\nu.load", "uses u.load"),
        ("import torch\ns, n = torch.hub, 1\nfor r in (s, n):\n  r.load", "uses r.load"),
        ("import torch\nif s := torch.utils:\n  s.load", "uses s.load"),
        ("import torch\n[torch][0].serialization.os", "uses .os"),
        ("def f(t):\n  return t.serialization.os", "uses .os"),
        ("from torch.serialization import *\nos.listdir()", "uses os, which no cell imports"),
        ("import torch.serialization as s\ns.os.setpriority(0, 1, 9)", "uses s.os"),
        ("import resource\nresource.prlimit(1, 1)", "imports resource"),
        ("import socket\nimport ctypes", "imports ctypes"),
        ("from torch.serialization import os as o", "imports os from torch.serialization"),
        ("'{0.__class__.__init__}'.format(f)", "names what is inside an object"),
        ("get_ipython().system('ls')", "uses get_ipython"),
        ("get_ipython().run_line_magic('run', 'x.py')", "uses get_ipython"),
        ("get_ipython().run_line_magic(name, 'x.py')", "uses get_ipython"),
        ("get_ipython().run_cell_magic('bash', '', 'ls')", "uses get_ipython"),
        ("shell = get_ipython()", "uses get_ipython"),
        ("import IPython as i\ni.get_ipython().system('ls')", "uses get_ipython"),
        (
            "from IPython.core.interactiveshell import InteractiveShell",
            "imports IPython.core.interactiveshell",
        ),
        ("%config Application.log_level = 1", "uses the magic %config"),
    ],
)
def test_what_is_worth_a_look_is_named_with_its_place(source, what):
    """Checks the sentence, and its cell, against where the code stands; also in a cell that is no code cell."""
    found = told("import torch", f"import math\n{source}")
    assert any(what in sentence for sentence in found), found
    assert all(re.match(r"Cell 2, line [2-5]: .+\.$", sentence) for sentence in found)


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


@pytest.mark.parametrize("text", ["", " ", "%", "%% ", "\t", "\n"])
def test_a_magic_without_a_name_is_no_stumbling_block(text):
    """Checks calls of IPython with a text that names no magic: they are read, and give no more than a sign."""
    for call in ("run_line_magic", "run_cell_magic", "magic", "system", "getoutput"):
        assert all(
            "IPython" in line or "ipython" in line for line in told(f"get_ipython().{call}({text!r}, '')")
        )
