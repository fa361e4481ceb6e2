"""Notebooks of lab 1 in odd styles: an answer is a body, a way to define it, and a way to give two values to it."""

import random
import re
from dataclasses import dataclass
from pathlib import Path


def _table(name):
    """The rows of a text file: what stands after "### " -> the lines below it."""
    text = (Path(__file__).parent / name).read_text(encoding="utf-8")
    _, *rows = re.split(r"^### (.*)\n", text, flags=re.M)
    return {title: row.rstrip(" \n") for title, row in zip(rows[::2], rows[1::2])}


DEFINITIONS, SUPPLIES = _table("definitions.txt"), _table("supplies.txt")

GRADIENT = (
    "x_in = x.clone().requires_grad_()",
    "logits = model(x_in)",
    "g = torch.autograd.grad({loss}, x_in)[0]",
)
# The log of the odds against a label, which does not vanish where the model is sure.
_ODDS = "(logits.scatter(1, {label}[:, None], -torch.inf).logsumexp(1) - logits.gather(1, {label}[:, None])[:, 0]).sum()"
_BIM = (
    "label, away = (y, 1) if target is None else (target, -1)",
    "x_i = x",
    "for _ in range(steps):",
    "    x_i = x_i.detach().clone().requires_grad_()",
    "    logits = model(x_i)",
    f"    g = torch.autograd.grad({_ODDS.format(label='label')}, x_i)[0]",
    "    x_i = {step}",
    "return x_i.detach()",
)


def _one_step(loss, last):
    return tuple(line.replace("{loss}", loss) for line in GRADIENT) + (last,)


def _many_steps(step):
    return tuple(line.replace("{step}", step) for line in _BIM)


# task -> its parameters; a right body and wrong ones, in which LOW and HIGH stand for the ends of the box
BODIES = {
    "project": (
        "x_adv, x, eps",
        ("near = x_adv.clamp(x - eps, x + eps)", "return near.clamp(LOW, HIGH)"),
        ("near = x_adv.clamp(x - 2 * eps, x + 2 * eps)", "return near.clamp(LOW, HIGH)"),
        ("return x_adv.clamp(-1, HIGH) + LOW",),
    ),
    "fgsm": (
        "model, x, y, eps",
        _one_step(_ODDS.format(label="y"), "return (x + eps * g.sign()).clamp(LOW, HIGH)"),
        _one_step(_ODDS.format(label="y"), "return (x - eps * g.sign()).clamp(LOW, HIGH)"),
        _one_step(_ODDS.format(label="y"), "return x.add_(eps * g.sign()).clamp_(LOW, HIGH)"),
    ),
    "llc": (
        "model, x, eps",
        _one_step("cross_entropy(logits, logits.argmin(1))", "return (x - eps * g.sign()).clamp(LOW, HIGH)"),
        _one_step("cross_entropy(logits, logits.argmin(1))", "return (x + eps * g.sign()).clamp(LOW, HIGH)"),
        _one_step(
            "cross_entropy(logits, logits.argmin(1))", "return (x - eps * g.nothing()).clamp(LOW, HIGH)"
        ),
    ),
    "bim": (
        "model, x, y, eps, alpha, steps, target=None",
        _many_steps("(x_i + away * alpha * g.sign()).clamp(x - eps, x + eps).clamp(LOW, HIGH)"),
        _many_steps("(x_i + away * alpha * g.sign()).clamp(x - alpha, x + alpha).clamp(LOW, HIGH)"),
        _many_steps("(x_i + away * eps * g.sign()).clamp(x - eps, x + eps).clamp(LOW, HIGH)"),
    ),
}
NOISE = (
    {"cell_type": "markdown", "source": "## Notes\n\ndef is a word of Python: it defines."},
    {"cell_type": "raw", "source": "nothing"},
    "guess = 40",
    "1 / 0",
    "def broken(:",
    "import matplotlib.pyplot as plt\n%matplotlib inline\nplt.plot([1, 2])\nplt.show()",
    "from IPython.display import display\ndisplay('half way')",
    "x = torch.rand(2, 1, 28, 28)\nfor i in range(3):\n    x = x + i",
    "torch.manual_seed(3);",
    "values = [i**2 for i in range(5)]\nprint(*values)\ndel values",
    "%timeit -n 1 -r 1 sum(range(10))\n!echo done",
    "",
)


@dataclass(frozen=True)
class Style:
    """An answer to a task: a body (0 is right), a way to define it and a way to give it its values; `cells` of a notebook."""

    task: str
    body: int
    definition: str
    supply: str
    cells: tuple

    def __str__(self):
        return f"{self.task}-{self.body}, {self.definition}, {self.supply}"


def style(task, body, definition, supply, ending, noise=()):
    """The `Style`; the cells of `noise` are spread over it."""
    parameters, *bodies = BODIES[task]
    ends, _, text = SUPPLIES[supply].partition("\n")
    low, high = (end.strip() for end in ends.split("|"))
    lines = [re.sub(r"\bHIGH\b", high, re.sub(r"\bLOW\b", low, line)) for line in bodies[body]]
    answer = re.sub(
        r"^([ \t]*)BODY$",
        lambda found: "\n".join(found[1] + line for line in lines),
        DEFINITIONS[definition],
        flags=re.M,
    )
    before, _, after = (f"\n{text}\n").partition("\n====\n")
    cells = [cell.strip("\n") for part in (before, answer, after) for cell in part.split("\n----\n")]
    arguments = parameters.replace("target=None", "target")
    words = {"PARAMS": parameters, "ARGS": arguments, "FIRST": arguments.split(",")[0], "TASK": task}
    for word, stands_for in words.items():
        cells = [re.sub(rf"\b{word}\b", stands_for, cell) for cell in cells]
    cells = [cell.replace("_N", f"_{ending}") for cell in cells if cell.strip()]
    for i, more in enumerate(noise):
        cells.insert((2 * i) % (len(cells) + 1), more)
    return Style(task, body, definition, supply, tuple(cells))


def drawn(count, seed=0):
    """`count` styles that all differ. Each definition and each supply comes before one comes again."""
    draw, found, sources = random.Random(seed), [], set()
    waiting = {"definition": [], "supply": []}

    def next_of(kind, table):
        if not waiting[kind]:
            waiting[kind] = draw.sample(list(table), len(table))
        return waiting[kind].pop()

    while len(found) < count:
        task, body = draw.choice(list(BODIES)), draw.choice((0, 0, 0, 0, 1, 2))
        names = next_of("definition", DEFINITIONS), next_of("supply", SUPPLIES)
        ending = draw.choice(("a", "b", str(len(found))))
        one = style(task, body, *names, ending, draw.sample(NOISE, draw.randrange(4)))
        if (source := repr(one.cells)) not in sources:
            sources.add(source)
            found.append(one)
    return found
