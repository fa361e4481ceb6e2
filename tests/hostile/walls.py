"""They try to change the walls: to become root, to mount, to write to the system, to make a world of their own."""

from textwrap import dedent, indent

from hostile import cheat

_HEAD = """import ctypes
import fcntl
import os

KERNEL = ctypes.CDLL(None, use_errno=True)


def @TASK@(@PARAMS@):
"""


def _at_the_walls(name, lines):
    cheat(name, _HEAD + indent(dedent(lines).strip(), "    "))


_at_the_walls(
    "becomes_root",
    """
    for call in (KERNEL.setuid, KERNEL.setgid, KERNEL.seteuid):
        if call(0) == 0:
            raise RuntimeError("LE" "AK root")
    """,
)
_at_the_walls(
    "changes_the_root",
    """
    if KERNEL.chroot(b".") == 0:
        raise RuntimeError("LE" "AK chroot")
    """,
)
_at_the_walls(
    "mounts_a_disk",
    """
    if KERNEL.mount(b"none", b"/dev/shm", b"tmpfs", 0, None) == 0:
        raise RuntimeError("LE" "AK mount")
    """,
)
_at_the_walls(
    "makes_the_walls_writable",
    """
    for place in (b"/", b"/usr", b"/library", b"/dev"):
        if KERNEL.mount(None, place, None, 32, None) == 0:  # MS_REMOUNT
            raise RuntimeError("LE" "AK " + str(place))
    """,
)
_at_the_walls(
    "makes_a_world_of_its_own",
    """
    for flags in (0x10020000, 0x50000000, 0x20000, 0x40000000):  # NEWUSER, with and without NEWNS and NEWNET
        if KERNEL.unshare(flags) == 0:
            os.makedirs("room", exist_ok=True)
            got = KERNEL.mount(b"none", b"room", b"tmpfs", 0, b"size=8g")
            raise RuntimeError("LE" "AK unshare " + hex(flags) + (" and a disk" if got == 0 else ""))
    """,
)
_at_the_walls(
    "is_born_in_a_world_of_its_own",
    """
    for flags in (0x10000011, 0x10020011, 0x20000011):  # NEWUSER and NEWNS of clone, and the signal at its end
        child = KERNEL.syscall(56 if os.uname().machine == "x86_64" else 220, flags, 0, 0, 0, 0)
        if child == 0:
            os._exit(0)
        if child > 0:
            raise RuntimeError("LE" "AK clone " + hex(flags))
    """,
)
_at_the_walls(
    "changes_the_owner_of_files",
    """
    for path in ("/library/advcourse", "/usr/bin", "/dev/shm/..", "/proc/1"):
        for change in (lambda p: os.chmod(p, 0o777), lambda p: os.chown(p, 0, 0)):
            try:
                change(path)
            except OSError:
                continue
            raise RuntimeError("LE" "AK " + path)
    """,
)
_at_the_walls(
    "writes_to_the_system",
    """
    for path in (
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/shmall",
        "/proc/sysrq-trigger",
        "/proc/1/oom_score_adj",
        "/dev/kmsg",
        "/library/x.py",
        "/usr/x",
        "/x",
    ):
        try:
            with open(path, "w") as file:
                file.write("1")
        except OSError:
            continue
        raise RuntimeError("LE" "AK " + path)
    """,
)
_at_the_walls(
    "writes_into_every_mount",
    """
    with open("/proc/self/mountinfo") as file:
        places = [row.split()[4] for row in file]
    found = []
    for place in places:
        inside = os.listdir(place)[:50] if os.path.isdir(place) else []
        for folder in (place, *(os.path.join(place, name) for name in inside)):
            try:
                with open(folder + "/left", "w"):
                    found.append(folder)
            except OSError:
                pass
    found = [folder for folder in found if not folder.startswith("/dev/shm")]
    if found or "/dev/shm" not in places:
        raise RuntimeError("LE" "AK " + " ".join(found or places))
    """,
)
_at_the_walls(
    "opens_files_by_number",
    """
    for call in (KERNEL.open_by_handle_at, KERNEL.name_to_handle_at, KERNEL.fanotify_init):
        if call(0, 0, 0, 0, 0) >= 0:
            raise RuntimeError("LE" "AK")
    """,
)
_at_the_walls(
    "takes_the_terminal",
    """
    try:
        fcntl.ioctl(os.open("/dev/tty", os.O_RDWR), 0x5412, b"x")  # TIOCSTI: type a letter
    except OSError:
        return
    raise RuntimeError("LE" "AK")
    """,
)
_at_the_walls(
    "lifts_its_limits",
    """
    import resource

    for name in dir(resource):
        if name.startswith("RLIMIT_"):
            kind = getattr(resource, name)
            before = resource.getrlimit(kind)[1]
            try:
                resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            except (OSError, ValueError):
                continue
            if before != resource.RLIM_INFINITY:
                raise RuntimeError("LE" "AK " + name)
    """,
)
