"""They break what runs them: they exit, kill, fork, fill, sleep, spin, or stay behind."""

from hostile import body, cheat

_TORCH = "import torch"


def _breaks(name, lines, first=_TORCH, **fields):
    cheat(name, body(lines, first), **fields)


# Ends

_breaks("exits", "sys.exit(0)", "import sys", keys=("crash",))
_breaks("exits_at_once", "os._exit(0)", "import os")
_breaks("kills_itself", "os.kill(os.getpid(), 9)", "import os")
_breaks("kills_its_parent", "os.kill(os.getppid(), 9)\nreturn torch.tensor(0.5)", "import os\nimport torch")
_breaks(
    "kills_the_first_process",
    "for number in range(1, 32):\n    if number != 19:\n        os.kill(1, number)\nreturn torch.tensor(0.5)",
    "import os\nimport torch",
)
_breaks("kills_all", "os.kill(-1, 9)\nreturn torch.tensor(0.5)", "import os\nimport torch")
_breaks("stops_itself", "os.kill(os.getpid(), signal.SIGSTOP)", "import os, signal", limits="short")
_breaks(
    "stops_all",
    "os.kill(-1, signal.SIGSTOP)\nos.kill(1, signal.SIGSTOP)\nos.killpg(0, signal.SIGSTOP)",
    "import os, signal",
    limits="short",
)
for _error in (
    "KeyboardInterrupt",
    "SystemExit",
    "GeneratorExit",
    "MemoryError",
    "StopIteration",
    "type('Own', (BaseException,), {})",
):
    _name = "a_base_exception" if "(" in _error else _error
    _breaks(f"raises_{_name}", f"raise {_error}()", keys=("crash",), told=False)
_breaks("calls_itself_without_end", "return @TASK@(@PARAMS@)", keys=("crash",), told=False)
_breaks("reads_address_0", "ctypes.string_at(0)", "import ctypes")
_breaks("aborts", "os.abort()", "import os")
cheat(
    "exits_when_it_is_defined",
    "import os\n\nos._exit(0)\nSEEN = os._exit(0)\n\n\ndef rate(clean_logits, logits, y, target, seen=SEEN):\n    return 0.5",
)
cheat(
    "spins_when_it_is_defined",
    "N = 0\nwhile True:\n    N += 1\n\n\ndef rate(clean_logits, logits, y, target):\n    return N",
    limits="short",
    told=False,
)

# Takes all there is

_breaks(
    "forks_without_end",
    "while True:\n    try:\n        os.fork()\n    except OSError:\n        pass",
    "import os",
    limits="short",
)
_breaks(
    "forks_and_lets_go_without_end",
    """
    while True:
        try:
            if os.fork():
                os._exit(0)
            os.setsid()
        except OSError:
            pass
    """,
    "import os",
    limits="short",
)
_breaks(
    "starts_threads_without_end",
    "def sleep():\n    time.sleep(1000)\n\nwhile True:\n    threading.Thread(target=sleep, daemon=True).start()",
    "import threading, time",
    limits="short",
)
_breaks(
    "fills_memory", "held = []\nwhile True:\n    held.append(torch.ones(2**22))", limits="small", told=False
)
_breaks(
    "asks_for_all_memory_at_once",
    "return torch.ones(2**40).sum()",
    limits="small",
    keys=("crash",),
    told=False,
)
_breaks(
    "fills_memory_in_many_processes",
    """
    for _ in range(6):
        if not os.fork():
            break
    held = bytearray()
    while len(held) < 150 * 2**20:
        held += b"x" * 2**20
    time.sleep(1000)
    """,
    "import os, time",
    limits="small",
)
_breaks(
    "fills_shared_memory",
    """
    kernel = ctypes.CDLL(None)
    kernel.shmat.restype = ctypes.c_void_p
    for _ in range(40):
        part = kernel.shmget(0, 2**25, 0o1600)
        place = kernel.shmat(part, None, 0)
        if place in (None, 2**64 - 1):
            break
        ctypes.memset(place, 1, 2**25)
        kernel.shmdt(ctypes.c_void_p(place))  # nobody holds it now, and it stays
    else:
        raise RuntimeError("LE" "AK 1280 MiB of shared memory")
    """,
    "import ctypes",
    limits="small",
)
_breaks(
    "fills_files_without_names",
    """
    held = []
    for _ in range(1000):
        held.append(os.memfd_create("x"))
        os.write(held[-1], bytes(2**20))
    raise RuntimeError("LE" "AK a thousand MiB in files without names")
    """,
    "import os",
    limits="small",
)
_breaks(
    "fills_the_disk",
    """
    taken = 0
    for folder in (".", "/tmp", "/dev/shm", "/var/tmp", "/run", "/run/lock", "/", "/dev", "/library"):
        for i in range(1000):
            try:
                with open(f"{folder}/full-{i}", "wb") as file:
                    taken += file.write(bytes(2**20))
            except OSError:
                break
    if taken > 2**27:
        raise RuntimeError("LE" "AK " + str(taken))
    """,
    "import os",
    limits="small",
)
_breaks(
    "makes_a_file_with_a_hole",
    'with open("hole", "wb") as file:\n    file.truncate(10 * 2**30)\nraise RuntimeError("LE" "AK ten gigabytes")',
)
_breaks("makes_many_small_files", "for i in range(30_000):\n    os.mkdir(str(i))", "import os")
_breaks(
    "makes_folders_that_nobody_may_open",
    'for i in range(2000):\n    os.mkdir("d")\n    os.chdir("d")\nos.chmod(".", 0)\nos.chdir("/")\nos.chmod("/dev/shm/d", 0)',
    "import os",
)
_breaks(
    "prints_without_end",
    'while True:\n    print("right " * 1000)\n    os.write(2, bytes(2**16))',
    "import os",
    limits="short",
)

# Takes all the time

_breaks("sleeps", "time.sleep(10**6)", "import time", limits="short", told=False)
_breaks("spins", "while True:\n    pass", limits="short", told=False)
_breaks("computes_in_one_instruction", "return 7 ** (10 ** 10)", limits="short", told=False)
_breaks("matches_without_end", 're.match("(a*)*$", "a" * 60 + "b")', "import re", limits="short", told=False)
# 40 seconds of the processor, by children that are gone before anybody looks
_SPINS = """
def spin():
    began = time.process_time()
    while time.process_time() - began < 0.1:
        pass
    os._exit(0)

for _ in range(400):
    {ways}
"""
for _name, _ways in {
    "one_after_the_other": "os.fork() or spin()\n    os.wait()",
    "whose_parent_is_gone": "os.waitpid(child, 0) if (child := os.fork()) else os.fork() or spin()\n    child or os._exit(0)",
    "that_nobody_asks_for": "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n    os.fork() or spin()\n    time.sleep(0.11)",
}.items():
    _breaks(
        f"spins_in_children_{_name}",
        _SPINS.format(ways=_ways) + "return torch.tensor(0.5)",
        "import os, signal, time\nimport torch",
        limits="busy",
        keys=("time", "processes", "crash"),
    )
_breaks(
    "ignores_signals_and_sleeps",
    "for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:\n    signal.signal(number, lambda *_: None)\n"
    "signal.pthread_sigmask(signal.SIG_BLOCK, signal.Signals)\nwhile True:\n    time.sleep(1)",
    "import signal, time",
    limits="short",
)
_breaks(
    "sleeps_in_the_text_of_its_error",
    "class Slow(Exception):\n    def __str__(self):\n        time.sleep(10**6)\n\nraise Slow",
    "import time",
    limits="short",
    told=False,
)

# Stays

_DAEMON = """
    import ctypes
    import os
    import signal
    import time

    import torch


    def stay(do):
        if os.fork():
            return
        os.setsid()
        if os.fork():
            os._exit(0)
        ctypes.CDLL(None).prctl(15, b"@STAYS@", 0, 0, 0)  # PR_SET_NAME
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        do()
"""


def _stays(name, do, after="return torch.tensor(0.5)", **fields):
    lines = f"stay({do})\ntime.sleep(0.1)\n{after}"
    cheat(
        name,
        _DAEMON + "\n\n    def @TASK@(@PARAMS@):\n" + "\n".join(" " * 8 + row for row in lines.splitlines()),
        **fields,
    )


_stays("leaves_a_process_behind", "lambda: time.sleep(10**6)")
_stays("leaves_one_that_spins", "lambda: [None for _ in iter(int, 1)]")
_stays(
    "leaves_one_that_talks_on_the_wire",
    "lambda: [os.write(n, b'right') for _ in iter(int, 1) for n in range(3, 20) if os.path.exists(f'/proc/self/fd/{n}')]",
)
_stays("leaves_one_that_forks", "lambda: [os.fork() or time.sleep(0.05) for _ in range(100)]")
_stays("leaves_one_and_dies", "lambda: time.sleep(10**6)", "os._exit(0)", limits="short")
_stays(
    "leaves_one_that_writes_files", "lambda: [open(f'{i}.left', 'w').write('x' * 1000) for i in range(10**6)]"
)
