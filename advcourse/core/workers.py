"""Run tasks in this process, in several processes, or on the workers of a dask scheduler. The results are the same.

A task is a pair (key, (function, arguments)): a function that can be imported by its name, and a tuple. Tasks are taken one at a
time, when there is room, so a generator can make them and only those in progress are in memory. Results are pairs
(key, the function's result or a `Failure`), yielded as they become ready.
"""

import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from typing import TypeVar

from advcourse.core.inputs import InputError

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")
Task = tuple[Callable[..., Result], tuple]

# A task may temporarily set the seed and the number of threads of its whole process.
_ONE_AT_A_TIME = threading.Lock()
_PATIENCE = 10  # seconds that a process gets to end by itself


@dataclass(frozen=True)
class Failure:
    """A failed task: the error in one line, and its traceback."""

    error: str
    trace: str = ""


def failure(error: BaseException) -> Failure:
    """Return the `Failure` for an exception."""
    message = f"{type(error).__name__}: {error}".splitlines()[0]
    return Failure(message, "".join(traceback.format_exception(error)))


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Inside the block, torch uses `count` CPU threads. With other busy processes, more than one is very slow."""
    import torch  # imported here, because a process that only hands out tasks does not need it

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def attempt(function: Callable[..., Result], arguments: tuple) -> Result | Failure:
    """Return `function(*arguments)`, or a `Failure` if it raises."""
    try:
        with _ONE_AT_A_TIME:
            return function(*arguments)
    except Exception as error:
        return failure(error)


def work(
    tasks: Iterable[tuple[Key, Task[Result]]], count: int = 1, scheduler: str | None = None
) -> Iterator[tuple[Key, Result | Failure]]:
    """Run `tasks` in this process (`count` 1, the default), in `count` processes, or on the workers of a dask `scheduler`."""
    if scheduler:
        return on_dask(tasks, scheduler)
    return here(tasks) if count == 1 else in_processes(tasks, count)


def here(tasks: Iterable[tuple[Key, Task[Result]]]) -> Iterator[tuple[Key, Result | Failure]]:
    """Run `tasks` one after the other in this process."""
    for key, task in tasks:
        yield key, attempt(*task)


# Processes. The standard library's pools cannot say which task killed its process; here each process has one pipe and one task.


class _Process:
    """A worker process and its current task."""

    def __init__(self):
        context = get_context("spawn")  # a forked copy of torch's threads hangs
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.key, self.since = None, 0.0

    def send(self, key, packed):
        """Send the process a task. Raises `OSError` if the process is dead."""
        self.pipe.send_bytes(packed)
        self.key, self.since = key, time.monotonic()

    def result(self):
        """Return the result of the task; the process is idle again. Raises `EOFError` or `OSError` if it is dead."""
        self.key = None
        return pickle.loads(self.pipe.recv_bytes())

    def dismiss(self):
        """Ask the process to end: closing the pipe ends an idle one, a busy one also gets a signal."""
        if self.key is not None:
            self.process.terminate()
        self.pipe.close()

    def end(self):
        """Wait for the process to clean up and end; kill it if it does not."""
        self.process.join(_PATIENCE)
        self.process.kill()
        self.process.join()


def _serve(pipe):
    # Ctrl-C and closing the terminal signal all processes; the parent decides what happens then.
    for number in {signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGINT)}:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    threading.Thread(target=_follow_the_parent, daemon=True).start()
    while True:
        try:
            packed = pipe.recv_bytes()
            pipe.send_bytes(pickle.dumps(_answer(packed)))
        except (EOFError, BrokenPipeError):
            return


def _follow_the_parent():
    connection.wait([parent_process().sentinel])  # once the parent is gone, nobody needs the result
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_PATIENCE)
    os._exit(1)


def _answer(packed):
    try:
        return attempt(*pickle.loads(packed))
    except (
        Exception
    ) as error:  # the task cannot be unpickled here, as with a class that this process cannot import
        return failure(error)


def in_processes(
    tasks: Iterable[tuple[Key, Task[Result]]], count: int, seconds: float | None = None
) -> Iterator[tuple[Key, Result | Failure]]:
    """Run `tasks` in `count` processes. A process that dies, or spends more than `seconds` on one task, is replaced."""
    tasks, pool = iter(tasks), []
    try:
        more = True
        while True:
            while more and sum(worker.key is not None for worker in pool) < count:
                key, task = next(tasks, (None, None))
                more = task is not None
                failed = _hand_out(pool, key, task) if more else None
                if failed:
                    yield key, failed
            if not any(worker.key is not None for worker in pool):
                return
            yield from _results(pool, seconds)
    finally:
        for worker in pool:
            worker.dismiss()
        for worker in pool:
            worker.end()


def _hand_out(pool, key, task):
    """Send a task to an idle process of `pool`, or to a new one. Return None, or a `Failure` if it cannot be sent."""
    try:
        packed = pickle.dumps(task)
    except Exception as error:
        return failure(error)
    for worker in [worker for worker in pool if worker.key is None]:
        try:
            return worker.send(key, packed)
        except OSError:  # it was killed while it was idle
            _bury(pool, worker)
    pool.append(_Process())
    try:
        return pool[-1].send(key, packed)
    except OSError:
        return _bury(pool, pool[-1])


def _bury(pool, worker):
    """Remove a dead process from `pool`; return the `Failure` for its task."""
    pool.remove(worker)
    worker.pipe.close()
    worker.end()
    how = f"the process ended with status {worker.process.exitcode}"
    return Failure(f"{how}: it was killed, perhaps for its memory")


def _results(pool, seconds):
    """Wait for at least one process; yield what is done, and failures for processes that died or are late."""
    busy = {worker.pipe: worker for worker in pool if worker.key is not None}
    rest = None
    if seconds is not None:
        rest = max(0.0, min(worker.since for worker in busy.values()) + seconds - time.monotonic())
    ready = [busy[pipe] for pipe in connection.wait(list(busy), rest)]
    for worker in ready:
        key = worker.key
        try:
            result = worker.result()
        except (EOFError, OSError):
            result = _bury(pool, worker)
        yield key, result
    for worker in [] if seconds is None else busy.values():
        if worker.key is not None and time.monotonic() - worker.since > seconds:
            pool.remove(worker)
            worker.dismiss()
            worker.end()
            yield worker.key, Failure(f"the task took more than {seconds:g} seconds")


# Dask


def check_scheduler(address: str) -> None:
    """Raise `InputError` unless a dask scheduler answers at `address`; called before anything is written."""
    _client(address).close()


def _client(address):
    from distributed import Client  # slow to import, and needed only here

    try:
        return Client(address, timeout="10s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"scheduler: got {address!r}; allowed is the address of a dask scheduler that answers ({error})"
        ) from error


def on_dask(
    tasks: Iterable[tuple[Key, Task[Result]]], address: str
) -> Iterator[tuple[Key, Result | Failure]]:
    """Run `tasks` on the workers of the dask scheduler at `address`, at most max(16, 2 * worker threads) at a time."""
    from distributed import as_completed

    with _client(address) as client:
        tasks, keys, done = iter(tasks), {}, as_completed(loop=client.loop)

        def hand_out():
            room = max(16, 2 * sum(client.nthreads().values()))
            while len(keys) < room:
                key, task = next(tasks, (None, None))
                if task is None:
                    return
                future = client.submit(attempt, *task, key=f"advcourse-{key}", pure=False)
                keys[future] = key
                done.add(future)

        hand_out()
        for future in done:
            key = keys.pop(future)
            try:
                result = future.result()
            except Exception as error:  # the task killed worker after worker
                result = failure(error)
            future.release()
            yield key, result
            hand_out()
