"""Grade a whole class. Each submission is graded once, and its result is kept and reused; gradebooks and pages follow from it."""

import atexit
import hashlib
import hmac
import importlib
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from pathlib import Path

import torch
from tqdm.auto import tqdm

from advcourse import labs
from advcourse.core.files import Taken, WriteError, alone, contents, probe, replacing, sweep
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
# Files of the graded code that decide no points: they find submissions, or write about results.
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
    "written.py",
}
_NO_JUDGES |= {"gradebook.py", "roster.py", "nbgrader_gradebook.py"}


@dataclass(frozen=True)
class GradedClass:
    """The result of grading a class.

    Args:
        lab: the lab's name, such as "lab3".
        reports: one per submission, sorted by student.
        found: the submissions, in the same order.
        failed: student -> the grader's own `Failure`. The student's report then has an error and no points; the next run tries
            again.
        graded: how many submissions were graded in this run.
        told: sentences about anything unusual in the folder of submissions.
    """

    lab: str
    reports: tuple[Report, ...]
    found: tuple[Found, ...]
    failed: dict[str, Failure]
    graded: int
    told: tuple[str, ...]


def grade(content: bytes, lab: str, student: str, secret: bytes, limits: Limits, isolation: str) -> str:
    """Grade one notebook and return its `Report` as JSON text. The process keeps its sandbox for the next notebook."""
    text = _grader(limits, isolation).grade(content, lab, student, secret).as_json()
    return text.encode("utf-8", "replace").decode()  # a notebook may hold lone surrogates, which no file can


@lru_cache(maxsize=1)
def _grader(limits, isolation):
    grader = Grader(limits, isolation)
    atexit.register(grader.close)
    return grader


def run(
    folder: Path | str,
    lab: str | int,
    out: Path | str,
    workers: int = 1,
    scheduler: str | None = None,
    secret: Path | str | None = None,
    limits: Limits | None = None,
    isolation: str = "auto",
    progress: bool = True,
    grade: Callable[[bytes, str, str, bytes, Limits, str], str] = grade,
    attempts: str = "newest",
) -> GradedClass:
    """Grade all submissions of a lab. A result that `out` already holds for the same file and the same grader is reused.

    Args:
        folder: where the submissions are, see `advcourse.grading.read.folders.find`.
        lab: "lab3", "3" or 3.
        out: folder for the results, created if missing. Whenever a run is killed, no finished result is lost.
        workers: how many processes grade side by side (default 1). If one dies, no other submission is affected.
        scheduler: address of a dask scheduler whose workers grade instead.
        secret: file with at least 16 bytes, from which the instances of all students follow; default: `out`/secret, created
            once.
        limits: what the code of one task may use, see `sandbox.Limits`.
        isolation: "bubblewrap", "process" or "auto", see `sandbox.Sandbox`.
        progress: show a progress bar.
        grade: the function that grades, see `grade`.
        attempts: which of a student's notebooks counts: the "newest", or the "best", for which all of them are graded.

    Returns:
        The class's results. If the grader itself fails at a submission, it tries once more, then lists it in `failed` and keeps
        no result. A result from weak isolation is reused only if this run has nothing stronger.

    Raises:
        InputError: before anything runs for bad arguments, or if another grading is writing to `out`; later if a result cannot
            be written. The results before it are then kept.
    """
    lab, limits = check_lab(lab), limits or Limits()
    check_range(workers, "workers", 1, integer=True)
    check_choice(attempts, "attempts", ATTEMPTS)
    strong = not scheduler and not check_isolation(isolation)
    _check_outside(out, folder)
    found, told = find(folder, lab)
    given = secret and _secret(secret)
    if scheduler:
        check_scheduler(scheduler)
    with alone_in(out):
        settings = _Settings(lab, given or _own_secret(Path(out)), limits, isolation)
        kept = _Kept(Path(out) / "results", settings, strong)
        tried = found if attempts == "newest" else tuple(_each_attempt(found))
        reports, graded, failed = _all(tried, kept, grade, workers, scheduler, progress)
    chosen = tuple(max(_same(one, reports), key=lambda attempt: reports[attempt].points) for one in found)
    failed = {one.student: failed[one] for one in chosen if one in failed}
    noted = []
    for newest, one in zip(found, chosen, strict=True):
        note = newest.note_of_choice(one, attempts)
        noted.append(replace(reports[one], notes=(*reports[one].notes, note)) if note else reports[one])
    return GradedClass(lab, tuple(noted), chosen, failed, graded, told)


def _check_outside(out, folder):
    """Raise `InputError` if the results would lie among the submissions, and be taken for hand-ins by the next run."""
    if not os.path.isfile(out) and Path(os.path.realpath(out)).is_relative_to(os.path.realpath(folder)):
        raise InputError(
            f"out: got {str(out)!r}, in the folder of the submissions, where the next run would take results for hand-ins; "
            "allowed is a folder beside it"
        )


@contextmanager
def alone_in(out: Path | str) -> Iterator[None]:
    """Keep other gradings from writing to the folder `out` inside the block. The folder is created if missing.

    Raises:
        InputError: if another grading is writing to it, or if something cannot be written there.
    """
    make_folder(Path(out))
    try:
        with alone(out):
            yield
    except Taken as taken:
        message = f"out: got {str(out)!r}, to which another grading writes just now ({taken.strerror})"
        raise InputError(
            f"{message}; allowed is one at a time: wait until it has ended, or choose another folder"
        ) from taken
    except WriteError as error:
        raise InputError(
            f"out: {error}. What has been graded is kept; the same command goes on from there"
        ) from error


def _all(tried, kept, grade, workers, scheduler, progress):
    """Return the report of each submission, how many were graded in this run, and submission -> `Failure`."""
    reports = {
        submission: report
        for submission in tried
        if (report := _refused(submission, kept.settings) or kept.get(submission))
    }
    waiting, failed = [submission for submission in tried if submission not in reports], {}
    graded = len(waiting)
    if waiting:
        probe(kept.folder)
    bar = {"total": len(tried), "initial": len(reports), "unit": "submission", "desc": "grading"}
    with tqdm(**bar, disable=not progress) as bar:
        for count, again in ((workers, ""), (1, "-again")):
            if again and waiting:
                bar.set_description(f"grading, {len(waiting)} tried again")
            for submission, result in _graded(waiting, kept, grade, count, scheduler, again):
                reports[submission], failed[submission] = kept.put(submission, result), result
                bar.update(not again or 0)
            waiting = [submission for submission in waiting if not reports[submission]]
    for submission in waiting:
        reports[submission] = _failed(submission, kept.settings, failed[submission])
    return reports, graded, {submission: failed[submission] for submission in waiting}


def check_isolation(isolation: str) -> str:
    """Return why students' code can be isolated only weakly here, in words; "" if it can be isolated strongly.

    Raises:
        InputError: for an unknown isolation, for "bubblewrap" if it does not work here, and on Windows.
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
        """Return everything that a result depends on, as plain values, with a fingerprint in place of the secret."""
        secret = hmac.digest(self.secret, b"identity", "sha256").hex()
        limits = asdict(self.limits)
        return [student, digest, self.lab, secret, limits, version(self.lab)]


class _Kept:
    """The results in a folder, each stored under a key made from everything it depends on."""

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
        """Return the `Report` of a submission; None if missing, damaged, or weakly isolated when this run isolates strongly."""
        try:
            digest = _digest(_read(one))
            report = Report.from_json(self._path(one.student, digest).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        same = (report.student, report.digest, report.lab) == (one.student, digest, self.settings.lab)
        return report if same and not (self.strong and report.isolation == WEAK) else None

    def put(self, one, result):
        """Keep what was graded. Returns the `Report`, or None for a failure."""
        if isinstance(result, Failure):
            return None
        report = Report.from_json(result)
        with replacing(self._path(one.student, report.digest)) as partial:
            partial.write_text(result, encoding="utf-8")
        return report


def make_folder(folder: Path) -> None:
    """Create a folder and its parents if missing. Raises `InputError` if that does not work."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"out: got {str(folder)!r}; allowed is a folder to write to ({error})") from error


def _own_secret(out):
    """Return the bytes of `out`/secret, which is created if missing, readable by its owner alone."""
    own = out / "secret"
    if not own.exists():
        with replacing(own, mode=0o600, keep=True) as partial:  # if two create one, both read the first
            partial.write_bytes(secrets.token_bytes(32))
    return _secret(own)


def _secret(path):
    try:
        secret = contents(path)
    except OSError as error:
        raise InputError(
            f"secret: got {str(path)!r}; allowed is a file that can be read ({error})"
        ) from error
    if len(secret) < SHORTEST:
        raise InputError(f"secret: {path} has {len(secret)} bytes; allowed are {SHORTEST} or more")
    return secret


def _read(one):
    """Return the bytes of a submission; if the file is too large for the grader, only enough to show that."""
    return one.read(LARGEST + 1)


def _each_attempt(found):
    """Yield all notebooks of each student, newest first; of several with the same bytes, only one."""
    for submission in found:
        digests = set()
        for attempt in (submission, *submission.earlier):
            with suppress(OSError):
                digest = _digest(_read(attempt))
                if digest in digests:
                    continue
                digests.add(digest)
            yield attempt


def _same(one, reports):
    """Return the attempts of one student that have reports, newest first."""
    return [attempt for attempt in (one, *one.earlier) if attempt in reports]


def _digest(content):
    return hashlib.sha256(content).hexdigest()


@cache
def version(lab: str) -> str:
    """Return the SHA-256 (hex) of what decides about points: source of labs and grader, released copy, PyTorch's version."""
    root, total = Path(labs.__file__).resolve().parent.parent, hashlib.sha256(torch.__version__.encode())
    files = [path for room in ("labs", "grading") for path in sorted((root / room).rglob("*.py"))]
    files += sorted((release.ROOT / "exercises" / lab).glob("*.ipynb"))
    for path in files:
        if path.is_relative_to(root / "labs") or path.name not in _NO_JUDGES:
            total.update(path.name.encode() + path.read_bytes())
    return total.hexdigest()


def _graded(waiting, kept, grade, count, scheduler, again):
    """Grade submissions. Yields (submission, the text of its report or a `Failure`) as they are done."""
    owners, settings = {}, kept.settings

    def tasks():
        for submission in waiting:
            try:
                content = _read(submission)
            except OSError as error:
                key, task = f"unread {submission.student}", (_refuse, (f"the file cannot be read: {error}",))
            else:
                key = kept.key(submission.student, _digest(content))
                task = (_at_work, (grade, content, submission.student, settings, version(settings.lab)))
            owners[key + again] = submission
            yield key + again, task

    done = on_dask(tasks(), scheduler) if scheduler else in_processes(tasks(), count, _longest(settings))
    for key, result in done:
        yield owners[key], result


def _at_work(grade, content, student, settings, wanted):
    """Grade one submission, in the process or on the machine that does the work."""
    if version(settings.lab) != wanted:
        raise InputError("advcourse: other here than where the work was handed out; allowed is the very same")
    text = grade(content, settings.lab, student, settings.secret, settings.limits, settings.isolation)
    Report.from_json(text)  # an invalid report is a failure here, and stops no other submission
    return text


def _refuse(message):
    raise InputError(message)


def _longest(settings):
    """Return the seconds after which a grader is taken to hang: each task may use its time, and as much again for judging."""
    return 120 + 2 * settings.limits.seconds * len(_tasks(settings.lab))


def _tasks(lab):
    return importlib.import_module(f"advcourse.labs.{lab}").LAB.tasks


def _failed(one, settings, failure):
    """Return the report for a submission at which the grader itself failed: no points, and why."""
    message = "The grader failed at this notebook. It costs nothing: ask for it to be graded again."
    return _without_points(one, settings, "", message, f"not graded: {failure.error}")


def _refused(one, settings):
    """Return the report on a hand-in that is not a notebook: no points, and why. None for a notebook."""
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
