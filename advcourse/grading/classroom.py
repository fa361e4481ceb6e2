"""A whole class: each submission is graded once, kept, and found again; what comes of it are gradebooks and pages."""

import atexit
import hashlib
import hmac
import importlib
import json
import os
import secrets
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from pathlib import Path

import torch
from tqdm.auto import tqdm

from advcourse import labs
from advcourse.files import replacing, sweep
from advcourse.grading.folders import Found, check_lab, find
from advcourse.grading.grader import Grader
from advcourse.grading.report import BUBBLEWRAP, WEAK, Report, TaskResult
from advcourse.grading.sandbox import ISOLATIONS, Limits, why_no_bubblewrap
from advcourse.grading.submission import LARGEST
from advcourse.inputs import InputError, check_choice, check_range
from advcourse.labs import release
from advcourse.labs.verdicts import CRASHED
from advcourse.workers import Failure, in_processes, on_dask

SHORTEST = 16  # bytes of a secret
# What of labs and grading decides about no point: it finds submissions, or writes about results.
_NO_JUDGES = {"classroom.py", "folders.py", "dryrun.py", "feedback.py", "overview.py", "writing.py"}
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
):
    """Grade all submissions of a lab; what is in `out` already, of the same file and the same grader, is found again.

    Args:
        folder: of the submissions, see `advcourse.grading.folders.find`.
        lab: "lab3", "3" or 3.
        out: folder for the results; made where it is missing. Killed at any moment, a run loses no finished one.
        workers: how many processes grade side by side (default 1). One that dies harms no other submission.
        scheduler: the address of a dask scheduler whose workers grade instead.
        secret: file whose bytes (16 at least) the instances of all students follow from; default: `out`/secret, made once.
        limits: what the code of one task may take, `sandbox.Limits`.
        isolation: "bubblewrap", "process" or "auto", see `sandbox.Sandbox`.
        progress: show a bar.
        grade: the function that grades, see `grade`.

    What the grader itself fails at is tried twice, and is then told in `Outcome.failed`. Results from weak isolation are found
    again only where there is no better. Raises `InputError` before anything runs.
    """
    lab, limits = check_lab(lab), limits or Limits()
    check_range(workers, "workers", 1, integer=True)
    strong = not scheduler and not check_isolation(isolation)
    found, told = find(folder, lab)
    settings = _Settings(lab, _secret(secret, Path(out)), limits, isolation)
    kept = _Kept(Path(out) / "results", settings, strong)
    reports = {one: report for one in found if (report := kept.get(one))}
    waiting, failed = [one for one in found if one not in reports], {}
    graded = len(waiting)
    bar = {"total": len(found), "initial": len(reports), "unit": "submission", "desc": "grading"}
    with tqdm(**bar, disable=not progress) as bar:
        for count, again in ((workers, ""), (1, "-again")):
            for one, result in _graded(waiting, kept, grade, count, scheduler, again):
                reports[one], failed[one] = kept.put(one, result), result
                bar.update(not again or 0)
            waiting = [one for one in waiting if not reports[one]]
    for one in waiting:
        reports[one] = _failed(one, settings, failed[one])
    return Outcome(
        lab,
        tuple(reports[one] for one in found),
        found,
        {one.student: failed[one] for one in waiting},
        graded,
        told,
    )


def check_isolation(isolation):
    """Why students' code can be isolated only weakly here, in words, "" where it is strongly.

    Raises `InputError` for an unknown isolation, and for bubblewrap where it does not work.
    """
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
        _make(folder)
        sweep(folder)

    def key(self, student, digest):
        identity = json.dumps(self.settings.identity(student, digest))
        return hashlib.sha256(identity.encode()).hexdigest()[:32]

    def _path(self, student, digest):
        return self.folder / f"{self.key(student, digest)}.json"

    def get(self, one):
        """The `Report` of a submission; None where there is none, a damaged one, or one of weak isolation and there is better."""
        try:
            digest = _digest(_read(one.path))
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


def _make(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"out: got {str(folder)!r}; allowed is a folder to write to ({error})") from error


def _secret(path, out):
    """The bytes of the file, or of `out`/secret, which is made where it is missing, for its owner's eyes alone."""
    own = out / "secret"
    if path is None and not own.exists():
        _make(out)
        with replacing(own) as partial:
            with open(partial, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                file.write(secrets.token_bytes(32))
    try:
        secret = Path(path or own).read_bytes()
    except OSError as error:
        raise InputError(
            f"secret: got {str(path or own)!r}; allowed is a file that can be read ({error})"
        ) from error
    if len(secret) < SHORTEST:
        raise InputError(f"secret: {path or own} has {len(secret)} bytes; allowed are {SHORTEST} or more")
    return secret


def _read(path):
    """The bytes of a submission; of a file that is too large for the grader only enough to show that."""
    with open(path, "rb") as file:
        return file.read(LARGEST + 1)


def _digest(content):
    return hashlib.sha256(content).hexdigest()


@cache
def version(lab):
    """SHA-256 (hex) of the source of labs and grader, as far as it decides about points, and of the lab's released copy."""
    root, total = Path(labs.__file__).resolve().parent.parent, hashlib.sha256(torch.__version__.encode())
    files = [path for room in ("labs", "grading") for path in sorted((root / room).rglob("*.py"))]
    files += sorted((release.ROOT / "exercises" / lab).glob("*.ipynb"))
    for path in files:
        if path.parent.name != "grading" or path.name not in _NO_JUDGES:
            total.update(path.name.encode() + path.read_bytes())
    return total.hexdigest()


def _graded(waiting, kept, grade, count, scheduler, again):
    """Grade submissions; yields (submission, the text of its report or a `Failure`) as they are done."""
    owners, settings = {}, kept.settings

    def tasks():
        for one in waiting:
            try:
                content = _read(one.path)
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
    return grade(content, settings.lab, student, settings.secret, settings.limits, settings.isolation)


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
    tasks = tuple(
        TaskResult(task.name, task.title, CRASHED, told, 0, task.points, 0)
        for task in _tasks(settings.lab).values()
    )
    isolation = WEAK if settings.isolation == "process" or why_no_bubblewrap() else BUBBLEWRAP
    return Report(one.student, settings.lab, "", isolation, tasks, error=f"not graded: {failure.error}")
