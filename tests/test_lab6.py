"""Lab 6: what every lab passes, the judge's questions, and the authors' answers against the library and hand-made apps."""

import inspect
import re
import subprocess
import sys

import pytest
import torch
from lab_tests import LabTests, notebook
from small_apps import MAIN, manifest, permission

from advcourse.cases import malware
from advcourse.data.apps import (
    CODE,
    MANIFEST,
    TORCH,
    AppSet,
    PocketPhone,
    parse_manifest,
    set_of,
)
from advcourse.data.apps import extract as by_library
from advcourse.data.apps.features import _ADDRESSED
from advcourse.grading.run.staging import stage
from advcourse.labs.comparing import called
from advcourse.labs.exercises import Draw
from advcourse.labs.lab6 import ADDRESSED, CANDIDATES, LAB, TASKS, calls, classes, show
from advcourse.labs.lab6.apps import (
    bare,
    canonical,
    commented,
    declared,
    in_full,
    quoted,
    renamed,
    richer,
    run,
    turned,
)
from advcourse.labs.lab6.edit import required_as_ever
from advcourse.labs.lab6.editing import (
    an_edit,
    declared_again,
    in_another_spelling,
    with_an_icon_to_lose,
    without_an_icon,
)
from advcourse.labs.lab6.evading import margin_of
from advcourse.labs.lab6.extract import extract, unguarded
from advcourse.labs.lab6.leftovers import an_app_with_leftovers
from advcourse.labs.lab6.monotone import suspicion
from advcourse.labs.lab6.nets import LevelNet, Reader, _seen
from advcourse.labs.lab6.sets import set_by_set
from advcourse.labs.running import OTHER, TEXT, Call, LocalRunner


class TestLab6(LabTests):
    lab, written, pictures = LAB, 4, 2


APPS = [richer(app) for app in AppSet.draw(12, 6).apps]


def question(task, seed=5, **arguments):
    return TASKS[task].case(Draw(seed), **arguments)


# Reading


@pytest.mark.parametrize("app", [TORCH, *APPS], ids=lambda app: app.package)
def test_the_sets_are_the_librarys(app):
    """Checks the author's answer, by ElementTree, against the library's, by its own reader: the eight sets of drawn apps."""
    found = extract(app.manifest, app.program)
    assert {name: set(names) for name, names in found.items()} == by_library(app.manifest, app.program)


def test_the_sets_of_the_torch_by_hand():
    """Checks Bright Torch, which can be read in full: S6 lacks VIBRATE and READ_CONTACTS, and S7 has three calls."""
    found = extract(TORCH.manifest, TORCH.program)
    used = ("FLASHLIGHT", "INTERNET", "SEND_SMS")
    assert found["S6"] == {f"real_permission::android.permission.{name}" for name in used}
    assert found["S7"] == {
        f"call::{name}" for name in ("HttpURLConnection.post", "Base64.decode", "SmsManager.sendTextMessage")
    }
    assert found["S8"] == {"url::friendlogin.example"}


@pytest.mark.parametrize("spell", [turned, quoted, renamed, commented, in_full, bare])
def test_another_spelling_means_the_same(spell):
    """Checks each spelling against the library's reader: other text, and the same manifest."""
    for app in APPS:
        assert spell(app.manifest) != app.manifest
        assert parse_manifest(spell(app.manifest)) == parse_manifest(app.manifest)


def test_what_is_given_is_the_librarys():
    """Checks the tables and readers that the notebook gives against the library's, which graded answers do not have."""
    assert ADDRESSED == _ADDRESSED
    assert {set_of(name) for name in CANDIDATES} == set(MANIFEST) and len(set(CANDIDATES)) == len(CANDIDATES)
    assert [call.api for call in calls(TORCH.program)][:2] == ["TextView.setText", "Thread.start"]
    assert classes(TORCH.program) == [".MainActivity", "com.friendlogin.OnLaunch", ".WidgetReceiver"]


# On paper


def test_the_attack_is_the_librarys():
    """Checks the additions against `AddFeatures` on four drawn nets: the same apps pass, with the same features.

    What does not pass comes back from the library as it was at its best, and from the answer as it was in the end.
    """
    for seed in range(4):
        case = question("evade", seed).to(torch.float64)
        net = case.victim.build(torch.float64)
        attack = malware.AddFeatures(tuple(case["addable"].tolist()), case["budget"])
        record, found = attack.run(net, case["x"]), called(TASKS["evade"], case)
        assert torch.equal(margin_of(case.victim, found) > 0, record.success) and record.success.any()
        assert torch.equal(found[record.success], record.altered[record.success])


def test_one_slope_is_not_enough_on_these_nets():
    """Checks by how much the mistake falls behind: fewer than two thirds of the apps pass, so that 3 points reveal it."""
    (stale,) = [slip.function for slip in TASKS["evade"].slips if slip.key == "stale slope"]
    case = question("evade", n=100)
    fresh, once = (margin_of(case.victim, called(f, case)) > 0 for f in (TASKS["evade"], stale))
    assert once.sum() < 2 / 3 * fresh.sum()


def test_a_step_is_the_attacks_first():
    """Checks `step` against the first addition of `AddFeatures` on a linear net, whose slopes are its weights."""
    generator = torch.Generator().manual_seed(0)
    slope = torch.randn(20, generator=generator).double()
    x = (torch.rand(20, generator=generator) < 0.3).double()
    addable = torch.rand(20, generator=generator) < 0.7
    net = torch.nn.Linear(20, 2).double()
    with torch.no_grad():
        net.weight.copy_(torch.stack([slope, 0 * slope]))
        net.bias.copy_(torch.tensor([-99.0, 0.0]))
    record = malware.AddFeatures(tuple(addable.tolist()), 1, early=False).run(net, x[None])
    assert TASKS["step"](slope, x, addable) == record.order.item()


# On the phone


@pytest.mark.parametrize("make", [an_edit, without_an_icon, with_an_icon_to_lose, in_another_spelling])
def test_an_edit_holds_what_was_asked_for(make):
    """Checks the author's edits on the pocket phone and by the library's reader: the additions, and the same trace."""
    for seed in range(5):
        asked = make(Draw(seed))
        found = TASKS["edit"](asked["manifest"], asked["additions"])
        assert {*asked["additions"], *declared(asked["manifest"])} <= declared(found)
        assert run(found, asked["program"]) == run(asked["manifest"], asked["program"])


def test_these_edits_reveal_required_hardware():
    """Checks on the pocket phone that the additions hold hardware that it lacks: required, it refuses the app."""
    for seed in range(5):
        asked = an_edit(Draw(seed))
        found = required_as_ever(asked["manifest"], asked["additions"])
        assert "MISSING_FEATURE" in run(found, asked["program"]).refused


def test_the_lint_is_the_librarys():
    """Checks the author's lint against the library's, which edits text, by the meaning of the XML; the trace stays."""
    for service in (False, True):
        for seed in range(6):
            app = an_app_with_leftovers(Draw(seed), service=service)
            found = TASKS["clean"](**app)
            assert canonical(found) == canonical(malware.clean(**app))
            assert canonical(found) != canonical(app["manifest"])
            assert run(found, app["program"]) == run(app["manifest"], app["program"])


def test_a_lint_by_hand():
    """Checks an app of three lines: the camera has no call, VIBRATE has one, and .Gone has no class."""
    text = manifest(
        permission("CAMERA"), permission("VIBRATE"), inside=f'{MAIN}<service android:name=".Gone"/>'
    )
    program = "class .Main\n  on create\n    call Vibrator.vibrate hello\n"
    right = manifest(permission("VIBRATE"))
    assert canonical(TASKS["clean"](text, program)) == canonical(right)


@pytest.mark.parametrize("seed", range(4))
def test_the_model_that_reads_apps_reads_what_the_library_does(seed):
    """Checks the features that it sees against the library's, S1 to S4 and S6, and a suspicion that was added up by hand."""
    app = APPS[seed]
    found = by_library(app.manifest, app.program)
    wanted = set().union(*(names for name, names in found.items() if name not in CODE))
    assert _seen(app.manifest, app.program) == wanted
    one, two = sorted(wanted)[:2]
    model = Reader(
        "reader", weights=((one, 0.5), ("feature::nothing", 9.0)), pairs=((one, two, 2.0),), start=-1.0
    )
    assert model.build()(app.manifest, app.program) == pytest.approx(1.5)


def test_what_looks_best_changes_the_app():
    """Checks a question of task 5 on the pocket phone: the best addition changes the trace, and the author's answer does not."""
    case = question("evade_app")
    model, (text, program) = case.victim.build(), (case["manifest"], case["program"])
    best = min(CANDIDATES, key=lambda name: model(malware.edit(text, [name]), program))
    assert PocketPhone().run(malware.edit(text, [best]), program) != PocketPhone().run(text, program)
    found = TASKS["evade_app"](model, text, program, case["budget"])
    assert model(text, program) > 0 >= model(found, program)
    assert PocketPhone().run(found, program) == PocketPhone().run(text, program)


# The proof


def test_the_net_is_torchs():
    """Checks the suspicion against torch's own layers, and that the author's weights never let it fall."""
    weights = question("monotone").to(torch.float64)["weights"]
    bias = torch.randn(3, 6, generator=torch.Generator().manual_seed(1)).double()
    layers = [torch.nn.Linear(6, 6).double() for _ in weights]
    for layer, weight, b in zip(layers, weights, bias):
        layer.weight.data, layer.bias.data = weight, b
    net = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1], torch.nn.ReLU(), layers[2])
    x = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 6).double()
    assert torch.allclose(suspicion(weights, x, bias), net(x).sum(1))
    kept = suspicion(TASKS["monotone"](weights), x, bias)
    below = (x[:, None] <= x).all(2)
    assert (kept[:, None] <= kept + 1e-12)[below].all()


# Texts between the student's process and the judge


def returns(value):
    return LocalRunner(lambda: value)(Call(None))


def test_texts_cross_as_json():
    """Checks what is sent against JSON written by hand: sets become sorted lists; what is neither text nor sets is none."""
    assert returns("ä<b/>").value.numpy().tobytes() == b'"\\u00e4<b/>"'
    assert returns({"S1": {"b", "a"}}).value.numpy().tobytes() == b'{"S1": ["a", "b"]}'
    assert returns({"S1": {1, "a"}}).kind == returns({"S1": torch.ones(1)}).kind == OTHER
    assert returns("x" * 2**22).kind == returns(b"bytes").kind == returns(["text"]).kind == OTHER
    nested = {}
    nested["itself"] = nested
    assert returns(nested).kind == OTHER and returns("").kind == TEXT


def test_graded_answers_have_the_phone_and_no_answers(tmp_path):
    """Checks the library that graded answers see, file by file: what is given works there, and no extraction or attack is."""
    stage(tmp_path)
    code = "from advcourse.labs.lab6 import calls, phone, show; show(1); print(len(calls('class .A')))"
    python = {"env": {"PYTHONPATH": str(tmp_path)}, "cwd": tmp_path, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-c", code], **python)
    assert done.stdout == "0\n", done.stderr
    there = {path.relative_to(tmp_path / "advcourse").as_posix() for path in tmp_path.rglob("*.py")}
    assert {"data/apps/phone.py", "labs/lab6/given.py"} <= there
    kept = {name for name in there if name.startswith(("data/", "cases", "labs/lab6"))}
    assert kept == {
        *(f"data/apps/{name}.py" for name in ("__init__", "android", "manifest", "phone", "program")),
        "data/__init__.py",
        "labs/lab6/__init__.py",
        "labs/lab6/given.py",
    }


def test_a_view_waits_for_a_right_answer():
    """Checks `show` with a function that is not written, and with a wrong one: a sentence, and no detector is trained."""

    def edit(manifest, additions):
        raise NotImplementedError()

    assert str(show(edit)) == "edit is not written yet."
    assert "check(edit)" in str(show(lambda manifest, additions: manifest, task="edit"))


NESTED = {"S1": {}}
for _ in range(900):
    NESTED = {"S1": NESTED}
BOMB = '<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY a{i} "{f"&a{i - 1 if i else str()};" * 10}">' for i in range(9)
)
HOSTILE = {
    "a bomb": BOMB + "]><manifest>&a8;</manifest>",
    "not closed": "<a",
    "deep": "<a>" * 100_000 + "</a>" * 100_000,
    "two million letters": "x" * 2_000_000,
    "half a letter": "\ud800",
    "another encoding": '<?xml version="1.0" encoding="utf-16"?><manifest/>',
    "another element": "<manifest>" + "<uses-permission/>" * 50_000 + "</manifest>",
    "no set": {f"S{i}": True for i in range(1, 9)},
    "lists in a list": {f"S{i}": [["a"], {"b": 1}, None, 2.5] for i in range(1, 9)},
    "no numbers": {f"S{i}": [float("nan"), float("inf")] for i in range(1, 9)},
    "a long number": {"S1": 10**4000},
    "nested": NESTED,
    "many": {f"S{i}": {str(j) for j in range(20_000)} for i in range(1, 9)},
}


@pytest.mark.parametrize("task", ["extract", "edit", "evade_app", "clean"])
@pytest.mark.parametrize("what", HOSTILE)
def test_odd_texts_are_wrong_answers_and_nothing_else(task, what):
    """Texts and dictionaries made to stop a reader: each is told in a sentence, and no error leaves the judge."""
    names = ", ".join(inspect.signature(LAB.tasks[task].solution).parameters)
    space = {"answer": HOSTILE[what]}
    exec(f"def {task}({names}):\n    return answer", space)
    verdict = LAB.check(space[task], task, 3)
    assert verdict.outcome == "wrong" and verdict.points == 0 and len(verdict.message) < 2_000


def test_the_notebook_shows_the_titles_that_feedback_lists():
    """Checks each task's title, by which the page of results calls it, against the first words below its heading."""
    text = "\n".join(cell.source for cell in notebook("exercises", "lab6").cells)
    for name, task in TASKS.items():
        assert re.search(rf"### Task \d+: `{name}` [^\n]*\n\n\*\*{re.escape(task.title)}\.?\*\*", text), name


def test_a_level_net_gives_an_empty_app_a_tie_to_the_last_bit():
    """Checks the logits of an app without features, which are 0 and 0 in each type; others are not level."""
    for dtype in (torch.float32, torch.float64):
        x = torch.eye(80, dtype=dtype)[:5]
        net = LevelNet("apps", 7).build(dtype)
        assert net(torch.zeros_like(x)).tolist() == [[0, 0]] * 5 and (net(x)[:, 0] != net(x)[:, 1]).all()


def test_what_is_declared_again_by_hand():
    """Checks a permission that comes a second time, one that came twice from the start, and a component in another spelling."""
    head = '<manifest xmlns:android="http://schemas.android.com/apk/res/android" package="org.example.a">'
    permission, other = (f'<uses-permission android:name="{name}"/>' for name in "PQ")
    service, long_name = (f'<service android:name="{name}"/>' for name in (".S", "org.example.a.S"))
    before = f"{head}{permission}{other}{other}<application>{service}</application></manifest>"
    after = f"{head}{permission}{permission}{other}{other}<application>{service}{long_name}</application></manifest>"
    assert declared_again(before, before) == [] and declared_again(before, after) == [".S", "P"]


def test_a_slip_of_some_sets_is_known_by_these():
    """Checks that guarded calls may be missing in one set or in all, and that a set that is wrong in another way is not taken."""
    case = question("extract")
    right, slip = (extract_of(**case.arguments) for extract_of in (extract, unguarded))
    right, slip = ({name: frozenset(names) for name, names in found.items()} for found in (right, slip))
    assert {name for name in right if right[name] != slip[name]} >= {"S5", "S7", "S8"}
    test = set_by_set(unguarded)
    assert test(case, slip) and test(case, {**right, "S8": slip["S8"]})
    assert not test(case, {**slip, "S8": frozenset()})
