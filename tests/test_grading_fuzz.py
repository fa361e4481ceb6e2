"""Malformed notebooks and malformed messages, thousands of them: each gives a verdict or a reason, and none stops the grader."""

import json
import random
import resource
import socket
import struct
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from amounts import amount
from notebook_files import file

from advcourse.grading.read import reading
from advcourse.grading.read.reading import Reading
from advcourse.grading.read.slicing import Part, Program
from advcourse.grading.read.submission import Unreadable, released
from advcourse.grading.run import grader as grading
from advcourse.grading.run.asking import PipeRunner
from advcourse.grading.run.grader import Grader
from advcourse.grading.run.sandbox import Limits, Sandbox
from advcourse.grading.run.wire import MOST_TOLD, Broken, Late, Wire
from advcourse.grading.tell.report import Report
from advcourse.labs.running import Call
from advcourse.labs.verdicts import CRASHED, TIMED_OUT, WRONG, Finding
from advcourse.labs.victims import BlackBox, Victim

PLACE = "@@here@@"
ODD = [
    *(
        "null",
        "true",
        "false",
        "0",
        "-1",
        "1.5",
        "1e999",
        "NaN",
        "-Infinity",
        "2e-400",
        "18446744073709551616",
    ),
    *("9" * 100_000, "[]", "{}", "[[]]", '[["a"]]', '[{"a": []}]', '["a", 1, null]', '{"a": {"b": [0]}}'),
    *(
        '""',
        '"\\ud800"',
        '"\\udfff\\ud800"',
        '"\\u0000"',
        '"\\u0000\\u2028\\ufeff\\u202e"',
        '"\U0001f600"',
        '"def f(:"',
    ),
    *('"' + "x" * 100_000 + '"', '"' + "%a\\n" * 2000 + '"', '"' + "(" * 5000 + '"', "[" * 900 + "]" * 900),
    *(
        "[" * 100_000 + "]" * 100_000,
        "[" + "{}," * 20_000 + "{}]",
        "[" + "0," * 50_000 + "0]",
        '["def f(x):\\n", " return 1"]',
    ),
    *(
        '{"a": 1, "a": 2}',
        '{"__class__": "x"}',
        '{"": ""}',
        '"code"',
        '"raw"',
        '"tensor"',
        '"number"',
        '"query"',
        "[-1]",
        "[1e3]",
    ),
    *(
        "[0, 1099511627776]",
        "[1048576, 1048576]",
        "[2.0]",
        "[true]",
        '[["value", "float32", [1]]]',
        "\x00",
        "nul",
        "'",
        "{]",
    ),
]
CELLS = [
    {"cell_type": "markdown", "id": "a", "metadata": {}, "source": ["# Title\n", "text"]},
    {
        "cell_type": "code",
        "id": "b",
        "metadata": {},
        "outputs": [],
        "source": "%matplotlib inline\nimport torch",
    },
    {
        "cell_type": "code",
        "id": "fgsm",
        "metadata": {"nbgrader": {"grade": False, "grade_id": "fgsm", "solution": True, "points": 2}},
        "outputs": [{"output_type": "stream", "text": ["a"]}],
        "source": ["def fgsm(model, x, y, eps):\n", "    return helper(x)\n", "helper = torch.sign"],
    },
    {"cell_type": "raw", "id": "c", "metadata": {"format": "x"}, "source": "def bim(x):\n    return x"},
    {
        "cell_type": "markdown",
        "id": "question-1",
        "metadata": {"nbgrader": {"grade": True, "grade_id": "question-1", "points": 3, "solution": True}},
        "source": "because",
    },
]
ABOUT = {
    "kernelspec": {"name": "python3", "language": "python"},
    "language_info": {"name": "python", "version": "3.11.1"},
}
NOTEBOOK = json.loads(file(*CELLS, metadata=ABOUT))
OLD = {
    "nbformat": 3,
    "worksheets": [{"cells": [{"cell_type": "code", "input": "x = 1"}, {"cell_type": "heading"}]}],
}


def places(value, path=()):
    """The paths to all nodes of a JSON value."""
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        yield from places(part, (*path, name))


def with_odd_nodes(value, draw):
    """The text of the JSON value, one to three of its nodes replaced."""
    text = json.dumps(value)
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        copy = json.loads(json.dumps(value))
        *above, last = draw.choice([path for path in places(copy) if path])
        inner = copy
        for name in above:
            inner = inner[name]
        inner[last] = PLACE
        text, value = json.dumps(copy), copy
    for _ in range(text.count(f'"{PLACE}"')):
        text = text.replace(f'"{PLACE}"', draw.choice(ODD), 1)
    return text.encode("utf-8", "surrogatepass")


def damaged(content, draw):
    """The bytes, cut off, with bits turned, with bytes put in, with a piece twice, or others altogether."""
    at, found = draw.randrange(len(content) + 1), bytearray(content)
    kind = draw.randrange(5)
    if kind == 0:
        return content[:at]
    if kind == 1:
        for _ in range(draw.choice([1, 3, 30])):
            found[draw.randrange(len(found))] ^= 1 << draw.randrange(8)
        return bytes(found)
    if kind == 2:
        return content[:at] + draw.randbytes(draw.choice([1, 4, 1000])) + content[at:]
    if kind == 3:
        return content[at:] + content[:at] * draw.choice([1, 2, 100])
    return draw.randbytes(draw.choice([0, 1, 10, 3000]))


def notebook(draw):
    """A malformed notebook."""
    value = draw.choice([NOTEBOOK, NOTEBOOK, NOTEBOOK, OLD])
    content = with_odd_nodes(value, draw) if draw.random() < 0.7 else json.dumps(value).encode()
    content = damaged(content, draw) if draw.random() < 0.4 else content
    return (
        content.decode("utf-8", "replace").encode(draw.choice(["utf-16", "utf-32"]))
        if draw.random() < 0.05
        else content
    )


# The reader


def test_malformed_notebooks_are_read_or_refused():
    """Checks 5 000 of them with what reads them: each gives all that a report needs, or a sentence; memory stays bounded."""
    given, before, found = released("lab1"), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
    for seed in range(amount(2500, 5000)):
        content = notebook(random.Random(seed))
        answer = json.loads(reading._packed(reading._found(content, ("fgsm", "bim"), given)))
        if isinstance(answer, str):
            assert answer and "(" not in answer.split("could not be read")[-1][:3], (seed, answer)
        else:
            found += 1
            assert reading._made(Reading, answer).programs[1].task == "bim", seed
    assert found > seed / 4
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # KiB, on Linux


@pytest.mark.long
def test_malformed_notebooks_in_the_process_that_reads():
    """Checks some of them, and more so those that ended it, with the process itself."""
    for seed in range(amount(40, 1000)):
        try:
            assert isinstance(reading.read(notebook(random.Random(seed)), "lab1", ("fgsm", "bim")), Reading)
        except Unreadable as error:
            assert str(error)


# The wire


def frame(message, arrays=None):
    """The bytes of a good message."""
    sent = bytearray()
    taken = SimpleNamespace(settimeout=lambda _: None, send=lambda part: sent.extend(part) or len(part))
    Wire(taken).send(message, arrays)
    return bytes(sent)


def malformed(content, draw):
    """A frame with other nodes in its header, with other lengths, or damaged."""
    size, numbers = struct.unpack(">II", content[:8])
    header, numbers = content[8 : 8 + size], content[8 + size :]
    if draw.random() < 0.7:
        header = with_odd_nodes(json.loads(header), draw)
    content = struct.pack(">II", len(header), len(numbers)) + header + numbers
    kind = draw.random()
    if kind < 0.1:
        lengths = [
            draw.choice([0, 1, 8, 2**20, 2**31, 2**32 - 1, len(header), len(numbers)]) for _ in range(2)
        ]
        content = struct.pack(">II", *lengths) + header + numbers
    return damaged(content, draw) if kind > 0.8 else content


TENSORS = [
    *(
        torch.rand(3, 1, 28, 28),
        torch.rand(()),
        torch.rand(5),
        torch.zeros(0),
        torch.rand(4, 1, 28, 28, dtype=torch.float64),
    ),
    *(
        torch.full((2, 1, 28, 28), float("nan")),
        torch.ones(3, dtype=torch.int64),
        torch.ones(2, 2, dtype=torch.bool),
    ),
    *(torch.rand(1, 1, 1).half(), torch.rand(1).bfloat16(), torch.tensor(float("inf"), dtype=torch.float64)),
]
QUESTIONS = [
    torch.rand(2, 1, 28, 28),
    torch.rand(0, 1, 28, 28),
    torch.rand(1, 1, 99, 99),
    torch.rand(2, 784, 1, 1),
    *TENSORS,
]
REPLY = {"kind": "tensor", "detail": "", "device": "cpu", "requires_grad": False, "left": []}


def replies(draw):
    """What a student's process may say from the first message on: some of it good, one frame or more malformed."""
    told = [
        frame({"loaded": True, "trace": "", "late": [], "bound": [], "failed": False, "lost": False}),
        frame({"parameters": ["model", "x", "y", "eps"]}),
    ]
    for _ in range(draw.choice([1, 1, 2, 4])):
        kind = draw.choice(["tensor", "tensor", "number", "crash", "nothing", "other", "unwritten", "query"])
        found = {"value": draw.choice(TENSORS)} if kind in ("tensor", "number") else {}
        found |= {"slope": draw.choice(TENSORS)} if draw.random() < 0.2 else {}
        message = {**REPLY, "kind": kind} if kind != "query" else {"query": True}
        told.append(frame(message, found if kind != "query" else {"images": draw.choice(TENSORS)}))
    place = draw.randrange(-1, len(told))
    if place >= 0:
        told[place] = malformed(told[place], draw)
    return b"".join(told)


def test_malformed_frames_are_messages_or_broken():
    """Checks 5 000 frames on a real socket: a message of tensors, or `Broken`, or `Late`; memory stays bounded."""
    before, read = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
    good = [frame(REPLY, {"value": tensor, "slope": torch.rand(5)}) for tensor in TENSORS]
    for seed in range(5000):
        draw = random.Random(seed)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            content = malformed(draw.choice(good), draw)
            sender = threading.Thread(target=_say, args=(theirs, content))
            sender.start()
            try:
                _, arrays = Wire(ours, 5, most_header=MOST_TOLD).receive()
                assert all(isinstance(value, torch.Tensor) for value in arrays.values())
                read += 1
            except (Broken, Late):
                pass
            ours.close()
            sender.join()
    assert 500 < read < 4500
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # KiB, on Linux


def _say(line, content):
    try:
        line.sendall(content)
        line.shutdown(socket.SHUT_WR)
        while line.recv(2**20):
            pass
    except OSError:
        return


@pytest.fixture(scope="module")
def grader():
    with Grader(Limits(seconds=10), "process") as grader:
        yield grader


def graded(grader, monkeypatch, content):
    """The report on a notebook with one answer, behind which something says `content`, whatever it is asked."""

    @contextmanager
    def task(self):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            sender = threading.Thread(target=_say, args=(theirs, content))
            sender.start()
            try:
                watch = SimpleNamespace(why=str, left=0)
                yield Wire(ours, self.limits.seconds, most_header=MOST_TOLD), watch
            finally:
                ours.close()
                sender.join()

    parts = (Part("cell 1", "def fgsm(model, x, y, eps):\n    return x", (0,)),)
    tasks = [c.id for c in released("lab1").cells if c.solution and c.kind == "code"]
    programs = [Program(name, parts, found=True) if name == "fgsm" else Program(name) for name in tasks]
    monkeypatch.setattr(Sandbox, "task", task)
    monkeypatch.setattr(grading.reading, "read", lambda *_, **__: Reading(tuple(programs), (), (), ()))
    return grader.grade(b"{}", "lab1", "Eve", b"a secret of sixteen bytes", seed=3)


def test_whatever_a_students_process_says_there_is_a_verdict(grader, monkeypatch):
    """Checks conversations with the grader itself: no points, a sentence, and a report that can be kept."""
    outcomes = set()
    for seed in range(amount(600, 5000)):
        report = graded(grader, monkeypatch, replies(random.Random(seed)))
        (found,) = [task for task in report.tasks if task.task == "fgsm"]
        outcomes.add(found.outcome)
        assert found.points == 0 and found.message, seed
        assert "could not be judged" not in found.message, (seed, report.signs)
        assert Report.from_json(report.as_json()) == report
    assert {CRASHED, WRONG} <= outcomes <= {CRASHED, WRONG, TIMED_OUT, "not attempted yet"}


def test_questions_to_a_model_that_may_only_be_asked():
    """Checks what is asked of the grader's own copy: a `Reply` that counts the images, or a `Finding`; no other error."""
    call = Call(BlackBox(Victim("smooth", 3), 5), {"x": torch.rand(3, 1, 28, 28)})
    before, seen = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, set()
    for seed in range(amount(600, 5000)):
        draw = random.Random(seed)
        asked = [frame({"query": True}, {"images": draw.choice(QUESTIONS)}) for _ in range(draw.randrange(4))]
        told = [*asked, frame(REPLY, {"value": torch.rand(3)})]
        place = draw.randrange(len(told))
        told[place] = malformed(told[place], draw) if draw.random() < 0.5 else told[place]
        ours, theirs = socket.socketpair()
        with ours, theirs:
            sender = threading.Thread(target=_say, args=(theirs, b"".join(told)))
            sender.start()
            wire = Wire(ours, 10, most_header=MOST_TOLD)
            runner = PipeRunner(wire, SimpleNamespace(why=str), Limits(seconds=10), None)
            try:
                seen.add(runner(call).asked > 0)
            except Finding as finding:
                seen.add(finding.key)
            ours.close()
            sender.join()
    assert {True, False, "protocol"} <= seen <= {True, False, "protocol", "died", "time"}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # KiB, on Linux


def test_images_of_another_size_are_refused():
    """Checks pictures of 16 million pixels, for which the model would take a gigabyte of the grader: it is not run."""
    asked = frame({"query": True}, {"images": torch.zeros(1, 1, 3000, 4000)})
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=theirs.sendall, args=(asked,))
        sender.start()
        box = BlackBox(Victim("smooth", 3), 5)
        runner = PipeRunner(Wire(ours, 10), SimpleNamespace(why=str), Limits(), None)
        answer = threading.Thread(
            target=lambda: pytest.raises(Finding, runner, Call(box, {"x": torch.rand(1, 1, 28, 28)}))
        )
        answer.start()
        other = Wire(theirs, 10)
        other.receive()  # the call
        told, found = other.receive()
        assert "images of 784 pixels; these have 12000000" in told["refused"] and not found
        theirs.shutdown(socket.SHUT_WR)
        answer.join()
        sender.join()
