"""A whole class: each submission is graded once, kept, and found again; what comes of it are gradebooks and pages."""

import atexit
import hashlib
import hmac
import importlib
import json
import secrets
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from pathlib import Path

import torch
from tqdm.auto import tqdm

from advcourse import labs
from advcourse.core.files import Taken, WriteError, alone, probe, replacing, sweep
from advcourse.core.inputs import InputError, check_choice, check_range
from advcourse.core.workers import Failure, check_scheduler, in_processes, on_dask
from advcourse.grading.read.folders import Found, check_lab, find
from advcourse.grading.read.submission import LARGEST
from advcourse.grading.run.grader import Grader
from advcourse.grading.run.sandbox import ISOLATIONS, Limits, check_system, why_no_bubblewrap
from advcourse.grading.tell.report import BUBBLEWRAP, WEAK, Report, TaskResult
from advcourse.labs import release
from advcourse.labs.verdicts import CRASHED

ATTEMPTS = ("newest", "best")
SHORTEST = 16  # bytes of a secret
# What of labs and grading decides about no point: it finds submissions, or writes about results.
_NO_JUDGES = {
    "archives.py",
    "layouts.py",
    "owners.py",
    "classroom.py",
    "folders.py",
    "dryrun.py",
    "feedback.py",
    "overview.py",
    "writing.py",
}
_NO_JUDGES |= {"gradebook.py", "roster.py", "nbgrader_gradebook.py"}


@dataclass(frozen=True)
class Outcome:
    """What came of a class.

    reports: one a submission, by student. found: the submissions. failed: student -> the `Failure` of the grader, whose report
    has an error and no points; the next run tries them again. graded: how many were graded just now. told: what is odd in the
    folder.
    """

    lab: str
    reports: tuple[Report, ...]
    found: tuple[Found, ...]
    failed: dict[str, Failure]
    graded: int
    told: tuple[str, ...]


def grade(content, lab, student, secret, limits, isolation):
    """Grade one notebook (bytes); returns the JSON text of its `Report`. The process keeps its sandbox for the next one."""
    text = _grader(limits, isolation).grade(content, lab, student, secret).as_json()
    return text.encode(
        "utf-8", "replace"
    ).decode()  # a notebook may hold halves of letters, which no file can


@lru_cache(maxsize=1)
def _grader(limits, isolation):
    grader = Grader(limits, isolation)
    atexit.register(grader.close)
    return grader


def run(
    folder,
    lab,
    out,
    workers=1,
    scheduler=None,
    secret=None,
    limits=None,
    isolation="auto",
    progress=True,
    grade=grade,
    attempts="newest",
):
    """Grade all submissions of a lab; what is in `out` already, of the same file and the same grader, is found again.

    Args:
        folder: of the submissions, see `advcourse.grading.read.folders.find`.
        lab: "lab3", "3" or 3.
        out: folder for the results; made where it is missing. Killed at any moment, a run loses no finished one.
        workers: how many processes grade side by side (default 1). One that dies harms no other submission.
        scheduler: the address of a dask scheduler whose workers grade instead.
        secret: file whose bytes (16 at least) the instances of all students follow from; default: `out`/secret, made once.
        limits: what the code of one task may take, `sandbox.Limits`.
        isolation: "bubblewrap", "process" or "auto", see `sandbox.Sandbox`.
        progress: show a bar.
        grade: the function that grades, see `grade`.
        attempts: which of a student's notebooks counts, the "newest", or the "best", for which all are graded.

    What the grader itself fails at is tried twice, and is then told in `Outcome.failed`; it is never kept. Results from weak
    isolation are found again only where there is no better. Raises `InputError` before anything runs, where another grading
    writes to `out` just now among others, and where a result cannot be written: those before it are kept then.
    """
    lab, limits = check_lab(lab), limits or Limits()
    check_range(workers, "workers", 1, integer=True)
    check_choice(attempts, "attempts", ATTEMPTS)
    strong = not scheduler and not check_isolation(isolation)
    found, told = find(folder, lab)
    given = secret and _secret(secret)
    if scheduler:
        check_scheduler(scheduler)
    with alone_in(out):
        settings = _Settings(lab, given or _own_secret(Path(out)), limits, isolation)
        kept = _Kept(Path(out) / "results", settings, strong)
        tried = found if attempts == "newest" else tuple(_each_attempt(found))
        reports, graded, failed = _all(tried, kept, grade, workers, scheduler, progress)
    found = tuple(max(_same(one, reports), key=lambda attempt: reports[attempt].points) for one in found)
    failed = {one.student: failed[one] for one in found if one in failed}
    return Outcome(lab, tuple(reports[one] for one in found), found, failed, graded, told)


@contextmanager
def alone_in(out):
    """Inside the block no other grading writes to the folder `out`, which is made where it is missing.

    Raises `InputError` where another one does, and for what cannot be written there.
    """
    make_folder(Path(out))
    try:
        with alone(out):
            yield
    except Taken as taken:
        told = f"out: got {str(out)!r}, to which another grading writes just now ({taken.strerror})"
        raise InputError(
            f"{told}; allowed is one at a time: wait until it has ended, or choose another folder"
        ) from taken
    except WriteError as error:
        raise InputError(
            f"out: {error}. What has been graded is kept; the same command goes on from there"
        ) from error


def _all(tried, kept, grade, workers, scheduler, progress):
    """The report of each submission, how many were graded just now, and submission -> `Failure`."""
    reports = {one: report for one in tried if (report := _refused(one, kept.settings) or kept.get(one))}
    waiting, failed = [one for one in tried if one not in reports], {}
    graded = len(waiting)
    if waiting:
        probe(kept.folder)
    bar = {"total": len(tried), "initial": len(reports), "unit": "submission", "desc": "grading"}
    with tqdm(**bar, disable=not progress) as bar:
        for count, again in ((workers, ""), (1, "-again")):
            if again and waiting:
                bar.set_description(f"grading, {len(waiting)} tried again")
            for one, result in _graded(waiting, kept, grade, count, scheduler, again):
                reports[one], failed[one] = kept.put(one, result), result
                bar.update(not again or 0)
            waiting = [one for one in waiting if not reports[one]]
    for one in waiting:
        reports[one] = _failed(one, kept.settings, failed[one])
    return reports, graded, {one: failed[one] for one in waiting}


def check_isolation(isolation):
    """Why students' code can be isolated only weakly here, in words, "" where it is strongly.

    Raises `InputError` for an unknown isolation, for bubblewrap where it does not work, and on Windows.
    """
    check_system()
    check_choice(isolation, "isolation", ISOLATIONS)
    why = "isolation is 'process'" if isolation == "process" else why_no_bubblewrap()
    if why and isolation == "bubblewrap":
        raise InputError(f"isolation: got 'bubblewrap', which does not work here: {why}; allowed is 'auto'")
    return why


@dataclass(frozen=True)
class _Settings:
    lab: str
    secret: bytes
    limits: Limits
    isolation: str

    def identity(self, student, digest):
        """All that a result follows from, as plain values; of the secret a fingerprint."""
        secret = hmac.digest(self.secret, b"identity", "sha256").hex()
        limits = asdict(self.limits)
        return [student, digest, self.lab, secret, limits, version(self.lab)]


class _Kept:
    """The results in a folder, by what they follow from."""

    def __init__(self, folder, settings, strong):
        self.folder, self.settings, self.strong = folder, settings, strong
        make_folder(folder)
        sweep(folder)

    def key(self, student, digest):
        identity = json.dumps(self.settings.identity(student, digest))
        return hashlib.sha256(identity.encode()).hexdigest()[:32]

    def _path(self, student, digest):
        return self.folder / f"{self.key(student, digest)}.json"

    def get(self, one):
        """The `Report` of a submission; None where there is none, a damaged one, or one of weak isolation and there is better."""
        try:
            digest = _digest(_read(one))
            report = Report.from_json(self._path(one.student, digest).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        same = (report.student, report.digest, report.lab) == (one.student, digest, self.settings.lab)
        return report if same and not (self.strong and report.isolation == WEAK) else None

    def put(self, one, result):
        """Keep what was graded; returns the `Report`, or None for a failure."""
        if isinstance(result, Failure):
            return None
        report = Report.from_json(result)
        with replacing(self._path(one.student, report.digest)) as partial:
            partial.write_text(result, encoding="utf-8")
        return report


def make_folder(folder):
    """Make a folder, with those above it, where it is missing. Raises `InputError` where that does not work."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"out: got {str(folder)!r}; allowed is a folder to write to ({error})") from error


def _own_secret(out):
    """The bytes of `out`/secret, which is made where it is missing, for its owner's eyes alone."""
    own = out / "secret"
    if not own.exists():
        with replacing(own, mode=0o600, keep=True) as partial:  # of two who make one, both read the first
            partial.write_bytes(secrets.token_bytes(32))
    return _secret(own)


def _secret(path):
    try:
        secret = Path(path).read_bytes()
    except OSError as error:
        raise InputError(
            f"secret: got {str(path)!r}; allowed is a file that can be read ({error})"
        ) from error
    if len(secret) < SHORTEST:
        raise InputError(f"secret: {path} has {len(secret)} bytes; allowed are {SHORTEST} or more")
    return secret


def _read(one):
    """The bytes of a submission; of a file that is too large for the grader only enough to show that."""
    return one.read(LARGEST + 1)


def _each_attempt(found):
    """All notebooks of each student, the newest first; of those with the same bytes one."""
    for one in found:
        digests = set()
        for attempt in (one, *one.earlier):
            with suppress(OSError):
                digest = _digest(_read(attempt))
                if digest in digests:
                    continue
                digests.add(digest)
            yield attempt


def _same(one, reports):
    """The attempts of one student that have reports, the newest first."""
    return [attempt for attempt in (one, *one.earlier) if attempt in reports]


def _digest(content):
    return hashlib.sha256(content).hexdigest()


@cache
def version(lab):
    """SHA-256 (hex) of the source of labs and grader, as far as it decides about points, and of the lab's released copy."""
    root, total = Path(labs.__file__).resolve().parent.parent, hashlib.sha256(torch.__version__.encode())
    files = [path for room in ("labs", "grading") for path in sorted((root / room).rglob("*.py"))]
    files += sorted((release.ROOT / "exercises" / lab).glob("*.ipynb"))
    for path in files:
        if path.is_relative_to(root / "labs") or path.name not in _NO_JUDGES:
            total.update(path.name.encode() + path.read_bytes())
    return total.hexdigest()


def _graded(waiting, kept, grade, count, scheduler, again):
    """Grade submissions; yields (submission, the text of its report or a `Failure`) as they are done."""
    owners, settings = {}, kept.settings

    def tasks():
        for one in waiting:
            try:
                content = _read(one)
            except OSError as error:
                key, task = f"unread {one.student}", (_refuse, (f"the file cannot be read: {error}",))
            else:
                key = kept.key(one.student, _digest(content))
                task = (_at_work, (grade, content, one.student, settings, version(settings.lab)))
            owners[key + again] = one
            yield key + again, task

    done = on_dask(tasks(), scheduler) if scheduler else in_processes(tasks(), count, _longest(settings))
    for key, result in done:
        yield owners[key], result


def _at_work(grade, content, student, settings, wanted):
    """What runs where the work is done."""
    if version(settings.lab) != wanted:
        raise InputError("advcourse: other here than where the work was handed out; allowed is the very same")
    text = grade(content, settings.lab, student, settings.secret, settings.limits, settings.isolation)
    Report.from_json(text)  # what is no report is a failure here, and stops no other submission
    return text


def _refuse(message):
    raise InputError(message)


def _longest(settings):
    """Seconds after which a grader hangs: each task may take its time, and as much again to judge."""
    return 120 + 2 * settings.limits.seconds * len(_tasks(settings.lab))


def _tasks(lab):
    return importlib.import_module(f"advcourse.labs.{lab}").LAB.tasks


def _failed(one, settings, failure):
    """The report where the grader itself failed: no points, and why."""
    told = "The grader failed at this notebook. It costs nothing: ask for it to be graded again."
    return _without_points(one, settings, "", told, f"not graded: {failure.error}")


def _refused(one, settings):
    """The report on what was handed in and is no notebook: no points, and why. None for a notebook."""
    if not one.reason:
        return None
    try:
        digest = _digest(_read(one))
    except OSError:
        digest = _digest(b"")
    return _without_points(one, settings, digest, "No notebook was handed in.", one.reason)


def _without_points(one, settings, digest, told, error):
    tasks = tuple(
        TaskResult(task.name, task.title, CRASHED, told, 0, task.points, 0)
        for task in _tasks(settings.lab).values()
    )
    isolation = WEAK if settings.isolation == "process" or why_no_bubblewrap() else BUBBLEWRAP
    return Report(one.student, settings.lab, digest, isolation, tasks, error=error)
