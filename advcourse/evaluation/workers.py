"""Who computes the cells: this process, several processes, or the workers of a dask scheduler. The numbers are the same."""

import os
import pickle
import signal
import threading
import traceback
from collections import deque
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process

from advcourse.evaluation.cells import measure
from advcourse.evaluation.record import Names
from advcourse.inputs import InputError

_ONE_AT_A_TIME = (
    threading.Lock()
)  # an attack sets, for a while, the seed and the threads of its whole process


@dataclass(frozen=True)
class Failure:
    """A cell that could not be measured: its names, the error in one line, and where it was raised."""

    names: Names
    error: str
    trace: str = ""


def attempt(cell, identity):
    """The `Record` of a cell, or the `Failure`."""
    try:
        with _ONE_AT_A_TIME:
            return measure(cell, identity)
    except Exception as error:
        return failure(cell, error)


def failure(cell, error):
    """The `Failure` of a cell by an exception."""
    line = f"{type(error).__name__}: {error}".splitlines()[0]
    return Failure(cell.names, line, "".join(traceback.format_exception(error)))


def here(tasks):
    """Compute `tasks`, key -> (cell, identity), one after the other; yields (key, Record or Failure)."""
    for key, task in tasks.items():
        yield key, attempt(*task)


# Processes. A pool of the standard library cannot say which task killed its process; here each process has one pipe and one task.


class _Process:
    """One process that computes what it is sent, and what it is at."""

    def __init__(self):
        context = get_context("spawn")  # a forked copy of torch's threads hangs
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.key = None

    def send(self, key, packed):
        self.key = key
        self.pipe.send_bytes(packed)

    def end(self):
        self.process.terminate()
        self.process.join()
        self.pipe.close()


def _serve(pipe):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interruption is the parent's business
    threading.Thread(target=_follow_the_parent, daemon=True).start()
    while True:
        try:
            packed = pipe.recv_bytes()
        except EOFError:
            return
        pipe.send_bytes(pickle.dumps(_answer(packed)))


def _follow_the_parent():
    connection.wait([parent_process().sentinel])
    os._exit(1)  # killed: nobody waits for the result any more


def _answer(packed):
    names, task = pickle.loads(packed)
    try:
        return attempt(*pickle.loads(task))
    except Exception as error:  # the task cannot be read here: a class that this process cannot import
        return Failure(names, f"{type(error).__name__}: {error}", traceback.format_exc())


def in_processes(tasks, count):
    """Compute `tasks` in `count` processes; yields (key, Record or Failure) as they are done. A process that dies is replaced."""
    waiting, pool = deque(tasks), []
    try:
        while waiting or any(worker.key for worker in pool):
            for worker in [*pool]:
                if worker.key is None and waiting:
                    yield from _hand_out(worker, waiting, tasks)
            while waiting and len(pool) < min(count, len(tasks)):
                pool.append(_Process())
                yield from _hand_out(pool[-1], waiting, tasks)
            for worker in _ready(pool):
                key, worker.key = worker.key, None
                try:
                    yield key, pickle.loads(worker.pipe.recv_bytes())
                except (EOFError, OSError):
                    worker.process.join()
                    pool.remove(worker)
                    how = f"the process ended with status {worker.process.exitcode}"
                    yield key, Failure(tasks[key][0].names, f"{how}: it was killed, perhaps for its memory")
    finally:
        for worker in pool:
            worker.end()


def _ready(pool):
    busy = {worker.pipe: worker for worker in pool if worker.key}
    return [busy[pipe] for pipe in connection.wait(list(busy))] if busy else []


def _hand_out(worker, waiting, tasks):
    """Send the next task that can be sent; those that cannot are failures."""
    while waiting:
        key = waiting.popleft()
        cell = tasks[key][0]
        try:
            packed = pickle.dumps((cell.names, pickle.dumps(tasks[key])))
        except Exception as error:
            yield key, failure(cell, error)
            continue
        worker.send(key, packed)
        return


# Dask


def on_dask(tasks, address):
    """Compute `tasks` on the workers of the dask scheduler at `address`; yields (key, Record or Failure) as they are done."""
    from distributed import Client, as_completed

    try:
        client = Client(address, timeout="10s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"scheduler: got {address!r}; allowed is the address of a dask scheduler that answers ({error})"
        ) from error
    with client:
        futures = {}
        for key, task in tasks.items():
            futures[client.submit(attempt, *task, key=f"advcourse-{key}", pure=False)] = key
        for future in as_completed(futures, loop=client.loop):
            key = futures[future]
            try:
                yield key, future.result()
            except Exception as error:  # a worker died of it, again and again
                yield key, failure(tasks[key][0], error)
            future.release()
