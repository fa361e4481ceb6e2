"""The sandbox's limits, what one task leaves to the next, and models that may only be asked."""

import os
import sys
import textwrap
from dataclasses import replace

import psutil
import pytest
import torch
from grading_tests import needs_bubblewrap
from inside import SMALL, bare

from advcourse.grading.run.sandbox import Limits
from advcourse.labs.running import Call
from advcourse.labs.verdicts import Finding
from advcourse.labs.victims import BlackBox, Victim


def told_of(process, folder):
    """True where the command of a process, which all that it forks have, too, names the folder."""
    try:
        return folder in " ".join(process.cmdline())
    except psutil.Error:
        return False


# Limits


def test_work_without_end_is_stopped(inside):
    """Checks a loop that never ends against the limit of processor time."""
    assert inside.stopped("while True: pass") == "time"


def test_work_that_is_shared_out_is_added_up(inside):
    """Checks four processes, each below the limit of processor time, that pass it together."""
    body = """
        for _ in range(3):
            if not os.fork():
                break
        began = time.process_time()
        while time.process_time() - began < 2:
            pass
        time.sleep(60)
    """
    assert inside.stopped(body) == "time"


_SPIN = """
def spin(seconds):
    began = time.process_time()
    while time.process_time() - began < seconds:
        pass
    os._exit(0)
"""
SHORT_LIVED = {
    "one after the other": "for _ in range(60):\n    os.waitpid(os.fork() or spin(0.1), 0)",
    "children of children": """
for _ in range(60):
    if not (child := os.fork()):
        os.waitpid(os.fork() or spin(0.1), 0)
        os._exit(0)
    os.waitpid(child, 0)
""",
    "whose parent is gone": """
for _ in range(4):
    if not (child := os.fork()):
        os.fork() or spin(1.5)
        os._exit(0)
    os.waitpid(child, 0)
time.sleep(40)
""",
}


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells what a process has taken that has ended"
)
@pytest.mark.parametrize("name", SHORT_LIVED)
def test_work_of_children_that_have_ended_is_added_up(inside, name):
    """Checks 6 seconds of work against the limit of 3: none of the processes lasts long, most are gone between two looks."""
    assert inside.stopped(_SPIN + SHORT_LIVED[name] + "\nreturn 1.0") == "time"


@needs_bubblewrap
def test_no_one_can_ignore_that_a_child_has_ended(walled):
    """Checks that the one way to make a child's time vanish is refused, and that asking how it stands is not."""
    body = """
        import signal
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        except OSError:
            return float(subprocess.run([os.path.realpath("/bin/true")]).returncode == 0)
        return 2.0
    """
    assert walled.number(body) == 1


def test_sleep_without_end_is_stopped(inside):
    """Checks a process that only waits, and ignores signals, against the limit by the clock."""
    sandbox = bare(Limits(seconds=1), "bubblewrap" if inside.sandbox.strong else "process")
    body = """
        import signal
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        time.sleep(1000)
    """
    assert sandbox.stopped(body) == "time"
    sandbox.sandbox.close()


def test_who_works_is_not_late(inside):
    """Checks two seconds of work against a limit of half a second of waiting, as on a machine with too few processors."""
    sandbox = bare(Limits(seconds=0.5), "bubblewrap" if inside.sandbox.strong else "process")
    body = """
        while time.process_time() < 3:
            pass
        return 1.0
    """
    assert sandbox.number(body) == 1
    assert sandbox.stopped("time.sleep(1000)") == "time"
    waits = "import ctypes\nctypes.CDLL(None).vfork() or time.sleep(1000)"  # the kernel calls this a wait for a disk
    assert sandbox.stopped(waits) == "time"
    sandbox.sandbox.close()


def test_memory_is_bounded(inside):
    """Checks an array beyond the limit: the process cannot have it, and is told so; the next task goes on."""
    reply = inside("torch.ones(10**9)\nreturn 1.0")
    assert reply.kind == "crash" and "memory" in reply.detail
    assert inside.number("return 1.0") == 1


def test_the_memory_of_all_processes_is_added_up(inside):
    """Checks four processes, each far below the limit, that pass it together."""
    body = """
        for _ in range(3):
            if not os.fork():
                break
        kept = bytearray(os.urandom(2**20)) * 150
        time.sleep(60)
    """
    assert inside.stopped(body) == "memory"
    assert inside.number("return 1.0") == 1


def test_processes_are_bounded(inside):
    """Checks a process that starts processes without end: it is stopped, or refused more, and none is left."""
    body = """
        for _ in range(1000):
            try:
                if not os.fork():
                    time.sleep(1000)
                    os._exit(0)
            except OSError:
                return 1.0
        return 2.0
    """
    try:
        assert inside(body).value.item() == 1
    except Finding as finding:
        assert finding.key == "processes"
    assert inside.number("return 1.0") == 1
    folder = inside.sandbox._folder.name
    assert {p.pid for p in psutil.process_iter() if told_of(p, folder)} <= inside.sandbox._own


def test_files_are_bounded(inside):
    """Checks a file beyond the limit, and, where the folder has a size, files that fill it."""
    body = """
        import signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            with open("large", "wb") as file:
                file.write(bytes(2**22))
            return 1.0
        except OSError:
            return 0.0
    """
    assert inside.number(body) == 0
    if inside.sandbox.strong:
        body = """
            written = 0
            try:
                for i in range(1000):
                    with open(f"{i}", "wb") as file:
                        written += file.write(bytes(2**20))
            except OSError:
                pass
            return float(written)
        """
        assert inside.number(body) <= SMALL.scratch


@needs_bubblewrap
def test_files_without_end_are_memory():
    """Checks empty files, which the size of the folder does not bound, against the limit of memory: a KiB each."""
    walled = bare(replace(SMALL, cpu_seconds=60), "bubblewrap")
    body = """
        for i in range(1_000_000):
            os.close(os.open(f"{i}", os.O_CREAT))
        return 1.0
    """
    assert walled.stopped(body) == "memory"
    assert walled.number("time.sleep(1)\nreturn 1.0") == 1
    walled.sandbox.close()


@needs_bubblewrap
def test_sockets_without_end_are_memory(walled):
    """Checks connections that nobody accepts, whose other ends are closed: what was sent stays, and no process has it."""
    body = """
        here = socket.socket(socket.AF_UNIX)
        here.bind("here")
        here.listen(4096)
        for i in range(1000):
            with socket.socket(socket.AF_UNIX) as there:
                there.connect("here")
                there.send(b"a")
        time.sleep(60)
    """
    assert walled.stopped(body) == "memory"
    assert walled.number("pairs = [socket.socketpair() for _ in range(20)]\ntime.sleep(0.5)\nreturn 1.0") == 1


def test_a_task_that_ends_its_process_is_told(inside):
    """Checks the ways to die, against the one finding that they all get; the next task is not touched."""
    keeps_the_wire = "if os.fork(): os._exit(0)\ntime.sleep(1000)"
    for body in (
        "os._exit(0)",
        "os.kill(os.getpid(), 9)",
        "import ctypes; ctypes.string_at(0)",
        keeps_the_wire,
    ):
        assert inside.stopped(body) == "died"
        assert inside.number("return 1.0") == 1


# From task to task


def test_each_task_starts_anew(inside):
    """Checks what one task leaves: patched functions, files, variables, a process that goes on. The next finds nothing of it."""
    mark = f"advcourse-{os.getpid()}-mark"
    body = f"""
        torch.Tensor.sum = lambda *_: 7
        os.environ["LEFT"] = "1"
        os.makedirs("deep/er")
        open("deep/er/left.txt", "w").close()
        if not os.fork():
            os.setsid()
            if not os.fork():
                os.execv(sys.executable, [sys.executable, "-S", "-I", "-c", "import time; time.sleep(100)", {mark!r}])
            os._exit(0)
        time.sleep(0.5)
        return 1.0
    """
    python = 'sys.executable = "/proc/self/exe"\n' if inside.sandbox.strong else ""
    assert inside.number(python + textwrap.dedent(body)) == 1
    assert inside.left == 1
    assert not [p for p in psutil.process_iter(["cmdline"]) if mark in (p.info["cmdline"] or [])]
    assert inside.number("return float(torch.ones(3).sum())") == 3
    assert inside.number("return float('LEFT' in os.environ) + len(os.listdir())") == 0


def test_a_dead_sandbox_is_replaced(inside):
    """Checks the next task after all of the sandbox's processes were killed from outside."""
    assert inside.number("return 1.0") == 1
    for process in psutil.Process(inside.sandbox._process.pid).children(recursive=True):
        process.kill()
    inside.sandbox._process.kill()
    assert inside.number("return 2.0") == 2


# Black boxes


@pytest.mark.parametrize("labels", [False, True])
def test_a_black_box_is_asked_across_the_wire(inside, labels):
    """Checks the answers against the model's own, the count against the images asked, and that no model is inside."""
    victim, x = Victim("linear", 3), torch.rand(5, 1, 28, 28)
    body = "assert not isinstance(model, torch.nn.Module)\nreturn torch.cat([model(x[:2]), model(x[2:])]).double()"
    reply = inside(body, Call(BlackBox(victim, 5, labels), {"x": x}), "model, x")
    logits = victim.build()(x).detach()
    assert torch.equal(reply.value, (logits.argmax(1) if labels else logits).double()) and reply.asked == 5


def test_a_black_box_refuses_more_than_it_may_be_asked(inside):
    """Checks the count that the grader keeps: the sixth image is refused, whatever the count inside is made to say."""
    call = Call(BlackBox(Victim("linear", 3), 5), {"x": torch.rand(6, 1, 28, 28)})
    reply = inside("return model(x)", call, "model, x")
    assert reply.kind == "crash" and "5 are allowed" in reply.detail
    reply = inside("model.most = 100\nreturn model(x)", call, "model, x")
    assert reply.kind == "crash" and "5 are allowed" in reply.detail and reply.asked == 6
