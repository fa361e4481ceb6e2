"""The command `advcourse audit`: is the robust accuracy that an attack measures on a model to be believed?"""

import ast
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from advcourse.core.errors import InputError
from advcourse.core.files import check_folder, make_folder, replacing

if TYPE_CHECKING:
    from torch import nn

    from advcourse.evaluation import Audit
    from advcourse.evaluation.audit.subject import Made


def add_to(app: typer.Typer) -> None:
    """Add the command to the program's."""
    app.command()(audit)


def audit(
    model: Annotated[
        str,
        typer.Argument(
            help='A shipped model, a defense of the zoo, or "file.py:function".', show_default=False
        ),
    ],
    attack: Annotated[
        str,
        typer.Argument(
            help='Such as PGD or "PGD(eps=0.3, steps=40)", a defense\'s own, or "file.py:name".',
            show_default=False,
        ),
    ],
    images: Annotated[int, typer.Option(help="Held-out images.")] = 40,
    data: Annotated[
        str | None, typer.Option(help="Set of images; default: that of the model's name.", show_default=False)
    ] = None,
    eps: Annotated[
        float | None, typer.Option(help="Budget of the claim; default: the attack's.", show_default=False)
    ] = None,
    profile: Annotated[str, typer.Option(help="quick, or full, ten times as long.")] = "quick",
    seed: Annotated[int, typer.Option(help="Seed of the images and of all that is drawn.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the page and the finished probes.")] = Path(
        "build/audit"
    ),
) -> None:
    """Try what a right evaluation withstands, and write a page of lights. The exit status is 1 if one of them is red."""
    from advcourse.core.inputs import check_choice, check_range
    from advcourse.data import load, names
    from advcourse.evaluation import audit as audited

    check_range(images, "images", 1, integer=True)
    data = check_choice(data or _set_of(model), "data", names())
    net, made = read_model(model), read_attack(attack, model)
    check_folder(out, "out")
    x, y = load(data, "test").pick(images, seed)
    result = audited(net, x, y, made, profile=profile, eps=eps, folder=out / "cells", seed=seed)
    page = write(result, out, f"{attack} on {model}")
    for finding in result.findings:
        typer.echo(f"{finding.light:<6} {finding.check:>6}  {finding.sentence}")
        if finding.remedy:
            typer.echo(f"{'':15}{finding.remedy}")
    typer.echo(f"Light: {result.light}. Page: {page}")
    raise typer.Exit(int(result.light == "red"))


def read_model(text: str) -> "nn.Module":
    """Return the model that the command names: a shipped one, a deployed defense, or what a function of a file returns.

    Raises:
        InputError: there is none of that name.
    """
    from advcourse import models
    from advcourse.core.inputs import check_choice
    from advcourse.evaluation import ModelSource
    from advcourse.zoo import deployed

    if ":" in text:
        with _named("model"):
            return ModelSource(text, build=_beside(text)).load()
    name = check_choice(text, "model", (*models.names(), *deployed.names()))
    return deployed.load(name) if name in deployed.names() else models.load(name)


def read_attack(text: str, model: str) -> "Made":
    """Return the attack that the command names.

    Args:
        text: a name of the registry, with settings in brackets or without; a name of an adaptive attack of the defense `model`;
            or "file.py:name" of an attack or a function (model, x, y) -> images.
        model: as the command names it.

    Raises:
        InputError: there is none of that name, or a setting is wrong.
    """
    from advcourse.attacks import REGISTRY
    from advcourse.core.inputs import check_choice
    from advcourse.evaluation.cells import imported
    from advcourse.zoo import deployed

    own = deployed.DEFENSES[model].adaptive if model in deployed.names() else {}
    if text in own:
        return own[text]
    if ":" in text:
        with _named("attack"):
            return imported(_beside(text))
    name, settings = _call(text)
    kind = REGISTRY[check_choice(name, "attack", (*REGISTRY, *own))]
    try:
        return kind(**settings)
    except TypeError as error:
        raise InputError(f"attack: got {text!r}; allowed are the settings of {name} ({error})") from None


def _set_of(model):
    """Return the data set that a model was made for, by its name."""
    made_for = {"signs": "signs", "faces": "faces", "photo": "photos"}
    return next((name for start, name in made_for.items() if model.startswith(start)), "mnist-5k")


def _call(text):
    """Return name and settings of a text like "PGD(eps=0.3, steps=40)"; it is read, never run."""
    try:
        call = ast.parse(text, mode="eval").body
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and not call.args:
            return call.func.id, {one.arg: _value(one.value) for one in call.keywords}
    except (SyntaxError, ValueError):
        pass
    if "(" in text:
        raise InputError(
            f'attack: got {text!r}; allowed is a name, with settings such as "PGD(eps=8/255, steps=40)"'
        )
    return text, {}


def _value(node):
    """Return a literal, or a quotient of two, such as 8/255."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        below = ast.literal_eval(node.right)
        if not below:
            raise ValueError("division by zero")
        return ast.literal_eval(node.left) / below
    return ast.literal_eval(node)


@contextmanager
def _named(name):
    """Inside the block, an `InputError` about "build" is raised under the command's own name for it."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error).replace("build:", f"{name}:", 1)) from error


def _beside(text):
    """Return the text, after making sure that files in the working folder can be imported."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    return text


def write(result: "Audit", folder: Path | str, title: str) -> Path:
    """Write audit.html, audit.md and audit.json into a folder; return the path of the page."""
    folder = make_folder(folder)
    texts = {
        "audit.html": result.as_html(title),
        "audit.md": result.as_markdown() + "\n",
        "audit.json": result.as_json(),
    }
    for name, text in texts.items():
        with replacing(folder / name) as partial:
            partial.write_text(text, encoding="utf-8", newline="")
    return folder / "audit.html"
