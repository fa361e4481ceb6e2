"""Pass messages between the grader and the process that runs a student's code: JSON and plain arrays, of bounded size.

A message is eight bytes with the lengths of what follows, a header in JSON, and the numbers of the arrays, one after the
other. Nothing that is received is executed or unpickled. The receiver checks each length, type and shape.
"""

import json
import math
import struct
import time
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import Any

START, STOP, READY, STUCK = (
    b"+",
    b"-",
    b".",
    b"!",
)  # what the grader and the sandbox's first process say to each other
MOST = 64 * 2**20  # bytes of the arrays of one message
MOST_HEADER = 8 * 2**20  # bytes of a header that the grader sends, which may hold a notebook's code
MOST_TOLD = 2 * 2**20  # bytes of a header that it receives
MOST_ARRAYS = 100
PATIENCE = 20  # how many times longer than it may idle the other side may work by the clock; its processor time has a lower limit
_LENGTHS = struct.Struct(">II")
_TYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float64,
        torch.bool,
        torch.uint8,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
    )
}


class Broken(Exception):
    """The other side is gone, or what it sent is not a message."""


class Late(Exception):
    """The other side took too long."""


class Starved(Exception):
    """The other side had work to do all the time, and the machine hardly let it run."""


class Wire:
    """One end of a connected socket.

    Args:
        socket: the socket.
        seconds: how long this side waits for the other in total; None (default): forever.
        most: the most bytes of arrays in a message that it accepts.
        most_header: the most bytes of a header.
        busy: a function that returns how many seconds the other side has so far worked, or waited for a processor. They do not
            count, up to `PATIENCE` times `seconds`. None (default): all seconds count.
    """

    def __init__(
        self,
        socket: "socket.socket",
        seconds: float | None = None,
        most: int = MOST,
        most_header: int = MOST_HEADER,
        busy: "Callable[[], float] | None" = None,
    ):
        self.socket, self.most, self.most_header, self.left = socket, most, most_header, seconds
        self._busy, self._spared, self._seconds = busy, 0.0, seconds

    def send(self, message: object, arrays: dict[str, torch.Tensor] | None = None) -> None:
        """Send a JSON value, and CPU tensors by name. Raises as `receive` does."""
        arrays = arrays or {}
        header = {"message": message, "arrays": [[k, *_described(v)] for k, v in arrays.items()]}
        packed = json.dumps(header).encode()
        numbers = b"".join(_bytes(value) for value in arrays.values())
        rest = memoryview(_LENGTHS.pack(len(packed), len(numbers)) + packed + numbers)
        while rest:
            rest = rest[self._timed(self.socket.send, rest) :]

    def receive(self) -> "tuple[Any, dict[str, torch.Tensor]]":
        """Return the next message and its arrays by name. Raises `Broken`, `Late` or `Starved`."""
        size, numbers = _LENGTHS.unpack(self._exactly(_LENGTHS.size))
        if size > self.most_header or numbers > self.most:
            raise Broken(f"a message of {size + numbers} bytes")
        header, numbers = self._exactly(size), self._exactly(numbers)
        try:
            header = json.loads(bytes(header))
            return header["message"], _unpacked(header["arrays"], numbers)
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
            raise Broken("what is no message") from error

    def _exactly(self, size):
        buffer, at = bytearray(size), 0
        while at < size:
            got = self._timed(self.socket.recv_into, memoryview(buffer)[at:])
            if not got:
                raise Broken("nothing more")
            at += got
        return buffer

    def _timed(self, do, data):
        while self.left is None or self.left > 0 or self._spare():
            self.socket.settimeout(self.left)
            began = time.monotonic()
            try:
                return do(data)
            except TimeoutError:
                continue
            except OSError as error:
                raise Broken("nothing more") from error
            finally:
                if self.left is not None:
                    self.left -= time.monotonic() - began
        raise Late

    def _spare(self):
        """Give back the seconds that do not count, and return whether there is time left then."""
        if self._busy is None:
            return False
        busy = self._busy()
        self.left, self._spared = self.left + busy - self._spared, busy
        if busy > PATIENCE * self._seconds:
            raise Starved
        return self.left > 0


def sendable(tensor: torch.Tensor, most: int = MOST) -> bool:
    """Return whether a message can hold a tensor of this type and size."""
    return tensor.dtype in _TYPES.values() and tensor.numel() * tensor.element_size() <= most


def _described(tensor):
    return str(tensor.dtype).removeprefix("torch."), list(tensor.shape)


def _bytes(tensor):
    return tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _unpacked(described, numbers):
    """Return the tensors described in rows of (name, type, shape). Together they must use all of the bytes."""
    arrays, at = {}, 0
    if len(described) > MOST_ARRAYS:
        raise ValueError("too many arrays")
    for name, dtype, shape in described:
        dtype = _TYPES[dtype]
        if not (isinstance(name, str) and _is_shape(shape)):
            raise ValueError("no array")
        end = at + math.prod(shape) * dtype.itemsize
        if end > len(numbers):
            raise ValueError("an array beyond the message")
        arrays[name] = _tensor(numbers[at:end], dtype).reshape(shape)
        at = end
    if at != len(numbers):
        raise ValueError("bytes of no array")
    return arrays


def _is_shape(shape):
    sizes = [size for size in shape if isinstance(size, int) and not isinstance(size, bool) and size >= 0]
    # even an empty array may have a shape that is too large to count
    return len(sizes) == len(shape) <= 16 and math.prod(max(size, 1) for size in sizes) < 2**40


def _tensor(numbers, dtype):
    if not numbers:
        return torch.empty(0, dtype=dtype)
    if dtype == torch.bool:  # a byte that is neither 0 nor 1 is not a bool
        return torch.frombuffer(numbers, dtype=torch.uint8) != 0
    return torch.frombuffer(numbers, dtype=dtype)
