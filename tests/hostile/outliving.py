"""They change what outlives them: the process that starts the next one, the folder, a device; or pass a number on."""

from hostile import body, cheat

_OS = "import os\nimport torch"


def _outlives(name, lines, first=_OS, **fields):
    """An answer that tries each of these lines, whatever becomes of the others, and is wrong."""
    tried = "".join(f"try:\n    {line}\nexcept (OSError, ValueError):\n    pass\n" for line in lines)
    cheat(name, body(tried + "return torch.tensor(0.5)", first), **fields)


_LIMITS = "import os, resource\nimport torch"
for _name, _kind, _limit in (
    ("memory", "RLIMIT_AS", "int(open('/proc/self/statm').read().split()[0]) * 4096 - 2**20"),
    ("time", "RLIMIT_CPU", "7"),
    ("files", "RLIMIT_NOFILE", "5"),
    ("file_sizes", "RLIMIT_FSIZE", "100"),
    ("processes", "RLIMIT_NPROC", "1"),
    ("stack", "RLIMIT_STACK", "2**16"),
    ("locks", "10", "0x5EC2E7"),
    ("signals", "RLIMIT_SIGPENDING", "77"),
):
    _kind = _kind if _kind.isdigit() else f"resource.{_kind}"
    _outlives(
        f"limits_the_{_name}_of_its_parent",
        [
            f"resource.prlimit({pid}, {_kind}, ({_limit}, resource.prlimit(0, {_kind})[1]))"
            for pid in ("1", "os.getppid()")
        ]
        + [f"resource.prlimit({pid}, {_kind}, ({_limit},) * 2)" for pid in ("1", "os.getppid()")],
        _LIMITS,
    )
_outlives(
    "keeps_a_number_in_a_limit",
    ["resource.prlimit(1, resource.RLIMIT_RTTIME, (0x5EC2E7, 0x7EC2E7777))"],
    _LIMITS,
)
_outlives(
    "makes_its_parent_wait",
    [
        "os.setpriority(os.PRIO_PROCESS, 1, 19)",
        "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
        "os.setpriority(os.PRIO_PGRP, os.getpgid(os.getppid()), 19)",
        "os.setpriority(os.PRIO_USER, 0, 19)",
        "os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0))",
        "os.sched_setparam(1, os.sched_param(0))",
        "os.sched_setaffinity(1, {min(os.sched_getaffinity(0))})",
    ],
)
cheat(
    "makes_its_parent_wait_for_the_disk_and_the_processor",
    body(
        """
        call = ctypes.CDLL(None).syscall
        disk, scheduler = (251, 314) if os.uname().machine == "x86_64" else (30, 274)
        for kind, who in ((1, 1), (2, 1), (3, os.getuid())):
            call(disk, kind, who, 3 << 13)  # the class that waits for all others
        clamped = struct.pack("IIQiIQQQII", 56, 3, 0x60, 19, 0, 0, 0, 0, 0, 100)
        call(scheduler, 1, clamped, 0)
        return torch.tensor(0.5)
        """,
        "import ctypes, os, struct\nimport torch",
    ),
)
cheat(
    "sends_signals_to_its_parent",
    body(
        """
        for number in range(1, 65):
            for pid in {1, os.getppid()}:
                try:
                    os.kill(pid, number)
                except OSError:
                    pass
        return torch.tensor(0.5)
        """,
        _OS,
    ),
)
cheat(
    "lets_its_end_be_a_signal_to_its_parent",
    body(
        """
        clone = 56 if os.uname().machine == "x86_64" else 220
        for number in (10, 12, 17, 34):
            if not ctypes.CDLL(None).syscall(clone, 0x8000 | number, 0, 0, 0, 0):  # CLONE_PARENT
                os._exit(0)
        return torch.tensor(0.5)
        """,
        "import ctypes, os\nimport torch",
    ),
)
_outlives(
    "writes_to_its_parent",
    [
        f"open('/proc/1/{name}', 'w').write('{value}')"
        for name, value in {
            "oom_score_adj": 1000,
            "coredump_filter": "0x7f",
            "comm": "kept",
            "timerslack_ns": 4242,
            "autogroup": 19,
            "clear_refs": 1,
            "mem": "x",
        }.items()
    ],
)
for _mode in (0o400, 0, 0o2777):
    _outlives(
        f"closes_the_folder_{_mode:o}",
        [f"os.chmod({path!r}, {_mode})" for path in ("/dev/shm", ".", "/proc/self/cwd")],
    )
_outlives(
    "marks_the_folder",
    [
        "os.setxattr('/dev/shm', 'user.kept', b'42')",
        "os.utime('/dev/shm', ns=(42, 42))",
        "os.utime('/dev/shm')",
        "os.chown('/dev/shm', -1, -1)",
        "fcntl.ioctl(os.open('/dev/shm', os.O_RDONLY), 0x40086602, struct.pack('l', 0x40))",  # no dump: FS_IOC_SETFLAGS
    ],
    "import fcntl, os, struct\nimport torch",
)
_outlives(
    "marks_the_devices",
    [f"os.utime('/dev/{name}')" for name in ("null", "zero", "full", "random", "urandom", "tty", "ptmx")]
    + ["os.setxattr('/dev/null', 'user.kept', b'42')", "os.chmod('/dev/pts/ptmx', 0)"],
)
cheat(
    "counts_up_the_numbers_of_processes",
    body(
        "for _ in range(42):\n    if not os.fork():\n        os._exit(0)\n    os.wait()\nreturn torch.tensor(0.5)",
        _OS,
    ),
)
cheat(
    "counts_up_the_numbers_of_files",
    body(
        """
        for _ in range(42):
            with tempfile.TemporaryFile(dir="/dev/shm"):
                pass
        return torch.tensor(0.5)
        """,
        "import tempfile\nimport torch",
    ),
)
_outlives(
    "leaves_files",
    [
        "os.makedirs('.config/matplotlib')",
        "open('.config/matplotlib/matplotlibrc', 'w').write('x')",
        "os.symlink('/', 'x')",
    ],
)
_outlives(
    "leaves_memory_and_messages",
    [
        "ctypes.CDLL('librt.so.1').mq_open(b'/kept', 0o102, 0o600, None)",
        "ctypes.CDLL(None).shmget(42, 4096, 0o1600)",
        "ctypes.CDLL(None).semget(42, 1, 0o1600)",
        "ctypes.CDLL(None).msgget(42, 0o1600)",
        "ctypes.CDLL(None).syscall(248 if os.uname().machine == 'x86_64' else 217, b'user', b'kept', b'42', 2, -4)",  # add_key
        "socket.socket(socket.AF_UNIX).bind(chr(0) + 'kept')",
        "open('/dev/shm/kept', 'w')",
    ],
    "import ctypes, os, socket\nimport torch",
)
for _name, _family in {"vsock": 40, "packet": 17, "bluetooth": 31, "tipc": 30, "alg": 38, "inet": 2}.items():
    cheat(
        f"opens_a_socket_of_{_name}",
        body(
            f"""
            for kind in (1, 2, 3, 5):
                try:
                    socket.socket({_family}, kind)
                except OSError:
                    continue
                raise RuntimeError("LE" "AK " + str(kind))
            return torch.tensor(0.5)
            """,
            "import socket\nimport torch",
        ),
    )
