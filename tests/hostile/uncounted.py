"""They take what no limit of a single process counts: memory out of sight, sockets, numbers that all programs share, turns."""

from hostile import body, cheat


def _takes(name, lines, first, **fields):
    cheat(name, body(lines, first), **{"limits": "small", **fields})


_SHARED = """
kernel = ctypes.CDLL(None)
kernel.mmap.restype = kernel.mremap.restype = ctypes.c_void_p
kernel.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
kernel.mremap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int]
for _ in range(10):
    place = kernel.mmap(None, 2**26, 3, {flags}, {file}, 0)
    if place == 2**64 - 1:
        return torch.tensor(0.5)
    ctypes.memset(place, 1, 2**26)
    kernel.mremap(place, 2**26, 4096, 0)  # the pages behind the first stay, and belong to nobody
raise RuntimeError("LE" "AK 640 MiB of shared memory")
"""
for _name, _flags, _file in (
    ("pages_that_nobody_has", "33", "-1"),  # MAP_SHARED, MAP_ANONYMOUS
    ("pages_of_a_device", "1", "os.open('/dev/zero', os.O_RDWR)"),
):
    _takes(f"keeps_{_name}", _SHARED.format(flags=_flags, file=_file), "import ctypes, os\nimport torch")
_takes(
    "keeps_pages_in_pipes",
    """
    kernel, size, held = ctypes.CDLL(None), 2**21, []
    for _ in range(20):
        held.append(os.pipe())
        for _ in range(16):
            own = mmap.mmap(-1, 2 * size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            own.madvise(14)  # MADV_HUGEPAGE: a byte in the pipe keeps two megabytes
            own.write(bytes(2 * size))
            part = (ctypes.c_void_p * 2)(ctypes.addressof(ctypes.c_char.from_buffer(own, size)), 1)
            if kernel.vmsplice(held[-1][1], part, 1, 0) != 1:
                return torch.tensor(0.5)
    raise RuntimeError("LE" "AK 640 MiB in pipes")
    """,
    "import ctypes, mmap, os\nimport torch",
)
_takes(
    "keeps_messages_that_nobody_reads",
    """
    here, sent = socket.socket(socket.AF_UNIX), 0
    here.bind("here")
    here.listen(4096)
    for _ in range(3000):
        with socket.socket(socket.AF_UNIX) as there:
            there.connect("here")
            there.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    sent += there.send(bytes(2**17))
    raise RuntimeError("LE" "AK " + str(sent))
    """,
    "import contextlib, socket",
    keys=("memory", "crash"),
)
_takes(
    "takes_all_contexts_of_the_machine",
    """
    held = ctypes.c_ulong(0)
    if not ctypes.CDLL(None).syscall(206 if os.uname().machine == "x86_64" else 0, 30_000, ctypes.byref(held)):
        raise RuntimeError("LE" "AK half of all contexts for asynchronous input and output")
    return torch.tensor(0.5)
    """,
    "import ctypes, os\nimport torch",
)
_takes(
    "takes_all_watches_of_its_user",
    """
    if ctypes.CDLL(None).inotify_init() >= 0:
        raise RuntimeError("LE" "AK a watch")
    return torch.tensor(0.5)
    """,
    "import ctypes\nimport torch",
)
_takes(
    "lets_all_others_go_first",
    """
    for policy in (os.SCHED_IDLE, os.SCHED_BATCH):
        try:
            os.sched_setscheduler(0, policy, os.sched_param(0))
        except OSError:
            continue
        raise RuntimeError("LE" "AK " + str(policy))
    return torch.tensor(0.5)
    """,
    "import os\nimport torch",
)
_takes(
    "opens_all_files_that_it_may",
    """
    held = []
    with contextlib.suppress(OSError):
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    return torch.tensor(0.5) if len(held) < 100 else None
    """,
    "import contextlib, os\nimport torch",
    keys=("formula", "0 for none", "1 for none"),
)
_takes(
    "leaves_children_that_nobody_waits_for",
    """
    with contextlib.suppress(OSError):
        for _ in range(1000):
            os.fork() or os._exit(0)
        raise RuntimeError("LE" "AK a thousand")
    return torch.tensor(0.5)
    """,
    "import contextlib, os\nimport torch",
)
_takes(
    "closes_the_line_to_the_grader",
    "os.closerange(0, 1000)\nreturn torch.tensor(0.5)",
    "import os\nimport torch",
)
_takes(
    "writes_into_the_line_by_its_output",
    """
    for number in range(3, 64):
        with contextlib.suppress(OSError):
            os.dup2(number, 1)
            os.write(1, b'{"message": {"kind": "right"}, "arrays": []}')
    return torch.tensor(0.5)
    """,
    "import contextlib, os\nimport torch",
)
