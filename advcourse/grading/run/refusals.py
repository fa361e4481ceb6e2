"""Refuse calls to the Linux kernel that no answer needs, for a process and all that it starts (seccomp).

These calls change other processes, or something that outlives the caller; they make memory that nobody can count, or
namespaces in which the caller has rights again; they look into other processes, take what the whole machine has only so many
of, or ask the kernel for something that only root may have. The filter is written out here: it is a few lines, and libseccomp
is not on every machine.
"""

import ctypes
import errno
import platform
import struct
import sys

# From the kernel's tables of system calls: x86_64, aarch64. None: a call that this kind of processor does not have.
NUMBERS = {
    # other processes: their priority, their place in memory, what is in them
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "perf_event_open": (298, 241),
    # how long others wait for the caller: one that lets all others go first would never use up its time
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
    # memory and messages that belong to no process
    "shmget": (29, 194),
    "shmat": (30, 196),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "vmsplice": (278, 75),  # what is in a pipe stays there when the process has given it up
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # what the whole machine, or all programs of a user, have only so many of
    "io_setup": (206, 0),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    # the times of files: whoever may write to /dev/null may set those of the machine's own, which others can read
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    # namespaces, and files beyond the walls
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "lookup_dcookie": (212, 18),
    # the machine: its clock, name, disks, log and modules
    "settimeofday": (164, 170),
    "adjtimex": (159, 171),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "sync": (162, 81),
    "syncfs": (306, 267),
    "acct": (163, 89),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    "personality": (135, 92),
    "ioperm": (173, None),
    "iopl": (172, None),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    # ways into the kernel that this filter, or the kernel's own checks, often do not see
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
}
# Their first argument says which process is meant; 0, the caller itself, is allowed.
OF_ITSELF = {
    "prlimit64": (302, 261),
    "sched_setaffinity": (203, 122),
}
# Some of their arguments are allowed, see `_by_argument`.
BY_ARGUMENT = {
    "clone": (56, 220),
    "clone3": (435, 435),
    "mmap": (9, 222),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "rt_sigaction": (13, 134),
}
ASKING = {"ioprio_get": (252, 31), "sched_getattr": (315, 275)}  # calls that change nothing, see `ask`
NEWEST = 450  # calls with a higher number are newer than this list, and fail as on an older kernel
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column, AUDIT_ARCH_...
_NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_UNIX, _NETLINK, _ROUTE = 1, 16, 0  # kinds of sockets; the last two tell a program which networks there are
_CHILD_ENDED = 17  # SIGCHLD
_PRIVATE, _ANONYMOUS = 2, 32  # flags of mmap

_LOAD, _IF_EQUAL, _IF_ABOVE, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_NUMBER, _ARCHITECTURE = 0, 4  # places in struct seccomp_data
_ALLOW, _ERROR = (_RETURN, 0, 0, 0x7FFF0000), 0x00050000
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2  # of prctl


def refuse() -> bool:
    """Refuse these calls to this process from now on. Returns whether that worked.

    They fail with "operation not permitted", sockets with "address family not supported", newer calls with "not implemented".
    """
    if sys.platform != "linux" or platform.machine() not in _MACHINES:
        return False
    code = _program(*_MACHINES[platform.machine()])
    instructions = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]

    program = Program(len(code) // 8, ctypes.addressof(instructions))
    prctl = ctypes.CDLL(None).prctl
    prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    return prctl(_SECCOMP, _FILTER, ctypes.byref(program), 0, 0) == 0


def ask(name: str, *arguments: int | ctypes.Array) -> int | None:
    """Return the kernel's answer to one of `ASKING`, for which Python has no function; None if the numbers are not known."""
    if sys.platform == "linux" and platform.machine() in _MACHINES:
        return ctypes.CDLL(None).syscall(ASKING[name][_MACHINES[platform.machine()][0]], *arguments)
    return None


def _program(column, architecture):
    """Return the filter, in the language of the kernel's packet filters: a row of tests, each of which ends it or goes on."""
    refused, missing = _answer(errno.EPERM), _answer(errno.ENOSYS)
    others = [numbers[column] for numbers in NUMBERS.values() if numbers[column] is not None]
    rows = [
        _load(_ARCHITECTURE),
        *_unless(architecture, refused),
        _load(_NUMBER),
        *_where(_IF_ABOVE, NEWEST, missing),  # including those of the x32 interface
        *(row for number in others for row in _where(_IF_EQUAL, number, refused)),
        *(
            row
            for numbers in OF_ITSELF.values()
            for row in _where(_IF_EQUAL, numbers[column], _load(_argument(0)), *_unless(0, refused), _ALLOW)
        ),
        *(
            row
            for name, tests in _by_argument().items()
            for row in _where(_IF_EQUAL, BY_ARGUMENT[name][column], *tests, _ALLOW)
        ),
        _ALLOW,
    ]
    return b"".join(struct.pack("=HBBI", *row) for row in rows)


def _by_argument():
    """Return the tests for the calls that depend on their arguments."""
    refused, missing, no_family = map(_answer, (errno.EPERM, errno.ENOSYS, errno.EAFNOSUPPORT))
    kind, action = _load(_argument(0)), _argument(1)
    return {
        "clone": [kind, *_where(_IF_ANY_BIT, _NEW_NAMESPACES, refused)],
        "clone3": [missing],  # its flags cannot be seen; programs then call clone instead
        # Memory that processes share without a file stays as long as any page of it is in use, and only that one is counted.
        "mmap": [
            _load(_argument(3)),
            *_where(_IF_ANY_BIT, _ANONYMOUS, (_IF_ANY_BIT, 1, 0, _PRIVATE), refused),
        ],
        "socket": [
            kind,
            *_where(_IF_EQUAL, _UNIX, _ALLOW),
            *_unless(_NETLINK, no_family),
            _load(_argument(2)),
            *_unless(_ROUTE, no_family),
        ],
        "socketpair": [kind, *_unless(_UNIX, no_family)],
        # Ignoring the end of a child hides the processor time that it took. To ask, without an action, is allowed.
        "rt_sigaction": [
            kind,
            *_unless(_CHILD_ENDED, _ALLOW),
            _load(action),
            *_unless(0, refused),
            _load(action + 4),
            *_unless(0, refused),
        ],
    }


def _argument(i):
    """Return the place of an argument's lower half; the upper half follows."""
    return 16 + 8 * i


def _load(place):
    return _LOAD, 0, 0, place


def _answer(error):
    return _RETURN, 0, 0, _ERROR | error


def _where(test, value, *rows):
    return (test, 0, len(rows), value), *rows


def _unless(value, *rows):
    return (_IF_EQUAL, len(rows), 0, value), *rows
