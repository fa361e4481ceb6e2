"""Inside the sandbox: one process holds torch and forks a fresh one for each task.

The fresh one runs a student's code and answers the grader. The first never does; it is the grader's own. What a task does to
torch, to the builtins or to itself ends with the task's own process.
"""

import __future__

import ast
import ctypes
import gc
import importlib
import linecache
import os
import resource
import shutil
import signal
import socket
import sys
import types

import torch
import tqdm

from advcourse.grading.refusals import refuse
from advcourse.grading.wire import MOST, Broken, Wire, sendable
from advcourse.labs.running import CRASH, LIBRARIES, OTHER, Call, LocalRunner, Reply, failure
from advcourse.labs.victims import SHIPPED, BlackBox, Victim

START, STOP, READY, STUCK = b"+", b"-", b".", b"!"
_SIGNALS = [getattr(signal, f"SIG{name}") for name in ("INT", "TERM", "HUP", "PIPE", "USR1", "USR2", "CHLD")]
_PDEATHSIG, _DUMPABLE, _SUBREAPER = 1, 4, 36  # of prctl, Linux


def main(strong, scratch, user):
    """Serve the grader, which speaks through standard input, until it is gone.

    strong: the process is the first of a namespace of its own. scratch: the folder to be emptied after each task. user: the one
    whose rights the code has, if it is not 0. In a plain process only the tasks give up root's, since the interpreter itself may
    lie where no other user can read.
    """
    control = socket.socket(fileno=0)
    if strong:
        _become(user)
    _guard()
    _warm_up()
    LIBRARIES.extend(sys.path)
    gc.collect()
    gc.freeze()
    control.sendall(READY)
    child = 0
    while word := control.recv(1):
        if word == START:
            child = _start(control, scratch, strong, user)
        elif word == STOP:
            _stop(child, strong)
            control.sendall(READY if _emptied(scratch) else STUCK)


def _become(user):
    """Give up root's rights, where there are any."""
    if user:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)


def _guard():
    """No signal ends this process, no other one may look into it, and it does not outlive the grader.

    That a child has ended is ignored, too: nobody asks how, and so none becomes a zombie.
    """
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _control_process((_PDEATHSIG, signal.SIGKILL), (_DUMPABLE, 0), (_SUBREAPER, 1))


def _control_process(*settings):
    if sys.platform == "linux":
        for setting in settings:
            ctypes.CDLL(None).prctl(*setting)


def _warm_up():
    """What torch does only once is done before the first task."""
    torch.set_num_threads(1)
    for kind in ("smooth", *SHIPPED):
        x = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0)).requires_grad_()
        loss = torch.nn.functional.cross_entropy(Victim(kind).build()(x), torch.tensor([0, 1]))
        torch.autograd.grad(loss, x)


def _start(control, scratch, strong, user):
    """Fork the process of one task, and hand its line to the grader."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if not child:
        try:
            ours.close()
            control.close()
            os.setsid()
            _become(0 if strong else user)
            _control_process((_DUMPABLE, 1))  # so that the grader can see its share of the memory
            os.chdir(scratch)
            _serve(theirs, strong)
        finally:
            os._exit(0)
    theirs.close()
    socket.send_fds(control, [READY], [ours.fileno()])
    ours.close()
    return child


def _stop(child, strong):
    """End all that the task has started. In a process namespace of our own these are all other processes."""
    try:
        if strong:
            os.kill(-1, signal.SIGKILL)
        elif child:
            os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        pass
    try:
        while strong:
            os.waitpid(-1, 0)  # with SIGCHLD ignored it waits until none is left
    except ChildProcessError:
        pass


def _emptied(scratch):
    """Empty the folder; returns whether that could be done."""
    try:
        for entry in os.scandir(scratch):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
    except (OSError, RecursionError):
        return False
    return True


# One task


def _serve(line, strong):
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    sys.stdout = sys.stderr = open(os.devnull, "w")
    wire = Wire(line)
    wanted, _ = wire.receive()
    _limit(wanted["limits"], strong)
    refuse()
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    gc.enable()
    function, trace = load(wanted["program"])
    wire.send({"loaded": function is not None, "trace": trace})
    runner = LocalRunner(function)
    while True:
        try:
            asked, arrays = wire.receive()
        except Broken:
            return
        wire.send(*_answer(wire, runner, asked, arrays))


def _limit(limits, strong):
    """Bounds that this process and what it starts cannot lift. The grader watches what they do together."""
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
    """Bytes of address space in use; 0 where the system does not tell."""
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


def load(program):
    """Execute the statements of a program, and return (the task's function, ""), or (None, why there is none).

    A statement that fails is tried again after the others, as long as that helps: what it needs may stand further down.
    """
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    _be_a_notebook(module)
    waiting = [node for cell in program["cells"] for node in _statements(cell)]
    errors = {}
    while waiting:
        failed = []
        for node in waiting:
            try:
                exec(node, module.__dict__)
            except BaseException as error:  # an answer may also end the program: the others still count
                errors[node] = error
                failed.append(node)
        if len(failed) == len(waiting):
            break
        waiting = failed
    function = module.__dict__.get(program["task"])
    if callable(function):
        return function, ""
    return None, failure(errors[waiting[0]]).detail if waiting else ""


def _be_a_notebook(module):
    """What a notebook has and this process has not: `display`, which shows nothing here, and its progress bars."""
    shows = types.ModuleType("IPython.display")
    shows.display = shows.clear_output = module.display = _ignore
    notebook = types.ModuleType("IPython")
    notebook.display, notebook.get_ipython, notebook.version_info = shows, _ignore, (9, 0)
    sys.modules["IPython"], sys.modules["IPython.display"] = notebook, shows
    sys.modules["tqdm.notebook"] = tqdm


def _ignore(*_, **__):
    return None


def _statements(cell):
    """The chosen statements of a cell as code, whose lines a traceback can show."""
    name, source = cell["label"], cell["source"]
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    body = ast.parse(source, name).body
    chosen = [ast.Module([body[i]], type_ignores=[]) for i in cell["statements"]]
    # An annotation may be of a cell that was not needed, and so be a name that is not there: none is evaluated.
    return [compile(tree, name, "exec", __future__.annotations.compiler_flag) for tree in chosen]


def _answer(wire, runner, asked, arrays):
    """One reply to the grader, and its arrays."""
    if asked["ask"] == "parameters":
        return {"parameters": list(runner.parameters())}, {}
    if asked["ask"] == "module":
        return {"known": _add_module(asked["name"], asked["source"])}, {}
    try:
        reply = runner(_call(wire, asked, arrays))
    except BaseException as error:
        reply = Reply(CRASH, detail=failure(error).detail)
    found = {name: getattr(reply, name) for name in ("value", "slope") if getattr(reply, name) is not None}
    if not all(map(sendable, found.values())):
        reply, found = (
            Reply(
                OTHER,
                detail=f"a tensor of more than {MOST // 2**20} MiB, or of a type that is none of images",
            ),
            {},
        )
    told = {name: getattr(reply, name) for name in ("kind", "detail", "device", "requires_grad")}
    return {**told, "left": list(reply.left)}, found


def _add_module(name, source):
    """A module of the library that only some tasks may see."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(source, name, "exec"), module.__dict__)
    return name


def _call(wire, asked, arrays):
    """The `Call` that was asked."""
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
    """What the grader's model says of these images; the grader counts them."""
    wire.send({"query": True}, {"images": images.detach().cpu()})
    told, arrays = wire.receive()
    if "refused" in told:
        raise RuntimeError(told["refused"])
    return arrays["answers"]
