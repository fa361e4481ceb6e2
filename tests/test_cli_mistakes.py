"""Bad input to every command of `advcourse`: one sentence that names the argument, status 2, and nothing is written or begun."""

import shutil
import sys
from io import BytesIO
from pathlib import Path

import pytest
from nbclient.exceptions import CellExecutionError
from PIL import Image

from advcourse import cli
from advcourse.cases.sheet import Cell, Sheet
from advcourse.core import workers
from advcourse.core.inputs import InputError
from advcourse.course import notebooks
from advcourse.data.signs import CLASSES
from advcourse.evaluation import defended
from advcourse.grading import classroom, dryrun
from advcourse.labs import release
from advcourse.zoo import recipes

SHEET = Sheet("0f0f", "signs-cnn", CLASSES, "PGD", (3, 32, 32), (Cell(0, "clean", 0),) * 30)
GREY = BytesIO()
Image.new("L", (100, 80), 128).save(GREY, "PNG")
EMPTY = release.ROOT / "exercises" / "lab4" / "lab4.ipynb"
FILES = {
    "file": b"x",
    "empty": b"",
    "latin.md": b"\xe4\xff",
    "plain.md": b"no markers",
    "turned.md": b"<!-- coverage ends -->\n<!-- coverage: made by `advcourse coverage --write README.md` -->",
    "good.yml": b"data: {name: mnist-5k, images: 2}\nmodels: mnist-mlp\nattacks: FGSM\n",
    "torn.yml": b"data: [1\nmodels: {",
    "list.yml": b"- 1\n- 2\n",
    "binary.yml": b"\xff\xfe\x00",
    "speed.yml": b"data: mnist-5k\nmodels: mnist-mlp\nattacks: FGSM\nspeed: 3\n",
    "below.yml": b"data: mnist-5k\nmodels: mnist-mlp\nattacks: FGSM\nbatch: -1\n",
    "huge.yml": b"data: mnist-5k\nmodels: mnist-mlp\nattacks: FGSM\nseed: 99999999999999999999999\n",
    "torn.zip": b"no archive",
    "short": b"abc",
    "columns.csv": b"a,b\n1,2\n",
    "other.json": b"{}",
    "sheet.json": SHEET.as_json().encode(),
    "grey.png": GREY.getvalue(),
}
LONG = "x" * 300  # more than a file's name may have
# Command -> what its message says.
MISTAKES = {
    f"coverage --write {LONG}": f"write: got '{LONG}' (File name too long)",
    f"evaluate {LONG}.yml": f"file: got '{LONG}.yml'; allowed",
    f"evaluate good.yml --out {LONG}": f"out: got '{LONG}'; allowed is a folder to write to (File name too long)",
    f"evaluate {LONG}.yml --init": f"file: got '{LONG}.yml'; allowed is a file to write to (File name too long)",
    f"grade {LONG} --lab 4": f"submissions: got '{LONG}'; allowed is a folder, or a ZIP archive",
    f"grade in --lab 4 --roster {LONG}": f"roster: {LONG} cannot be read (File name too long)",
    f"grade in --lab 4 --secret {LONG}": f"secret: got '{LONG}'; allowed",
    f"run 0 --out {LONG}": f"out: got '{LONG}'; allowed is a folder to write to (File name too long)",
    "coverage --write /dev/zero": "write: got '/dev/zero' (File too large); allowed",
    "evaluate /dev/zero": "file: got '/dev/zero'; allowed is a YAML file that can be read (File too large)",
    "grade in --lab 4 --roster /dev/zero": "roster: /dev/zero cannot be read (File too large)",
    "grade in --lab 4 --secret /dev/zero": "secret: got '/dev/zero'; allowed is a file that can be read",
    "check /dev/zero": "lab: /dev/zero does not say which it is of",
    "grade in --lab 4 --out in": "out: got 'in', in the folder of the submissions",
    "grade in --lab 4 --out in/grades": "out: got 'in/grades', in the folder of the submissions",
    f"check {LONG}": f"notebook: got '{LONG}'; allowed is a file that can be read",
    "print folder/absent/x.pdf": "path: got 'folder/absent/x.pdf'; allowed is a file to write to (No such file",
    "print folder": "path: got 'folder'; allowed is a name that ends in .pdf",
    "print x.pdf --model signs-net": "model: got 'signs-net'; allowed are 'mnist-cnn'",
    "print x.pdf --attack CWL2": "attack: got 'CWL2'; allowed are 'FGSM'",
    "print x.pdf --eps 0": "eps: got 0.0; allowed is a number > 0 and <= 1",
    "print x.pdf --seed -1": "seed: got -1; allowed is an integer >= 0",
    f"print {LONG}.pdf": f"path: got '{LONG}.pdf'; allowed is a file to write to (File name too long)",
    "read absent.jpg --sheet sheet.json": "photo: got 'absent.jpg'; allowed is a picture, such as a JPEG (No such file",
    "read file --sheet sheet.json": "photo: got 'file'; allowed is a picture, such as a JPEG (this is none, or",
    "read folder --sheet sheet.json": "photo: got 'folder'; allowed is a picture, such as a JPEG (Is a directory)",
    "read grey.png --sheet sheet.json": "photo: shows none of the sheet's markers",
    "read grey.png --sheet absent.json": "sheet: got 'absent.json'; allowed is a JSON file made by 'advcourse print' (No such",
    "read grey.png --sheet good.yml": "sheet: got 'good.yml'; allowed is a JSON file made by 'advcourse print': this is not",
    "read grey.png --sheet other.json": "sheet: got 'other.json'; allowed is a JSON file made by 'advcourse print': this is a",
    "read grey.png --corners 1 2,2 3,3 4,4": "corners: got '1'; allowed are two numbers, such as 120,85",
    "read grey.png --sheet sheet.json --corners 1,1 90,1 90,1 1,1": "corners: got points in another order",
    "read grey.png --out folder": "out: got 'folder'; allowed is a file to write to (Is a directory)",
    "read grey.png --out framed.txt": "out: got 'framed.txt'; allowed is a name that ends in .png or .jpg",
    "coverage --write absent.md": "write: got 'absent.md' (No such file or directory); allowed is a text file with the lines",
    "coverage --write folder": "write: got 'folder' (Is a directory); allowed",
    "coverage --write file/x.md": "write: got 'file/x.md' (Not a directory); allowed",
    "coverage --write latin.md": "write: got 'latin.md', which is not in UTF-8; allowed",
    "coverage --write plain.md": "write: got 'plain.md', which lacks them; allowed",
    "coverage --write turned.md": "write: got 'turned.md', which lacks them; allowed",
    "matrix --write absent.md": "write: got 'absent.md' (No such file or directory); allowed",
    "matrix --write plain.md": "write: got 'plain.md', which lacks them; allowed",
    "matrix --out file": "out: got 'file'; allowed is a folder to write to (Not a directory)",
    "matrix --images 0": "images: got 0; allowed is an integer >= 1",
    "matrix --images -7": "images: got -7; allowed",
    "matrix --defense armour": "defenses: got 'armour'; allowed are 'none', 'NAT'",
    "evaluate absent.yml": "file: got 'absent.yml'; allowed is a YAML file that can be read (No such file",
    "evaluate folder": "file: got 'folder'; allowed is a YAML file",
    "evaluate empty": "empty: got an empty file; allowed is YAML",
    "evaluate torn.yml": "torn.yml, line 2: got text that is not valid YAML",
    "evaluate list.yml": "list.yml, line 1: got a list; allowed is a mapping of title",
    "evaluate binary.yml": "binary.yml, line 1: got the byte 0xff; allowed is text in UTF-8",
    "evaluate speed.yml": "speed.yml, line 4, speed: unknown key; allowed are title",
    "evaluate below.yml": "below.yml, line 4, batch: got -1; allowed is an integer >= 16",
    "evaluate huge.yml": "huge.yml, line 4, seed: got 99999999999999999999999; allowed are whole numbers",
    "evaluate good.yml --out file": "out: got 'file'; allowed is a folder to write to (Not a directory)",
    "evaluate good.yml --out file/x": "out: got 'file/x'; allowed is a folder to write to (Not a directory)",
    "evaluate good.yml --out new/folder --scheduler tcp://127.0.0.1:9": "scheduler: got 'tcp://127.0.0.1:9'; allowed is",
    "evaluate good.yml --scheduler nonsense://": "scheduler: got 'nonsense://'; allowed is the address of a dask scheduler",
    "evaluate good.yml --images 0": "images: got 0; allowed is an integer >= 1",
    "evaluate good.yml --device abacus": "device: got 'abacus'; allowed is 'auto' or a device of this machine",
    "evaluate good.yml --init": "file: got 'good.yml', which already exists; allowed is a new file",
    "evaluate file/x.yml --init": "file: got 'file/x.yml'; allowed is a file to write to (Not a directory)",
    "audit armour PGD": "model: got 'armour'; allowed are 'mnist-cnn'",
    "audit absent.py:net PGD": "model: got 'absent.py:net'; allowed is",
    "audit mnist-mlp Armour": "attack: got 'Armour'; allowed are 'FGSM'",
    "audit mnist-mlp absent.py:attack": "attack: got 'absent.py:attack'; allowed is",
    "audit mnist-mlp PGD(eps=": "attack: got 'PGD(eps='; allowed is a name, with settings",
    "audit mnist-mlp PGD(eps=8/0)": "attack: got 'PGD(eps=8/0)'; allowed is a name, with settings",
    "audit mnist-mlp PGD(eps=-1)": "eps: got -1; allowed is a number >= 0",
    "audit mnist-mlp PGD(speed=3)": "attack: got 'PGD(speed=3)'; allowed are the settings of PGD",
    "audit mnist-mlp CWL2": "eps: got None, but a minimum-norm attack has no budget",
    "audit mnist-mlp JSMA": "norm: got an attack in L0",
    "audit mnist-mlp PGD --eps 0": "eps: got 0.0; allowed is a number > 0",
    "audit mnist-mlp PGD --images 0": "images: got 0; allowed is an integer >= 1",
    "audit mnist-mlp PGD --data armour": "data: got 'armour'; allowed are 'mnist-5k'",
    "audit mnist-mlp PGD --profile slow": "profile: got 'slow'; allowed are 'quick', 'full'",
    "audit mnist-mlp PGD --seed -1": "seed: got -1; allowed is an integer >= 0",
    "audit mnist-mlp PGD --out file": "out: got 'file'; allowed is a folder to write to (Not a directory)",
    "completion fish": "shell: got 'fish'; allowed are 'bash', 'zsh'",
    "run 0 --out file": "out: got 'file'; allowed is a folder to write to",
    "run 0 --profile slow": "profile: got 'slow'; allowed are 'fast', 'full'",
    "run 0 --seed -1": "seed: got -1; allowed is an integer >= 0",
    "run 0 --device abacus": "device: got 'abacus'; allowed",
    "run ninety": "chapter: got 'ninety'; allowed are 00_start_here",
    "refresh ninety": "chapter: got 'ninety'; allowed are 00_start_here",
    "refresh ninety --results": "chapter: got 'ninety'; allowed are 00_start_here",
    "export ninety": "chapter: got 'ninety'; allowed are 00_start_here",
    "export 0 --out file": "out: got 'file'; allowed is a folder to write to",
    "train armour": "model: got 'armour'; allowed are 'mnist-cnn'",
    "train mnist-mlp --out file": "out: got 'file'; allowed is a folder to write to (Not a directory)",
    "release lab0": "lab: got 'lab0'; allowed are 'lab1'",
    "grade absent --lab 4": "submissions: got 'absent'; allowed is a folder, or a ZIP",
    "grade empty --lab 4": "submissions: got 'empty'; allowed is a folder, or a ZIP",
    "grade folder --lab 4": "submissions: no notebook of lab4 in 'folder'; allowed",
    "grade torn.zip --lab 4": "submissions: torn.zip: the ZIP archive cannot be opened",
    "grade in --lab ninety": "lab: got 'labninety'; allowed are 'lab1'",
    "grade in --lab 4 --out file": "out: got 'file'; allowed is a folder to write to",
    "grade in --lab 4 --secret absent": "secret: got 'absent'; allowed is a file that can be read",
    "grade in --lab 4 --secret short": "secret: short has 3 bytes; allowed are 16 or more",
    "grade in --lab 4 --scheduler tcp://127.0.0.1:9": "scheduler: got 'tcp://127.0.0.1:9'; allowed is the address",
    "grade in --lab 4 --roster folder": "roster: folder cannot be read (Is a directory)",
    "grade in --lab 4 --roster columns.csv": "roster: columns.csv lacks columns",
    "grade in --lab 4 --nbgrader folder": "nbgrader: got 'folder'; allowed is a file to write to",
    "grade in --lab 4 --nbgrader file": "nbgrader: got 'file', no database; allowed is an nbgrader gradebook",
    "grade in --lab 4 --deadline soon": "deadline: got 'soon'; allowed is a date",
    "grade in --lab 4 --attempts oldest": "attempts: got 'oldest'; allowed are 'newest', 'best'",
    "grade in --lab 4 --isolation magic": "isolation: got 'magic'; allowed are 'auto'",
    "check absent.ipynb": "notebook: got 'absent.ipynb'; allowed is a file that can be read",
    "check folder": "notebook: got 'folder'; allowed is a file that can be read",
    "check empty": "lab: empty does not say which it is of; allowed are lab1",
    "check lab4.ipynb --lab 0": "lab: got 'lab0'; allowed",
    "check lab4.ipynb --seed -1": "seed: got -1; allowed",
    "check lab4.ipynb --isolation magic": "isolation: got 'magic'; allowed are 'auto'",
    "check lab4.ipynb --page folder": "page: got 'folder'; allowed is a file to write to (Is a directory)",
    "check lab4.ipynb --page file/x.html": "page: got 'file/x.html'; allowed is a file to write to",
}
# What the library of the command line refuses itself; its box of several lines names the option.
REFUSED = {
    "lab --port -1": "--port",
    "lab --port 65536": "--port",
    "evaluate --workers many": "--workers",
    "evaluate --out": "--out",
    "evaluate --no-such-option": "--no-such-option",
    "evaluate good.yml other.yml": "other.yml",
    "grade in": "--lab",
    "audit mnist-mlp": "attack",
    "no-such-command": "no-such-command",
}


@pytest.fixture
def advcourse(tmp_path, monkeypatch, capsys):
    """`advcourse(command)`: (status, stdout, stderr), in a folder with the files above, where nothing may be measured."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name, content in FILES.items():
        Path(name).write_bytes(content)
    for folder in ("folder", "in"):
        Path(folder).mkdir()
    shutil.copy(EMPTY, "lab4.ipynb")
    shutil.copy(EMPTY, Path("in", "somebody.ipynb"))
    for module, name in (
        (recipes, "train_shipped"),
        (notebooks, "run"),
        (notebooks, "refresh"),
        (workers, "work"),
        (classroom, "in_processes"),
        (release, "refresh"),
    ):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("the work has begun"))

    def run(command):
        monkeypatch.setattr(sys, "argv", ["advcourse", *command.split()])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return stopped.value.code or 0, *capsys.readouterr()

    return run


def contents():
    """Path -> bytes of each file in the folder, None of each folder in it."""
    return {path: path.read_bytes() if path.is_file() else None for path in Path().rglob("*")}


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_is_one_sentence_and_nothing_is_written(command, advcourse):
    """The sentences, written out by hand; files and folders against those before. Work that begins fails the test."""
    before = contents()
    status, output, errors = advcourse(command)
    assert (status, output) == (2, "") and errors.count("\n") == 1, errors
    assert errors.startswith(f"advcourse: {MISTAKES[command]}")
    assert contents() == before


@pytest.mark.parametrize("command", REFUSED)
def test_what_is_no_command_is_refused_by_name(command, advcourse):
    """The option's own name, status 2, no traceback."""
    before = contents()
    status, output, errors = advcourse(command)
    assert (status, output) == (2, "") and REFUSED[command] in errors and "Traceback" not in errors
    assert contents() == before


def test_every_option_is_tried():
    """The options of each command, against those of the tables: one that is new has to be tried as well."""
    from typer.main import get_command

    tried = {command.split()[0]: set() for command in (*MISTAKES, *REFUSED)}
    for command in (*MISTAKES, *REFUSED):
        tried[command.split()[0]] |= {word for word in command.split() if word.startswith("--")}
    # Flags, free text, and numbers that are tried where they are used (test_cli_evaluate, test_workers).
    free = {"--browser", "--instructor", "--json", "--markdown", "--run", "--help", "--workers"}
    for name, command in get_command(cli.app).commands.items():
        options = {word for option in command.params for word in option.opts if word.startswith("--")}
        if options - free:
            assert options - free <= tried[name], name


@pytest.mark.parametrize("command, module", [("refresh 0", notebooks), ("release lab4 --run", release)])
def test_a_cell_that_fails_is_one_line_and_status_1(command, module, advcourse, monkeypatch):
    """nbclient's own error, whose text is a traceback of many lines."""
    failed = CellExecutionError("Traceback\n...", "KeyError", "'lost'")

    def fail(*_):
        raise failed

    monkeypatch.setattr(module, "refresh", fail)
    status, output, errors = advcourse(command)
    assert (status, output) == (1, "") and "left unchanged: KeyError: 'lost'\n" in errors
    assert "Traceback" not in errors


def test_no_records_have_no_tables():
    """The sentence, written out by hand."""
    with pytest.raises(InputError, match="records: got none; allowed is at least one"):
        defended.as_markdown([])


def test_a_page_is_checked_before_the_grading(advcourse, monkeypatch):
    """Grading fails the test."""
    monkeypatch.setattr(dryrun, "check", lambda *_: pytest.fail("graded"))
    assert advcourse("check lab4.ipynb --page folder")[0] == 2
