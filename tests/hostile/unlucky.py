"""Honest notebooks of lab 1 that are written in unlucky ways: name -> cells. Jupyter's own kernel says what each must get."""

ANSWER = "def project(x_adv, x, eps):\n    return x_adv.clamp(x - eps, x + eps).clamp({})"
ENDS = ANSWER.format("LOW, HIGH")
STUB = "def project(x_adv, x, eps):\n    raise NotImplementedError()"
OTHER = ANSWER.format("0, 1").replace("project", "other")


def _supplied(*cells):
    """Cells that bind LOW and HIGH, and an answer that needs them."""
    return [*cells, ENDS]


_WIDGETS = "import ipywidgets as w\nLOW = 0\n"
_CHANGES = _WIDGETS + "HIGH = 3\n\n\ndef seen(change):\n    global HIGH\n    HIGH = change['new']\n\n\n"

NOTEBOOKS = {
    # what the notebook remembers
    "the value of a cell": _supplied("LOW = 0\n1", "HIGH = Out[max(Out)]"),
    "the value of a cell under its name": _supplied("LOW = 0", "1", "HIGH = globals()[f'_{max(Out)}']"),
    "the text of a cell": _supplied("LOW = 0", "HIGH = 1 if 'LOW' in In[-2] else 3"),
    "the text of the cell before": _supplied("LOW = 0", "HIGH = 1 if 'LOW' in _i else 3"),
    "a value that is not shown": _supplied("1", "5;", "LOW, HIGH = 0, _"),
    "a value in the middle of a cell": _supplied("1", "5\nthird = 3", "LOW, HIGH = 0, _"),
    "a name of one's own for a value": _supplied("for _ in range(2):\n    pass", "5", "LOW, HIGH = 0, _"),
    "names of one's own for what it remembers": _supplied(
        "In, Out = 0, torch.tensor([1.0])", "5", "del _i\nLOW, HIGH = In, Out.item()"
    ),
    "text that is captured": _supplied(
        "%%capture told\nprint(0, 1)", "LOW, HIGH = map(int, told.stdout.split())"
    ),
    "text that is captured, under %%time": _supplied(
        "%%time\n%%capture --no-stderr told\nprint(0, 1)",
        "told.show()\nLOW, HIGH = map(int, str(told).split())",
    ),
    "text that is captured in a block": _supplied(
        "from IPython.utils.capture import capture_output\nwith capture_output() as told:\n    print('0 1')",
        "LOW, HIGH = map(int, told.stdout.split())",
    ),
    # magics and files
    "a class of magics": _supplied(
        "from IPython.core.magic import Magics, line_magic, magics_class\n@magics_class\nclass Ends(Magics):\n"
        "    @line_magic\n    def top(self, line):\n        return int(line)\n"
        "    @line_magic('low')\n    def bottom(self, line):\n        return self.shell.user_ns['ZERO']\n"
        "get_ipython().register_magics(Ends)",
        "ZERO = 0\nHIGH = %top 1\nLOW = %low",
    ),
    "a file that is not the main program": _supplied(
        "%%writefile ends.py\nLOW, HIGH = 0, 3 if __name__ == '__main__' else 1", "%run -n ends.py"
    ),
    "a file that reads its arguments": _supplied(
        "%%writefile ends.py\nimport argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--high', type=int)\n"
        "LOW, HIGH = 0, parser.parse_args().high",
        "%run ends.py --high 1",
    ),
    # what goes on beside the cells
    "a task that goes on between cells": _supplied(
        "import asyncio\nbox = []\nasync def later():\n    box.append(1)\nasyncio.ensure_future(later())",
        "LOW, HIGH = 0, box[0]",
    ),
    "a task of a loop": _supplied(
        "import asyncio\nbox = []\nasync def later():\n    box.append(1)\nt = asyncio.get_event_loop().create_task(later())",
        "LOW = 0",
        "HIGH = box[0]",
    ),
    "a task that is awaited later": _supplied(
        "import asyncio\nbox = {}\nasync def later():\n    await asyncio.sleep(0.05)\n    box['ends'] = 0, 1\n"
        "task = asyncio.create_task(later())",
        "await task",
        "LOW, HIGH = box['ends']",
    ),
    "a thread that works for the answer": [
        "import queue, threading\nasked, told = queue.Queue(), queue.Queue()\ndef work():\n    while True:\n"
        "        told.put(asked.get().clamp(0, 1))\nthreading.Thread(target=work, daemon=True).start()",
        "def project(x_adv, x, eps):\n    asked.put(x_adv.clamp(x - eps, x + eps))\n    return told.get()",
    ],
    # widgets
    "a slider that begins at its end": _supplied(_WIDGETS + "HIGH = w.IntSlider(min=1, max=5).value"),
    "a slider with a place": _supplied(_WIDGETS + "HIGH = w.FloatSlider(1.0, max=2.0).value"),
    "a choice": _supplied(_WIDGETS + "HIGH = w.Dropdown(options=[1, 2]).value"),
    "a choice of pairs": _supplied(
        _WIDGETS + "HIGH = w.RadioButtons(options=[('top', 1), ('more', 2)]).value"
    ),
    "a slider that code moves": _supplied(
        _CHANGES
        + "slider = w.IntSlider(value=0, max=5)\nslider.observe(seen, names='value')\nslider.value = 1"
    ),
    "a button that code clicks": _supplied(
        _CHANGES.replace("change['new']", "1")
        + "button = w.Button(description='go')\nbutton.on_click(seen)\nbutton.click()"
    ),
    "a function with a default that is tried": _supplied(
        "from ipywidgets import interact\nLOW, HIGH = 0, 3\n@interact(top=(0, 5))\n"
        "def show(top=1):\n    global HIGH\n    HIGH = top"
    ),
    # errors
    "a cell that ends with an error": _supplied("LOW, HIGH = 0, 1\nundefined_thing()\nHIGH = 3"),
    "a cell that ends with a claim": _supplied("LOW, HIGH = 0, 1\nassert HIGH == 2\nHIGH = 5"),
    "a cell that ends the program": _supplied("import sys\nLOW, HIGH = 0, 1\nsys.exit()\nHIGH = 5"),
    "a call that fails after its work": _supplied(
        "LOW, HIGH = 0, 2\ndef step():\n    global HIGH\n    HIGH -= 1\n    raise ValueError", "step()"
    ),
    # stubs
    "a stub that its decorator fills": [
        "def solved(stub):\n    return lambda x_adv, x, eps: x_adv.clamp(x - eps, x + eps).clamp(0, 1)",
        f"@solved\n{STUB}",
    ],
    "a stub whose decorator fills nothing": ["def plain(stub):\n    return stub", f"@plain\n{STUB}"],
    "a stub whose code is replaced": [STUB, OTHER, "project.__code__ = other.__code__"],
    "a stub whose text is executed": [
        "def project(x_adv, x, eps):\n    '''return x_adv.clamp(x - eps, x + eps).clamp(0, 1)'''",
        "body = project.__doc__\nexec('def project(x_adv, x, eps):\\n    ' + body)",
    ],
    # properties, defaults, letters
    "a property that acts": [
        "class Box:\n    high = 3\n    @property\n    def fix(self):\n        Box.high = 1\nbox = Box()",
        "box.fix",
        ANSWER.format("0, Box.high"),
    ],
    "a default that acts": [
        "def project(x_adv, x, eps, top=(HIGH := 1)):\n    return x_adv.clamp(x - eps, x + eps).clamp(0, HIGH)"
    ],
    "a finalizer that acts": [
        "ENDS = {'high': 3}\nclass Last:\n    def __del__(self):\n        ENDS['high'] = 1\nlast = Last()",
        "del last",
        ANSWER.format("0, ENDS['high']"),
    ],
    "a handler of messages that acts": [
        "import logging\nENDS = {'high': 3}\nclass Fills(logging.Handler):\n    def emit(self, record):\n"
        "        ENDS['high'] = 1\n"
        "log = logging.getLogger('ends')\nlog.addHandler(Fills())",
        "log.warning('now')",
        ANSWER.format("0, ENDS['high']"),
    ],
    "letters that are the same": [ANSWER.format("0, 1").replace("project", "ｐroject")],
}
