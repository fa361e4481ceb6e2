"""The wire between the grader and a student's process: what goes in comes out, and nothing else does."""

import json
import socket
import struct
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from advcourse.grading.run.wire import MOST_HEADER, PATIENCE, Broken, Late, Starved, Wire, sendable

TYPES = (
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int64,
)


def received(content, most=2**20):
    """What a wire makes of these bytes, after which the other side is gone."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=lambda: (theirs.sendall(content), theirs.shutdown(socket.SHUT_WR)))
        sender.start()
        try:
            return Wire(ours, 5, most).receive()
        finally:
            ours.close()
            sender.join()


def framed(header, numbers=b"", size=None):
    """A message whose header is any JSON, or any bytes."""
    packed = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack(">II", len(packed), len(numbers) if size is None else size) + packed + numbers


def described(*arrays, numbers=b"", message=None):
    return framed({"message": message, "arrays": list(arrays)}, numbers)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3, 4)])
def test_arrays_come_out_as_they_went_in(dtype, shape):
    """Checks each type and shape, a view that is not contiguous among them, against what was sent."""
    value = (torch.rand(shape) * 5).to(dtype)
    arrays = {
        "value": value,
        "turned": value.movedim(0, -1) if len(shape) > 1 else value,
        "é": torch.tensor([True]),
    }
    ours, theirs = socket.socketpair()
    with ours, theirs:
        Wire(theirs).send({"kind": "tensor", "much": [float("inf"), None]}, arrays)
        told, found = Wire(ours, 5).receive()
    assert told == {"kind": "tensor", "much": [float("inf"), None]} and list(found) == list(arrays)
    for name, sent in arrays.items():
        assert found[name].dtype == sent.dtype and torch.equal(found[name], sent)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\0",
        framed({"message": 1, "arrays": []})[:-1],
        framed(b"not json"),
        framed(b"\xff\xfe"),
        framed([]),
        framed({"message": 1}),
        framed({"message": 1, "arrays": 3}),
        framed(b'{"message": ' + b"[" * 100_000),
        framed(b'{"message": 1, "arrays": [["x", "float32", [' + b"9" * 5000 + b"]]]}"),
        struct.pack(">II", MOST_HEADER + 1, 0),
        framed({"message": 1, "arrays": []}, size=2**21),
        described(["x", "float32", [2]], numbers=bytes(4)),
        described(["x", "float32", [1]], numbers=bytes(8)),
        described(["x", "float32", [-1]], numbers=bytes(4)),
        described(["x", "float32", [2**39, 2**39, 0, 0]], ["y", "float32", [2**39] * 16], numbers=bytes(4)),
        described(["x", "float32", [1.0]], numbers=bytes(4)),
        described(["x", "float32", [True]], numbers=bytes(4)),
        described(["x", "float32", "1"], numbers=bytes(4)),
        described(["x", "float32", [1] * 17], numbers=bytes(4)),
        described(["x", "object", [1]], numbers=bytes(8)),
        described(["x", ["float32"], [1]], numbers=bytes(4)),
        described([1, "float32", [1]], numbers=bytes(4)),
        described(["x", "float32"], numbers=bytes(4)),
    ],
    ids=range(24),
)
def test_what_is_no_message_is_refused(content):
    """Checks messages that are cut off, too long, no JSON, or that lie about their arrays: each is `Broken`, none is believed."""
    with pytest.raises(Broken):
        received(content)


@given(some.binary(max_size=200))
def test_any_bytes_are_refused_or_read(content):
    """Checks random bytes, bare and behind a header that fits: nothing but `Broken` is raised."""
    for packed in (content, framed(content), framed({"message": 1, "arrays": []}, content)):
        try:
            _, found = received(packed)
            assert all(isinstance(value, torch.Tensor) for value in found.values())
        except Broken:
            pass


def test_a_bool_is_0_or_1():
    """Checks bytes that no bool has: they are read as True, of which there is one."""
    _, found = received(described(["x", "bool", [3]], numbers=b"\0\2\xff"))
    assert found["x"].tolist() == [False, True, True] and found["x"].view(torch.uint8).tolist() == [0, 1, 1]


def test_waiting_ends():
    """Checks a silent and a slow other side against the seconds that there are for all messages together."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire = Wire(ours, 0.05)
        with pytest.raises(Late):
            wire.receive()
        with pytest.raises(Late):  # nothing is left for a second try
            wire.receive()
        theirs.sendall(framed({"message": 1, "arrays": []}))
        assert Wire(ours, 5).receive() == (1, {})
        with pytest.raises(Late):
            Wire(ours, 0.05).send({}, {"x": torch.zeros(2**22)})  # nobody takes it


def test_what_can_be_sent():
    """Checks by hand: types of numbers up to the bound; complex numbers and larger arrays cannot."""
    assert sendable(torch.ones(4), most=16) and not sendable(torch.ones(5), most=16)
    assert not sendable(torch.ones(1, dtype=torch.complex64)) and not sendable(torch.zeros(1).expand(10**12))


@pytest.mark.parametrize(
    "works, ends",
    [
        (lambda waited: 0.0, Late),  # idle all the time
        (lambda waited: waited / 2, Late),  # for half of it
        (lambda waited: waited, Starved),
    ],
)
def test_seconds_of_work_do_not_count(works, ends, monkeypatch):
    """Checks how long a wire waits, by a clock that the test turns, against sums by hand: 1 s, 2 s, and `PATIENCE` at most."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        clock = [0.0]

        def nothing_comes(*_):
            clock[0] += ours.gettimeout()
            raise TimeoutError

        wire = Wire(ours, 1.0, busy=lambda: works(clock[0]))
        monkeypatch.setattr("advcourse.grading.run.wire.time.monotonic", lambda: clock[0])
        with pytest.raises(ends):
            wire._timed(nothing_comes, b"")
    waited = {0.0: 1, 0.5: 2, 1.0: PATIENCE}[works(1.0)]
    assert waited - 1e-6 <= clock[0] <= waited + 1


def test_a_long_message_goes_out_in_parts():
    """Checks 20 MB, far more than a socket holds, against what the other side gets."""
    ours, theirs = socket.socketpair()
    value = torch.arange(5_000_000, dtype=torch.int32)
    with ours, theirs:
        sender = threading.Thread(target=Wire(theirs, 30).send, args=("long", {"value": value}))
        sender.start()
        message, arrays = Wire(ours, 30).receive()
        sender.join()
    assert message == "long" and torch.equal(arrays["value"], value)
