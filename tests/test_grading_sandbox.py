"""The sandbox's walls. Each escape is tried by code that runs inside."""

import ctypes
import importlib.util
import os
import platform
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from grading_tests import ROOT, needs_bubblewrap

from advcourse.core.inputs import InputError
from advcourse.grading.run import refusals, staging
from advcourse.grading.run.sandbox import Sandbox
from advcourse.grading.tell.report import BUBBLEWRAP, WEAK
from advcourse.labs.release import labs

on_a_known_processor = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"),
    reason="the filter of system calls is for Linux on two kinds of processors",
)
HEADERS = {
    "x86_64": (Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), 0),
    "aarch64": (Path("/usr/include/asm-generic/unistd.h"), 1),
}


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
        return float(found == ["/dev/shm"])
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
        mounted = subprocess.run(["mount", "-t", "tmpfs", "none", "/dev/shm"], capture_output=True).returncode == 0
        return float(os.getuid() != 0 and not any(rights) and told["NoNewPrivs"].strip() == "1" and not mounted)
    """
    assert walled.number(body) == 1


@on_a_known_processor
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


@pytest.mark.parametrize("header", HEADERS)
def test_the_numbers_of_calls_are_the_kernels(header):
    """Checks each number against the kernel's own list, as its header files have it."""
    path, column = HEADERS[header]
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    found = dict(re.findall(r"#define __NR(?:3264)?_(\w+) +(\d+)", path.read_text()))
    ours = {**refusals.NUMBERS, **refusals.OF_ITSELF, **refusals.BY_ARGUMENT, **refusals.ASKING}
    known = {name: numbers[column] for name, numbers in ours.items()}
    theirs = {name: int(found[name]) if name in found else None for name in known}
    newer = {name for name, number in known.items() if name not in found and number and number > 423}
    assert {name: n for name, n in known.items() if name not in newer} == {
        n: theirs[n] for n in known if n not in newer
    }
    assert len(newer) < 10


@on_a_known_processor
def test_one_process_changes_no_other(inside):
    """Checks calls that this process may make: for its parent, or for all of its user, or to be the last, they are refused."""
    body = """
        import resource
        refused, parent, cpus, usual = 0, os.getppid(), os.sched_getaffinity(0), os.sched_param(0)
        os.sched_setaffinity(0, cpus)
        resource.prlimit(0, resource.RLIMIT_CORE, (0, 0))
        for call in (
            lambda: resource.prlimit(parent, resource.RLIMIT_RTTIME, (5, 5)),
            lambda: os.sched_setaffinity(parent, cpus),
            lambda: os.sched_setscheduler(parent, os.SCHED_BATCH, usual),
            lambda: os.sched_setscheduler(0, os.SCHED_IDLE, usual),
            lambda: os.sched_setparam(parent, usual),
            lambda: os.setpriority(os.PRIO_PROCESS, parent, 19),
            lambda: os.setpriority(os.PRIO_USER, 0, 19),
            lambda: os.utime("/dev/null"),
        ):
            try:
                call()
            except PermissionError as error:
                refused += error.errno == 1
        return float(refused)
    """
    assert inside.number(body) == 8


@on_a_known_processor
@needs_bubblewrap
def test_there_is_no_memory_out_of_sight(walled):
    """Checks ways to memory that stays when only a page of it is in use, or none; memory of its own, and of a file, is there."""
    body = """
        import ctypes, mmap
        ways = {
            "own": lambda: mmap.mmap(-1, 2**20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS),
            "file": lambda: mmap.mmap(os.open("a", os.O_RDWR), 100),
            "shared": lambda: mmap.mmap(-1, 4096),
            "zero": lambda: mmap.mmap(os.open("/dev/zero", os.O_RDWR), 4096),
        }
        open("a", "w").write("a" * 100)
        there = set()
        for name, way in ways.items():
            try:
                way()
                there.add(name)
            except OSError:
                pass
        part = (ctypes.c_void_p * 2)(ctypes.addressof(ctypes.c_char.from_buffer(bytearray(8))), 1)
        spliced = ctypes.CDLL(None).vmsplice(os.pipe()[1], part, 1, 0)
        return float(there == {"own", "file"} and spliced == -1)
    """
    assert walled.number(body) == 1


@on_a_known_processor
@pytest.mark.parametrize("name", ["io_setup", "inotify_init1"])
def test_nothing_is_taken_that_the_machine_has_few_of(inside, name):
    """Checks that each is refused, not only unsuccessful: it takes some of a number that is counted for all programs together."""
    number = refusals.NUMBERS[name][platform.machine() == "aarch64"]
    body = f"""
        import ctypes
        kernel = ctypes.CDLL(None, use_errno=True)
        return float(kernel.syscall({number}, 0) == -1 and ctypes.get_errno() == 1)
    """
    assert inside.number(body) == 1


@on_a_known_processor
def test_there_are_sockets_of_two_kinds(inside):
    """Checks all families of sockets that there are: one inside the machine opens, one that tells of networks, and no other."""
    body = """
        opened = set()
        for family in range(64):
            for kind in (1, 2, 3, 4, 5, 10):
                for protocol in (0, 1, 2, 4, 16):
                    try:
                        socket.socket(family, kind, protocol).close()
                        opened.add((family, protocol))
                    except OSError:
                        pass
                try:
                    opened |= {(one.family, 0) for one in socket.socketpair(family, kind)}
                except OSError:
                    pass
        return float(opened == {(1, 0), (1, 1), (16, 0)})  # AF_UNIX, whose protocol is 0 or 1; AF_NETLINK for routes
    """
    assert inside.number(body) == 1


@on_a_known_processor
def test_calls_that_are_newer_than_the_list_are_not_there(inside):
    """Checks numbers beyond the list, and those of the x32 interface: the answer is that of a kernel that does not know them."""
    body = """
        import ctypes, errno
        kernel = ctypes.CDLL(None, use_errno=True)
        told = []
        for number in (451, 452, 462, 512, 600, 0x40000000 + 41):
            told += [kernel.syscall(number, 0, 0, 0, 0, 0, 0) == -1 and ctypes.get_errno() == errno.ENOSYS]
        return float(all(told))
    """
    assert inside.number(body) == 1


@needs_bubblewrap
def test_no_times_of_files_can_be_set(walled):
    """Checks the devices, and some other files: times that are kept there would outlive the sandbox."""
    body = """
        changed = []
        for folder in ("/dev", "/", "/dev/shm", "/proc", "/library"):
            for name in os.listdir(folder):
                for times in ({}, {"ns": (42, 42)}):
                    try:
                        os.utime(os.path.join(folder, name), **times)
                        changed.append(name)
                    except OSError:
                        pass
        return float(len(changed))
    """
    assert walled.number(body) == 0


def test_the_environment_tells_nothing(inside, monkeypatch):
    """Checks a variable of this process, and the names that are there, against the few that the sandbox sets."""
    monkeypatch.setenv("ADVCOURSE_SECRET", "42")
    inside.sandbox.renew()
    known = "PATH LANG LC_CTYPE HOME TMPDIR PWD OMP_NUM_THREADS MKL_NUM_THREADS OPENBLAS_NUM_THREADS CUDA_VISIBLE_DEVICES".split()
    known.append("JOBLIB_MULTIPROCESSING")
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
    files = (ROOT / "advcourse" / "labs").glob("lab*/*.py")
    places = [(path.parent.name, path.stem) for path in files if path.stem not in ("__init__", "given")]
    assert {lab for lab, _ in places} == set(labs())
    tasks = [f"advcourse.labs.{lab}.{name}" for lab, name in places]
    assert all(map(importlib.util.find_spec, tasks))
    names += [
        *tasks,
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
    """Checks by importing the worker, and what labs give to answers, from the staged files alone: all are there, and used."""
    staging.stage(tmp_path)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import advcourse.grading.run.worker\n"
    code += "".join(f"import advcourse.labs.{lab}\n" for lab in staging.labs())
    code += "print(*(m.__file__ for n, m in sys.modules.items() if n.split('.')[0] == 'advcourse'))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    loaded, staged = {Path(path) for path in done.stdout.split()}, set(tmp_path.rglob("*.py"))
    assert loaded == staged


@needs_bubblewrap
def test_each_isolation_has_its_name(walled, plain):
    """Checks the two words that reports use."""
    assert (walled.sandbox.isolation, plain.sandbox.isolation) == (BUBBLEWRAP, WEAK)


def test_bad_settings_are_told(monkeypatch):
    """Checks the errors for an unknown isolation, and for bubblewrap where there is none; `auto` does without it."""
    with pytest.raises(InputError, match="isolation: got 'docker'"):
        Sandbox(isolation="docker")
    monkeypatch.setattr("advcourse.grading.run.sandbox.why_no_bubblewrap", lambda: "it is not installed")
    with pytest.raises(InputError, match="isolation: got 'bubblewrap'.*not installed"):
        Sandbox(isolation="bubblewrap")
    assert Sandbox().isolation == WEAK
