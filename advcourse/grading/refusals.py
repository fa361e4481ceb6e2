"""Calls to the Linux kernel that no answer needs, refused to a process and to all that it starts (seccomp).

They make memory that belongs to no process, so that nobody can count it; or worlds of one's own, in which one has rights again;
or look into other processes. The filter is written out here: it is thirty lines, and libseccomp is not on every machine.
"""

import ctypes
import errno
import platform
import struct
import sys

# From the kernel's tables of system calls: x86_64, aarch64.
_NUMBERS = {
    "shmget": (29, 194),
    "shmat": (30, 196),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "mount_setattr": (442, 442),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
}
_CLONE, _CLONE3 = (56, 220), (435, 435)
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column, AUDIT_ARCH_...
_NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_X32 = 0x40000000  # calls of the x32 interface have numbers from here on

_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # places in struct seccomp_data
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2  # of prctl


def refuse():
    """Refuse them to this process from now on; returns whether that could be done. They fail with "operation not permitted"."""
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


def _program(column, architecture):
    """The filter, in the language of the kernel's packet filters: tests in a row, each of which ends it or goes on."""
    refused, missing = _ERROR | errno.EPERM, _ERROR | errno.ENOSYS
    rows = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        *_unless(_IF_EQUAL, architecture, refused),
        (_LOAD, 0, 0, _NUMBER),
        *_where(_IF_AT_LEAST, _X32, refused),
        *(row for numbers in _NUMBERS.values() for row in _where(_IF_EQUAL, numbers[column], refused)),
        *_where(_IF_EQUAL, _CLONE3[column], missing),  # its flags cannot be seen; without it clone is called
        (_IF_EQUAL, 0, 3, _CLONE[column]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        *_where(_IF_ANY_BIT, _NEW_NAMESPACES, refused),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *row) for row in rows)


def _where(test, value, answer):
    return (test, 0, 1, value), (_RETURN, 0, 0, answer)


def _unless(test, value, answer):
    return (test, 1, 0, value), (_RETURN, 0, 0, answer)
