"""Inside the sandbox: one process loads torch and forks a fresh one for each task.

The fresh one runs a student's code and answers the grader. The first never does; it belongs to the grader. What a task does to
torch, to the builtins or to itself ends with the task's own process. What it may have done to the first process, or to the
folder, the first process looks for: if there is a trace, it serves no other task.
"""

import ctypes
import gc
import importlib
import os
import resource
import signal
import socket
import sys
import tempfile
import types

import torch
import tqdm

from advcourse.grading.run.loading import load, with_cause
from advcourse.grading.run.refusals import refuse
from advcourse.grading.run.traces import Traces
from advcourse.grading.run.wire import MOST, READY, START, STOP, STUCK, Broken, Wire, sendable
from advcourse.labs.running import CRASH, LIBRARIES, OTHER, Call, LocalRunner, Reply, failure
from advcourse.labs.victims import SHIPPED, BlackBox, Victim

_SIGNALS = [getattr(signal, f"SIG{name}") for name in ("INT", "TERM", "HUP", "PIPE", "USR1", "USR2", "CHLD")]
_PDEATHSIG, _DUMPABLE, _SUBREAPER = 1, 4, 36  # of prctl, Linux


def main(strong: bool, scratch: str, user: int) -> None:
    """Serve the grader, which speaks through standard input, until it is gone.

    Args:
        strong: whether this process is the first of a namespace of its own.
        scratch: the tasks' folder.
        user: the user whose rights the tasks get, if it is not 0. This process keeps its own, so that a task cannot change it,
            and because the interpreter may lie where no other user can read.
    """
    control = socket.socket(fileno=0)
    _guard()
    _warm_up(scratch)
    LIBRARIES.extend(sys.path)
    gc.collect()
    gc.freeze()
    traces = Traces(scratch, strong)
    control.sendall(READY)
    while word := control.recv(1):
        if word == START:
            if traces.unchanged():
                _start(control, scratch, strong, user)
            else:
                control.sendall(STUCK)
        elif word == STOP:
            _stop(strong)
            control.sendall(READY if traces.none() else STUCK)


def _become(user):
    """Give up root's rights, if there are any."""
    if user:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)


def _guard():
    """Protect this process: no signal ends it, no other process may look into it. It does not outlive the grader."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _control_process((_PDEATHSIG, signal.SIGKILL), (_DUMPABLE, 0), (_SUBREAPER, 1))


def _control_process(*settings):
    if sys.platform == "linux":
        for setting in settings:
            ctypes.CDLL(None).prctl(*setting)


def _warm_up(scratch):
    """Do what torch and matplotlib do only once, before the first task.

    It takes seconds, and files written on the way, such as a list of the fonts, would be a trace. So would threads and locks
    between processes, which progress bars are kept from making.
    """
    tqdm.tqdm.monitor_interval = 0
    tqdm.std.TqdmDefaultWriteLock.mp_lock = None
    torch.set_num_threads(1)
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        os.environ.update(HOME=folder, TORCHINDUCTOR_CACHE_DIR=folder)
        importlib.import_module("matplotlib.pyplot")
        torch.optim.Adam([torch.zeros(1)])  # the first optimizer imports much more of torch
    os.environ.clear()
    os.environ.update(before)
    for kind in ("smooth", *SHIPPED):
        x = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0)).requires_grad_()
        loss = torch.nn.functional.cross_entropy(Victim(kind).build()(x), torch.tensor([0, 1]))
        torch.autograd.grad(loss, x)


def _start(control, scratch, strong, user):
    """Fork the process of one task, and pass its socket to the grader.

    Orphans of the task become children of this process. While the task goes on, none of them is waited for, so that the
    processor time they took can still be seen.
    """
    ours, theirs = socket.socketpair()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if not os.fork():
        try:
            ours.close()
            control.close()
            os.setsid()
            _become(user)
            _control_process((_DUMPABLE, 1))  # so that the grader can see its share of the memory
            os.chdir(scratch)
            _serve(theirs, strong)
        finally:
            os._exit(0)
    theirs.close()
    socket.send_fds(control, [READY], [ours.fileno()])
    ours.close()


def _stop(strong):
    """End all that the task has started: in a namespace of our own, all other processes. Otherwise the grader has done so.

    A process that ends from here on is forgotten, with the time it took. One that had ended before is not, and is a trace of
    the task.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        if strong:
            os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        pass
    try:
        while any(os.waitpid(-1, 0 if strong else os.WNOHANG)):
            pass
    except ChildProcessError:  # none is left
        pass


# One task


def _serve(line, strong):
    """Run one program. Nothing that goes wrong before "ready" is the student's fault: the program has not even arrived yet."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    sys.stdout = sys.stderr = open(os.devnull, "w")
    wire = Wire(line)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    wanted, _ = wire.receive()
    _limit(wanted["limits"], strong)
    refuse()
    gc.enable()
    wire.send({"ready": True})
    wanted, _ = wire.receive()
    function, told = load(wanted["program"], wanted["tasks"])
    lost = told.pop("lost")
    wire.send({"loaded": function is not None, **told})
    runner = LocalRunner(function)
    while True:
        try:
            asked, arrays = wire.receive()
        except Broken:
            return
        fields, tensors = _answer(wire, runner, asked, arrays)
        wire.send(
            {
                **fields,
                **({"detail": with_cause(fields["detail"], lost)} if fields.get("kind") == CRASH else {}),
            },
            tensors,
        )


def _limit(limits, strong):
    """Set limits that this process and those that it starts cannot lift. The grader watches what they use together."""
    mapped = _mapped()
    bounds = {
        "RLIMIT_CPU": limits["cpu_seconds"] + 1,
        "RLIMIT_FSIZE": limits["file"],
        "RLIMIT_NOFILE": 64,
        "RLIMIT_AS": mapped + limits["memory"],
        "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_NPROC": limits["processes"],
    }
    if not mapped:
        del bounds["RLIMIT_AS"]
    if not strong:
        del bounds["RLIMIT_NPROC"]  # it would count all processes of this user, and there may be many
    for name, bound in bounds.items():
        if hasattr(resource, name):
            _bound(getattr(resource, name), bound)


def _mapped():
    """Return the bytes of address space in use; 0 if the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def _bound(kind, bound):
    try:
        _, most = resource.getrlimit(kind)
        bound = bound if most == resource.RLIM_INFINITY else min(bound, most)
        resource.setrlimit(kind, (bound, bound))
    except (OSError, ValueError):  # not every system knows every limit
        return


def _answer(wire, runner, asked, arrays):
    """Return one reply to the grader, and its arrays."""
    if asked["ask"] == "parameters":
        return {"parameters": _parameters(runner)}, {}
    if asked["ask"] == "module":
        return {"known": _add_module(asked["name"], asked["source"])}, {}
    try:
        reply = runner(_call(wire, asked, arrays))
    except BaseException as error:
        reply = Reply(CRASH, detail=failure(error).detail)
    tensors = {name: getattr(reply, name) for name in ("value", "slope") if getattr(reply, name) is not None}
    if not all(map(sendable, tensors.values())):
        reply, tensors = (
            Reply(
                OTHER,
                detail=f"a tensor of more than {MOST // 2**20} MiB, or of a type that is none of images",
            ),
            {},
        )
    fields = {name: getattr(reply, name) for name in ("kind", "detail", "device", "requires_grad")}
    return {**fields, "left": list(reply.left)}, tensors


def _parameters(runner):
    """Return the names of the function's parameters; of one that fails to tell them, that it may take any."""
    try:
        return list(runner.parameters())
    except BaseException:
        return ["*args", "**kwargs"]


def _add_module(name, source):
    """Add a module of the library that only some tasks may see."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(source, name, "exec"), module.__dict__)
    return name


def _call(wire, asked, arrays):
    """Return the `Call` that was asked for."""
    known = {name: tuple(map(_recipe, recipes)) for name, recipes in asked["recipes"].items()}
    known |= {**arrays, **asked["plain"]}
    victim = asked["victim"] and _recipe(asked["victim"])
    if asked["black_box"]:
        victim = BlackBox(victim, asked["queries"], asked["labels"], ask=lambda x: _ask(wire, x))
    arguments = {name: known[name] for name in asked["order"]}
    return Call(victim, arguments, asked["device"], asked["differentiate"])


def _recipe(told):
    fields = {name: _frozen(value) for name, value in told["fields"].items()}
    return getattr(importlib.import_module(told["module"]), told["name"])(**fields)


def _frozen(value):
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _ask(wire, images):
    """Return what the grader's model says about these images; the grader counts them."""
    wire.send({"query": True}, {"images": images.detach().cpu()})
    message, arrays = wire.receive()
    if "refused" in message:
        raise RuntimeError(message["refused"])
    return arrays["answers"]
