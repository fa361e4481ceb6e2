"""The sandbox: its walls, its limits, and what a task leaves to the next. Each escape is tried by code that runs inside."""

import ctypes
import os
import platform
import socket
import subprocess
import sys
import textwrap
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from grading_tests import ROOT, needs_bubblewrap

from advcourse.grading import staging
from advcourse.grading.asking import PipeRunner
from advcourse.grading.report import BUBBLEWRAP, WEAK
from advcourse.grading.sandbox import Limits, Sandbox
from advcourse.inputs import InputError
from advcourse.labs.running import Call
from advcourse.labs.verdicts import Finding
from advcourse.labs.victims import BlackBox, Victim

SMALL = Limits(seconds=60, cpu_seconds=3, memory=400 * 2**20, processes=8)


class Inside:
    """Functions that run in a sandbox: `inside("return 1.0")` gives the `Reply`; a task that was stopped raises its `Finding`."""

    def __init__(self, sandbox):
        self.sandbox, self.reason, self.left = sandbox, "", 0

    def __call__(self, body, call=None, parameters=""):
        source = (
            f"import os, socket, subprocess, sys, time\nimport torch\ndef f({parameters}):\n"
            + textwrap.indent(textwrap.dedent(body), "    ")
        )
        cell = {"label": "cell 1", "source": source, "statements": [0, 1, 2]}
        with self.sandbox.task() as (wire, watch):
            runner = PipeRunner(wire, watch, self.sandbox.limits, SimpleNamespace(name="f"))
            try:
                wire.send({"limits": asdict(self.sandbox.limits), "program": {"task": "f", "cells": [cell]}})
                told, _ = wire.receive()
                assert told["loaded"], told
                reply = runner(call or Call(None, {}))
            finally:
                self.reason = runner.reason
        self.left = watch.left
        return reply

    def number(self, body):
        """The number that the body returns."""
        reply = self(body)
        assert reply.kind in ("number", "tensor"), reply
        return reply.value.item()

    def stopped(self, body):
        """Why a task with this body was stopped."""
        with pytest.raises(Finding) as finding:
            self(body)
        assert finding.value.key == self.reason and finding.value.outcome == "crashed"
        return finding.value.key


@pytest.fixture(scope="module")
def walled():
    """Inside bubblewrap."""
    sandbox = Sandbox(SMALL, "bubblewrap")
    assert sandbox.strong and sandbox.isolation == BUBBLEWRAP
    yield Inside(sandbox)
    sandbox.close()


@pytest.fixture(scope="module")
def plain():
    """Inside a plain process."""
    sandbox = Sandbox(SMALL, "process")
    assert not sandbox.strong and sandbox.isolation == WEAK
    yield Inside(sandbox)
    sandbox.close()


@pytest.fixture(scope="module", params=[pytest.param("walled", marks=needs_bubblewrap), "plain"])
def inside(request):
    """Inside either of them."""
    return request.getfixturevalue(request.param)


# Walls


@needs_bubblewrap
def test_no_file_outside_can_be_read(walled, tmp_path):
    """Checks files that this process reads: a secret beside the test, the project, the lab's answers, the users' list."""
    secret = tmp_path / "secret.txt"
    secret.write_text("42")
    paths = [secret, ROOT / "README.md", ROOT / "solutions", ROOT / "advcourse" / "attacks", "/etc/passwd"]
    assert all(os.path.exists(path) for path in paths)
    assert walled.number(f"return float(sum(os.path.exists(p) for p in {list(map(str, paths))!r}))") == 0


@needs_bubblewrap
def test_nothing_can_be_written_but_the_scratch_folder(walled):
    """Checks each folder that the code can see by writing into it: only the scratch folder takes it."""
    body = """
        found = []
        for folder, folders, files in os.walk("/"):
            if folder.startswith(("/proc", "/sys")):
                folders.clear()
                continue
            try:
                with open(os.path.join(folder, "written"), "w") as file:
                    file.write("x")
                found.append(folder)
            except OSError:
                pass
        return float(found == ["/scratch"])
    """
    assert walled.number(body) == 1


@needs_bubblewrap
def test_there_is_no_network(walled):
    """Checks a server on this machine, which this process reaches and the code inside does not; and the interfaces inside."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        body = f"""
            try:
                socket.create_connection(("127.0.0.1", {port}), timeout=2)
                return 1.0
            except OSError:
                return 0.0
        """
        assert walled.number(body) == 0
    assert walled.number("return float([name for _, name in socket.if_nameindex()] == ['lo'])") == 1


@needs_bubblewrap
def test_no_other_process_is_in_reach(walled):
    """Checks the grader's process, the only other one inside: it can be neither ended nor looked into."""
    body = """
        import ctypes, signal
        mine = os.getpid()
        seen = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
        for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGSEGV):
            try:
                os.kill(1, number)
            except OSError:
                pass
        found = 0
        for name in ("mem", "environ", "maps", "fd", "root", "cwd"):
            try:
                path = "/proc/1/" + name
                found += bool(os.listdir(path) if name in ("fd", "root", "cwd") else open(path, "rb").read(1))
            except OSError:
                pass
        traced = ctypes.CDLL(None, use_errno=True).ptrace(16, 1, 0, 0) == 0  # PTRACE_ATTACH
        return float(seen == [1, mine] and not found and not traced)
    """
    assert walled.number(body) == 1
    assert walled.number("return 1.0") == 1


@needs_bubblewrap
def test_the_code_has_no_rights(walled):
    """Checks the process's own status: another user than root, no capability, no way to win one; and that mounting is refused."""
    body = """
        told = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines() if ":" in line)
        rights = [int(told[name], 16) for name in ("CapPrm", "CapEff", "CapAmb")]
        mounted = subprocess.run(["mount", "-t", "tmpfs", "none", "/scratch"], capture_output=True).returncode == 0
        return float(os.getuid() != 0 and not any(rights) and told["NoNewPrivs"].strip() == "1" and not mounted)
    """
    assert walled.number(body) == 1


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"),
    reason="the filter of system calls is for Linux on two kinds of processors",
)
def test_what_no_answer_needs_is_refused(inside):
    """Checks calls that this process may make: memory that belongs to no process, a look into one, a namespace of one's own."""
    calls = """
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        made = [libc.shmget(0, 4096, 0o1600), libc.memfd_create(b"x", 0), libc.ptrace(0, 0, 0, 0), libc.unshare(0x10000000)]
    """
    assert inside.number(calls + "    return float(made == [-1] * 4 and ctypes.get_errno() == 1)") == 1
    clone = 56 if platform.machine() == "x86_64" else 220
    body = f"import ctypes\nreturn float(ctypes.CDLL(None).syscall({clone}, 0x10000011, 0, 0, 0, 0))"  # CLONE_NEWUSER
    assert inside.number(body) == -1
    left = ctypes.CDLL(None).shmget(0, 4096, 0o1600)
    assert left >= 0
    ctypes.CDLL(None).shmctl(left, 0, None)
    body = """
        import threading
        done = []
        thread = threading.Thread(target=done.append, args=(1,))
        thread.start()
        thread.join()
        return float(done == [1] and subprocess.run(["/bin/true"]).returncode == 0)
    """
    assert inside.number(body) == 1  # what answers may need goes on


def test_the_environment_tells_nothing(inside, monkeypatch):
    """Checks a variable of this process, and the names that are there, against the few that the sandbox sets."""
    monkeypatch.setenv("ADVCOURSE_SECRET", "42")
    inside.sandbox.renew()
    known = "PATH LANG LC_CTYPE HOME TMPDIR PWD OMP_NUM_THREADS MKL_NUM_THREADS OPENBLAS_NUM_THREADS CUDA_VISIBLE_DEVICES".split()
    own = ("TORCH", "KMP", "TRITON")  # torch adds names while it is imported
    assert (
        inside.number(
            f"return float(len([n for n in os.environ if n not in {known!r} and not n.startswith({own!r})]))"
        )
        == 0
    )


@needs_bubblewrap
def test_the_library_inside_holds_no_answer(walled):
    """Checks the rooms that hold answers, and other libraries that do: all can be imported here, none inside."""
    rooms = [
        "attacks",
        "defenses",
        "metrics",
        "intervals",
        "transformations",
        "zoo",
        "labs.checks",
        "labs.definitions",
    ]
    names = [f"advcourse.{room}" for room in rooms]
    names += [f"advcourse.labs.{lab}.tasks" for lab in ("lab1", "lab2", "lab3", "lab4", "lab7", "lab8")]
    names += [
        "advcourse.labs.lab8.defended",
        "foolbox",
        "skimage",
        "torchmetrics",
        "nbgrader",
    ]
    body = f"""
        import importlib
        found = []
        for name in {names!r}:
            try:
                importlib.import_module(name)
                found.append(name)
            except ImportError:
                pass
        return float(len(found))
    """
    assert walled.number(body) == 0
    for name in ("numpy", "scipy", "sklearn", "pandas", "matplotlib", "torchvision", "tqdm"):
        assert walled.number(f"import {name}\nreturn 1.0") == 1


def test_the_staged_files_are_those_that_the_worker_needs(tmp_path):
    """Checks by importing the worker from the staged files alone: no file is missing, and none is there that is not imported."""
    staging.stage(tmp_path)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import advcourse.grading.worker\n"
    code += "print(*(m.__file__ for n, m in sys.modules.items() if n.split('.')[0] == 'advcourse'))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    loaded = {Path(path) for path in done.stdout.split()}
    staged = {path for path in tmp_path.rglob("*.py") if path.parent.parent.name != "labs"}
    assert loaded == staged


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


def test_sleep_without_end_is_stopped(inside):
    """Checks a process that only waits, and ignores signals, against the limit by the clock."""
    sandbox = Inside(Sandbox(Limits(seconds=1), "bubblewrap" if inside.sandbox.strong else "process"))
    body = """
        import signal
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        time.sleep(1000)
    """
    assert sandbox.stopped(body) == "time"
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
                    time.sleep(30)
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


def test_a_task_that_ends_its_process_is_told(inside):
    """Checks the ways to die, against the one finding that they all get; the next task is not touched."""
    for body in ("os._exit(0)", "os.kill(os.getpid(), 9)", "import ctypes; ctypes.string_at(0)"):
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


def test_bad_settings_are_told(monkeypatch):
    """Checks the errors for an unknown isolation, and for bubblewrap where there is none; `auto` does without it."""
    with pytest.raises(InputError, match="isolation: got 'docker'"):
        Sandbox(isolation="docker")
    monkeypatch.setattr("advcourse.grading.sandbox.why_no_bubblewrap", lambda: "it is not installed")
    with pytest.raises(InputError, match="isolation: got 'bubblewrap'.*not installed"):
        Sandbox(isolation="bubblewrap")
    assert Sandbox().isolation == WEAK


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
