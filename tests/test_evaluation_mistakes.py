"""Mistakes in a settings file: each is told before anything runs, with file, line, key, what was given and what is allowed."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from settings_files import BASE, GOOD, KEYS, told, write

from advcourse import attacks, models
from advcourse.core.inputs import InputError
from advcourse.evaluation.settings import read

ATTACKS = ", ".join((*attacks.REGISTRY, "PhonePGD", "RoadStickers", "AppAdditions"))
DETECTORS = [f"apps-{name}" for name in ("mlp", "distilled", "hardened", "monotone", "manifest", "code")]
MODELS = ", ".join([*models.names(), *DETECTORS])
ROOTS = {"data": "mnist-5k", "models": "mnist-mlp", "attacks": "FGSM"}

# A whole file -> what is told of it.
FILES = {
    "": "m.yml: got an empty file; allowed is YAML",
    "# nothing\n": "m.yml: got an empty file; allowed is YAML",
    b"data: \xff": "m.yml, line 1: got the byte 0xff; allowed is text in UTF-8",
    "title: T\ndata: \x07": "m.yml, line 2: got the character '\\x07'; allowed is text",
    "[" * 5000: "m.yml: got lists that are nested too deeply to read; allowed are a few levels",
    "- data": f"m.yml, line 1: got a list; allowed is a mapping of {KEYS}",
    "data": f"m.yml, line 1: got 'data'; allowed is a mapping of {KEYS}",
    "title: T\nmodels: [a, b\ndata: x\n": "m.yml, line 3: got text that is not valid YAML (while parsing a flow sequence, "
    "expected ',' or ']', but got ':'; it began on line 2)",
    "data: a: b": "m.yml, line 1: got text that is not valid YAML (mapping values are not allowed here)",
    "a: b\n---\nc: d\n": "m.yml, line 2: got text that is not valid YAML (expected a single document in the stream, "
    "but found another document; it began on line 1)",
}

# What YAML has, and these files have not.
NO_TAGS = "got a tag, an anchor or an alias (!, & or *); allowed are plain values"
FILES |= {
    "title: !!python/object/apply:os.system [touch hacked]": f"m.yml, line 1: {NO_TAGS}",
    "data: x\nmodels: !mine x": f"m.yml, line 2: {NO_TAGS}",
    "data: &x mnist-5k": f"m.yml, line 1: {NO_TAGS}",
    "data: x\nmodels: [*x]": f"m.yml, line 2: {NO_TAGS}",
}

# data: -> what is told, from the line on. `models` is on line 3 of these files, `attacks` on line 4.
DATA = {
    "mnist5k": "line 2, data: got 'mnist5k'; allowed are mnist-5k, signs, faces, photos, mnist, cifar10, gtsrb, plates, apps; "
    "did you mean mnist-5k?",
    "{name: signs, split: valid}": "line 2, data.split: got 'valid'; allowed are train, test",
    "{name: mnist-5k, images: 1001}": "line 2, data.images: got 1001; allowed is an integer >= 1 and <= 1000",
    "{name: mnist-5k, images: 0}": "line 2, data.images: got 0; allowed is an integer >= 1 and <= 1000",
    "{name: mnist-5k, images: [4, 5]}": "line 2, data.images: got a list; allowed is one value",
    "{name: mnist-5k, seed: -1}": "line 2, data.seed: got -1; allowed is an integer >= 0",
    "{name: mnist-5k, image: 4}": "line 2, data.image: unknown key; allowed are name, split, images, seed; did you mean images?",
    "[{images: 3}]": "line 2, data[0].name: missing; allowed is text",
    "[mnist-5k, {name: mnist-5k, seed: 1}]": "line 2, data[1]: got 'mnist-5k test' again, first on line 2; "
    "allowed is each name once",
    "[]": "line 2, data: got an empty list; allowed is a data set, or a list of them",
    "": "line 2, data: got nothing; allowed are mnist-5k, signs, faces, photos, mnist, cifar10, gtsrb, plates, apps",
}
MODEL = {
    "mnist-mpl": f"line 3, models: got 'mnist-mpl'; allowed are {MODELS}; did you mean mnist-mlp?",
    "[mnist-mlp, mnist-mlp]": "line 3, models[1]: got 'mnist-mlp' again, first on line 3; allowed is each name once",
    "{name: x, folder: absent}": "line 3, models.folder: got 'absent'; allowed is a folder of models, "
    "NAME.json and NAME.safetensors",
    "{name: x, folder: a, build: b}": "line 3, models.folder: got 'a' together with build; allowed is only one of the two",
    "{name: mnist-mlp, biuld: a}": "line 3, models.biuld: unknown key; allowed are name, folder, build; did you mean build?",
    "[3]": "line 3, models[0]: got 3; allowed is text, in quotes: '3'",
    "[]": "line 3, models: got an empty list; allowed is a model, or a list of them",
    "": "line 3, models: got nothing; allowed is text",
}
ATTACK = {
    "[fgsm]": f"line 4, attacks[0]: got 'fgsm'; allowed are all, table 1, {ATTACKS}; did you mean FGSM?",
    "{attack: PhonePGD, strength: 3}": "line 4, attacks.strength: got 3; allowed is a number >= 0 and <= 2",
    "{attack: PhonePGD, draws: 0}": "line 4, attacks.draws: got 0; allowed is an integer >= 1",
    "{attack: PhonePGD, jpeg: 1}": "line 4, attacks.jpeg: unknown key; allowed are attack, name, eps, alpha, steps, "
    "draws, strength, targeted, seed",
    "{attack: C&W}": f"line 4, attacks.attack: got 'C&W'; allowed are {ATTACKS}",
    "[{eps: 0.1}]": f"line 4, attacks[0].attack: missing; allowed are {ATTACKS}",
    "[]": "line 4, attacks: got an empty list; allowed is all, table 1, an attack, or a list of them",
    "\n  - FGSM\n  - attack: PGD\n    eps: -1": "line 7, attacks[1].eps: got -1; allowed is a number >= 0",
    "\n  attack: PGD\n  eps:\n    - 0.1\n    - .inf": "line 8, attacks.eps[1]: got inf; allowed is a number >= 0",
    "{attack: PGD, eps: []}": "line 4, attacks.eps: got an empty list; allowed is a number, or a list of numbers",
    "{attack: PGD, eps: [[0.1]]}": "line 4, attacks.eps[0]: got a list; allowed is one value",
    "{attack: PGD, eps: [0.1, 0.10]}": "line 4, attacks.eps[1]: got 'PGD, eps 0.1' again, first on line 4; "
    "allowed is each name once",
    "{attack: PGD, eps: 0.1, eps: 0.2}": "line 4, attacks.eps: given twice, first on line 4; allowed is each key once",
    "{attack: PGD, steps: [1, 2]}": "line 4, attacks.steps: got a list; allowed is one value",
    "{attack: PGD, steps: {a: 1}}": "line 4, attacks.steps: got a mapping; allowed is one value",
    "{attack: PGD, steps: }": "line 4, attacks.steps: got nothing; allowed is one value",
    "{attack: PGD, steps: 1.5}": "line 4, attacks.steps: got 1.5; allowed is an integer >= 1",
    "{attack: PGD, eps: true}": "line 4, attacks.eps: got True; allowed is a number >= 0",
    "{attack: PGD, eps: '0.1'}": "line 4, attacks.eps: got '0.1'; allowed is a number >= 0",
    "{attack: PGD, norm: L1}": "line 4, attacks.norm: got 'L1'; allowed are 'Linf', 'L2'",
    "{attack: PGD, targeted: 1}": "line 4, attacks.targeted: got 1; allowed are true and false",
    "{attack: PGD, name: 5}": "line 4, attacks.name: got 5; allowed is text, in quotes: '5'",
    "{attack: FGSM, decay: 3}": "line 4, attacks.decay: unknown key; allowed are attack, name, eps, targeted",
    "{attack: FGSM, epz: 3}": "line 4, attacks.epz: unknown key; allowed are attack, name, eps, targeted; did you mean eps?",
    "{attack: RFGSM, eps: [0.3, 0.01]}": "line 4, attacks.alpha: got 0.05; allowed is a number >= 0 and <= 0.01",
    "{attack: PGD, restarts: 2, random_start: false}": "line 4, attacks.restarts: got 2 with random_start=False; "
    "allowed is 1, because all runs would be the same",
    "{attack: JSMA, gamma: [0.1, 2]}": "line 4, attacks.gamma[1]: got 2; allowed is a number >= 0 and <= 1",
    "[all, FGSM]": "line 4, attacks[1]: got 'FGSM' again, first on line 4; allowed is each name once",
    "Table 1": f"line 4, attacks: got 'Table 1'; allowed are all, table 1, {ATTACKS}; did you mean table 1?",
    "[{attack: PGD, eps: [1]}, {attack: BIM, name: 'PGD, eps 1'}]": "line 4, attacks[1]: got 'PGD, eps 1' again, "
    "first on line 4; allowed is each name once",
}

# Words and numbers that are not what they look like.
AMBIGUOUS = (
    "which programs read in different ways; allowed are true, false, decimal numbers, and text in quotes"
)
ATTACK |= {"\n  attack: CWL2\n  targeted: yes": f"line 6, attacks.targeted: got yes, {AMBIGUOUS}"}
REST = {
    "title: No": f"line 5, title: got No, {AMBIGUOUS}",
    "seed: 010": f"line 5, seed: got 010, {AMBIGUOUS}",
    "seed: 08": f"line 5, seed: got 08, {AMBIGUOUS}",
    "seed: 0x10": f"line 5, seed: got 0x10, {AMBIGUOUS}",
    "batch: 1:36": f"line 5, batch: got 1:36, {AMBIGUOUS}",
    "batch: 1_600": f"line 5, batch: got 1_600, {AMBIGUOUS}",
    "seed: 9223372036854775808": "line 5, seed: got 9223372036854775808; allowed are whole numbers from -2^63 to 2^63 - 1",
    # Keys.
    "atacks: FGSM": f"line 5, atacks: unknown key; allowed are {KEYS}; did you mean attacks?",
    "seed: 1\nthreads: 1\nseed: 1": "line 7, seed: given twice, first on line 5; allowed is each key once",
    "? [a]\n: b": "line 5: got a list or a mapping as a key; allowed is a word",
    "<<: {seed: 1}": f"line 5, <<: unknown key; allowed are {KEYS}",
    # Conditions.
    "title: 2024": "line 5, title: got 2024; allowed is text, in quotes: '2024'",
    "title: ' '": "line 5, title: got ' '; allowed is text",
    "title:": "line 5, title: got nothing; allowed is text",
    "target: radnom": "line 5, target: got 'radnom'; allowed are 'random', 'least_likely', 'next'",
    "seed: -1": "line 5, seed: got -1; allowed is an integer >= 0",
    "threads: 0": "line 5, threads: got 0; allowed is an integer >= 1",
    "threads: [1]": "line 5, threads: got a list; allowed is one value",
    "batch: 100": "line 5, batch: got 100; allowed are multiples of 16",
    "pictures: few": "line 5, pictures: got 'few'; allowed is an integer >= 0",
    "device: 0": "line 5, device: got 0; allowed is text, in quotes: '0'",
    "transformations:\n  - {noise: -1}": "line 6, transformations[0].noise: got -1; allowed is a number >= 0",
    "transformations: {jpeg: 0}": "line 5, transformations.jpeg: got 0; allowed is an integer >= 1 and <= 100",
    "transformations: {blur: 7}": "line 5, transformations.blur: got 7, which reaches 28 pixels far; "
    "allowed is less than the images' 28 x 28",
    "transformations: {blur: [1]}": "line 5, transformations.blur: got a list; allowed is one value",
    "transformations: [{shear: 1}]": "line 5, transformations[0].shear: unknown key; allowed are noise, blur, jpeg, "
    "phone, seed",
    "transformations: {phone: 3}": "line 5, transformations.phone: got 3; allowed is a number >= 0 and <= 2",
    "transformations: {phone: 1, seed: -1}": "line 5, transformations.seed: got -1; allowed is an integer >= 0 and <= "
    f"{2**63 - 1}",
    "transformations: {blur: 1, seed: 3}": "line 5, transformations.seed: unknown key; allowed are blur",
    "transformations: [{phone: 1}, {phone: 1, seed: 2}]": "line 5, transformations[1]: got 'phone photograph 1' again, "
    "first on line 5; allowed is each name once",
    "transformations: [8bit]": "line 5, transformations[0]: got '8bit'; allowed are {noise: a number}, {blur: a number}, "
    "{jpeg: a number}, {phone: a number} and 8-bit",
    "transformations: [8-bit, 8-bit]": "line 5, transformations[1]: got '8 bit' again, first on line 5; "
    "allowed is each name once",
}


def file(rest="", **parts):
    """A file of four lines that is good but for the `parts` and the `rest`."""
    return "# A comment.\n" + "".join(f"{key}: {part}\n" for key, part in (ROOTS | parts).items()) + rest


BAD = FILES | {
    text: f"m.yml, {message}"
    for made, messages in (
        (lambda part: file(data=part), DATA),
        (lambda part: file(models=part), MODEL),
        (lambda part: file(attacks=part), ATTACK),
        (file, REST),
    )
    for text, message in ((made(part), message) for part, message in messages.items())
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Every test is in a folder of its own."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("text", BAD, ids=lambda text: repr(text[-40:]))
def test_a_mistake(text):
    """Checks the whole message against the one that stands here, written by hand; and that nothing in a file is ever run."""
    assert told(text) == [BAD[text]]
    assert not Path("hacked").exists()


def test_the_file_of_the_mistakes_is_good():
    """Checks that what the mistakes are put into has none of its own."""
    assert len(read(write(file())).cells) == 1


def test_missing_keys():
    """Checks a file that lacks what has to be there: each key is named, with what it may be."""
    assert told("title: T\n") == [
        "m.yml, line 1, data: missing; allowed is a data set, or a list of them",
        "m.yml, line 1, models: missing; allowed is a model, or a list of them",
        "m.yml, line 1, attacks: missing; allowed is all, table 1, an attack, or a list of them",
    ]


def test_a_device_that_is_not_there():
    """Checks a card that no machine has: told with the line."""
    [line] = told(BASE + "attacks: FGSM\ndevice: cuda:99\n")
    assert line.startswith(
        "m.yml, line 4, device: got 'cuda:99'; allowed is 'auto' or a device of this machine ("
    )


@pytest.mark.parametrize("path", ["absent.yml", "."])
def test_no_file(path):
    """Checks a file that is not there, and a folder: one line that names the path."""
    with pytest.raises(
        InputError, match=rf"^file: got '{re.escape(path)}'; allowed is a YAML file that can be read \(.+\)$"
    ):
        read(path)


def test_all_problems_at_once():
    """Checks that problems in all parts are told together, by line; and of very many the first twenty, and how many more."""
    text = "data: mnist\nmodels: [mnist-mlp, x]\nattacks: [FGSM, {attack: PGD, eps: -1, step: 2}, GPD]\nseed: x\n"
    places = [
        line.split(": ")[0].removeprefix("m.yml, line ") for line in told(text.replace("mnist\n", "mnst\n"))
    ]
    assert places == [
        "1, data",
        "2, models[1]",
        "3, attacks[1].step",
        "3, attacks[1].eps",
        "3, attacks[2]",
        "4, seed",
    ]
    lines = told(BASE + "attacks:\n" + "  - wrong\n" * 25)
    assert len(lines) == 21 and lines[-1] == "m.yml: and 5 more"
    assert lines[19].startswith("m.yml, line 23, attacks[19]: ")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_is_done_to_a_file(data):
    """Checks a good file with a piece cut out or put in: it is read, or refused with an `InputError`; nothing else is raised."""
    text = GOOD.replace(", {name: mnist-cnn}", "")
    first = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 30))
    piece = data.draw(st.text("[]{}:,-#&*!|>'\"%@` \n\tax01.~?", max_size=8))
    try:
        got = read(write(text[:first] + piece + text[first + length :]))
    except InputError as error:
        assert all(line.startswith("m.yml") for line in str(error).splitlines())
    else:
        assert got.cells
