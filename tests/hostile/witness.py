"""What the second student writes, whose submission is graded after each hostile one, and must get what it gets alone."""

from grading_tests import answer, content, exercise, solution

# An answer that crashes, and tells of all that it sees of its process, of the first one, and of the folder.
WITNESS = """
import hashlib
import os
import resource
import signal


def interval(successes, n):
    me, first = (dict(r.split(":", 1) for r in open(f"/proc/{p}/status") if ":" in r) for p in ("self", "1"))
    keys = "Umask Gid Uid Groups NoNewPrivs Seccomp CapPrm CapEff CapBnd SigIgn SigCgt SigBlk ShdPnd Cpus_allowed".split()
    kinds = [k for k in range(16) if k != resource.RLIMIT_AS]
    folder = os.stat("/dev/shm")
    stat = open("/proc/1/stat").read().rsplit(")", 1)[1].split()
    seen = {
        "me": [me[k] for k in keys],
        "first": [first[k] for k in keys],
        "limits": [resource.getrlimit(k) for k in kinds],
        "of the first": [r for r in open("/proc/1/limits") if "address" not in r],
        "memory": resource.getrlimit(resource.RLIMIT_AS)[0] < 2**36,
        "priority": [os.getpriority(k, 0) for k in (0, 1)] + stat[15:17] + stat[37:39] + stat[13:15],
        "turn": [os.sched_getscheduler(p) for p in (0, 1)] + [sorted(os.sched_getaffinity(p)) for p in (0, 1)],
        "folder": [oct(folder.st_mode), folder.st_uid, folder.st_gid, folder.st_nlink, folder.st_size],
        "marks": [os.listxattr("/dev/shm"), folder.st_mtime_ns == folder.st_ctime_ns, os.getcwd(), os.listdir(".")],
        "files": sorted(os.listdir("/proc/self/fd")),
        "words": sorted(os.environ.items()),
        "shared": [open(f"/proc/sysvipc/{k}").read() for k in ("shm", "sem", "msg")] + os.listdir("/dev/shm"),
        "unix": len(open("/proc/net/unix").read().splitlines()),
        "signals": [str(signal.getsignal(k)) for k in sorted(signal.valid_signals())],
        "self": [open(f"/proc/self/{k}").read() for k in ("oom_score_adj", "coredump_filter", "timerslack_ns", "comm")],
        "processes": sorted(int(p) == os.getpid() for p in os.listdir("/proc") if p.isdigit()),
    }
    raise RuntimeError(" ".join(f"{k}:{hashlib.sha256(repr(v).encode()).hexdigest()[:6]}" for k, v in seen.items()))
"""


def second():
    """The bytes of that notebook: one right answer, the witness, and the other tasks as they were handed out."""
    (right,) = [cell.source for cell in solution("lab4").cells if cell.id == "rate"]
    return content(answer(answer(exercise("lab4"), "rate", right), "interval", WITNESS))
