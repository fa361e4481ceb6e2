"""What a task could leave to the next one: a sandbox with any trace of it serves no other; one without goes on."""

import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from grading_tests import answer, content, exercise, needs_bubblewrap, solution
from inside import SMALL, Inside, opened

from advcourse.core.workers import attempt
from advcourse.grading import classroom
from advcourse.grading.run import sandbox
from advcourse.grading.run.grader import Grader
from advcourse.grading.run.sandbox import Sandbox, SandboxError
from advcourse.grading.run.wire import Broken


def first(walled):
    """The first process inside, which starts all tasks."""
    return psutil.Process(max(walled.sandbox._own))


def serves(walled, body):
    """Whether the sandbox that ran this body serves the next task, too."""
    walled("return 1.0")
    before = walled.sandbox._process.pid
    walled(body)
    return walled.sandbox._process is not None and walled.sandbox._process.pid == before


# Each leaves something that stays until the sandbox ends, as root or as a user without rights, or would if it were not seen.
LEAVES = {
    "a file": "open('left', 'w').close()",
    "a file that is gone": "os.mkdir('gone')\nos.rmdir('gone')",
    "the number of a file": "os.close(os.open('.', os.O_TMPFILE | os.O_RDWR))",
    "the number of a process": "os.waitpid(os.fork() or os._exit(0), 0)",
    "the number of a thread": "import threading\nthreading.Thread(target=print).start()",
    "a process": "os.fork() or time.sleep(1000)",
    "a lock of processes": "import multiprocessing\nmultiprocessing.Lock()",
    "shared memory": "from multiprocessing.shared_memory import SharedMemory\nSharedMemory(create=True, size=64).unlink()",
}
# What answers do, and look at.
LEAVES_NOTHING = {
    "arithmetic": "torch.rand(64, 64).matmul(torch.rand(64, 64))",
    "a gradient": "torch.nn.Conv2d(1, 8, 3)(torch.rand(9, 1, 28, 28)).sum().backward()",
    "a progress bar": "import tqdm\nlist(tqdm.tqdm(range(9)))",
    "imports": "import numpy, pandas, scipy.stats, sklearn.linear_model",
    "an optimizer": "torch.optim.SGD([torch.zeros(1)])",
    "a drawing": "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.title('a')\nplt.gcf().canvas.draw()",
    "a look around": "os.listdir('.'), os.listdir('/'), open('/proc/1/status').read()",
    "signals to the first process": "[os.kill(1, n) for n in (10, 17, 34) if os.getuid() == os.stat('/proc/1').st_uid]",
    "its own priority, processors and limits": (
        "import resource\nos.umask(0)\nos.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "resource.setrlimit(resource.RLIMIT_STACK, (2**20, 2**20))"
    ),
}


@needs_bubblewrap
@pytest.mark.parametrize("name", LEAVES)
def test_a_sandbox_with_a_trace_serves_no_other_task(walled, name):
    """Checks by hand: each of these is seen by the next task in the same sandbox, in the folder or in a number that it gets."""
    assert not serves(walled, LEAVES[name] + "\nreturn 1.0")


@pytest.fixture(scope="module")
def warm():
    """Lines that run inside bubblewrap, in a sandbox that has imported all that the grader's own has."""
    yield from opened(Inside(Sandbox(SMALL, "bubblewrap")))


@needs_bubblewrap
@pytest.mark.parametrize("name", LEAVES_NOTHING)
def test_a_sandbox_without_a_trace_goes_on(warm, name):
    """Checks what right answers do: they must not cost a new sandbox each."""
    assert serves(warm, LEAVES_NOTHING[name] + "\nreturn 1.0")


CHANGES = {
    "priority": lambda process: process.nice(7),
    "processors": lambda process: process.cpu_affinity([min(os.sched_getaffinity(0))]),
    "disk": lambda process: process.ionice(psutil.IOPRIO_CLASS_IDLE),
    "scheduler": lambda process: os.sched_setscheduler(process.pid, os.SCHED_BATCH, os.sched_param(0)),
    "memory": lambda process: process.rlimit(psutil.RLIMIT_AS, (2**36, 2**36)),
    "real time": lambda process: process.rlimit(psutil.RLIMIT_RTTIME, (0x5EC2E7, 0x7EC2E7777)),
    "locks": lambda process: process.rlimit(10, (42, 42)),
    "signals": lambda process: process.rlimit(psutil.RLIMIT_SIGPENDING, (42, 42)),
}


@needs_bubblewrap
@pytest.mark.parametrize(
    "name", [name for name in CHANGES if name != "processors" or len(os.sched_getaffinity(0)) > 1]
)
def test_a_first_process_that_was_changed_serves_no_other_task(walled, name):
    """Checks changes of it from outside, where no filter of calls stands in the way: the next task has another first process."""
    walled("return 1.0")
    before = first(walled).pid
    with walled.sandbox.task():
        CHANGES[name](first(walled))
    assert walled.number("return 1.0") == 1
    assert first(walled).pid != before


def test_a_task_never_starts_with_other_limits(inside):
    """Checks a first process that gets other limits between two tasks: the next task is as any other, in a new sandbox."""
    for kind, most in ((psutil.RLIMIT_AS, 2**24), (psutil.RLIMIT_FSIZE, 0), (psutil.RLIMIT_NOFILE, 3)):
        assert inside.number("return 1.0") == 1
        first(inside).rlimit(kind, (most, most))
        assert inside.number("return 2.0") == 2


_LEAVES_MUCH = """
import os
import sys
import tempfile
import resource


def rate(clean_logits, logits, y, target):
    open("left", "w").close()
    os.chmod(".", 0)
    for change in (lambda: resource.prlimit(os.getppid(), resource.RLIMIT_FSIZE, (1, 1)), lambda: os.nice(9)):
        try:
            change()
        except OSError:
            pass
    os.fork()
    return 0.5
"""


def test_plain_processes_serve_one_student_each():
    """Checks the next student's right answer and what lies in its folder, after one who leaves all he can in his own."""
    looks = "import os\n\n\ndef interval(successes, n):\n    raise RuntimeError(f'files {os.listdir()}')"
    (right,) = [cell.source for cell in solution("lab4").cells if cell.id == "rate"]
    second = content(answer(answer(exercise("lab4"), "rate", right), "interval", looks))
    with Grader(SMALL, "process") as grader:
        grader.grade(content(answer(exercise("lab4"), "rate", _LEAVES_MUCH)), "lab4", "Eve")
        assert grader._sandbox._process is None
        found = {task.task: task for task in grader.grade(second, "lab4", "Ada").tasks}
    assert found["rate"].points > 0 and found["interval"].trace.endswith("files []")


# A sandbox that fails is no fault of a student's


def test_a_task_that_ends_before_it_is_ready_is_tried_in_a_new_sandbox(monkeypatch):
    """Checks a worker that ends just before "ready", in the first two sandboxes: the third one's task gives the answer."""
    sandbox = Sandbox(SMALL, "process")
    worker = sandbox._library / "advcourse" / "grading" / "run" / "worker.py"
    sound, start, pids = worker.read_text(), sandbox._start, []

    def started():
        ends = sound.replace('    wire.send({"ready": True})', "    os._exit(0)") if len(pids) < 2 else sound
        assert (ends == sound) == (len(pids) == 2)
        worker.write_text(ends)
        start()
        pids.append(sandbox._process.pid)

    monkeypatch.setattr(sandbox, "_start", started)
    assert Inside(sandbox).number("return 2.0") == 2 and len(set(pids)) == 3
    sandbox.close()


def test_the_grader_fails_where_no_task_starts(monkeypatch):
    """Checks a sandbox in which nothing starts: an error of the grader, and no verdict on the student."""
    started = []

    def ends(self):
        started.append(self)
        raise Broken("nothing more")

    monkeypatch.setattr(Sandbox, "_begun", ends)
    monkeypatch.setattr(Sandbox, "_start", lambda self: None)
    with Grader(isolation="process") as grader, pytest.raises(SandboxError, match="no task can be started"):
        grader.grade(content(solution("lab4")), "lab4")
    assert len(started) == sandbox.TRIES > 2


def test_a_sandbox_that_does_not_start_says_why(monkeypatch):
    """Checks the error where its first process ends at once: with what that wrote before it ended."""
    words = [sys.executable, "-c", "import sys; sys.exit('no such library')"]
    monkeypatch.setattr(Sandbox, "_command", lambda self: words)
    with Grader(isolation="process") as grader, pytest.raises(SandboxError) as error:
        grader.grade(content(solution("lab4")), "lab4")
    assert "the sandbox did not start" in str(error.value) and "no such library" in str(error.value)


def test_processes_that_are_left_are_a_sign(monkeypatch):
    """Checks the sign of a right answer beside which a process goes on: it costs nothing, and names the number."""
    notebook = solution("lab4")
    (cell,) = [cell for cell in notebook.cells if cell.source.startswith("def rate(")]
    head, _, body = cell.source.partition("\n")
    start = "import subprocess\n    if not globals().get('left'):\n        globals()['left'] = [1]\n"
    start += "        subprocess.Popen(['/usr/bin/sleep', '100'])"
    cell.source = f"{head}\n    {start}\n{body}"
    with Grader() as grader:
        report = grader.grade(content(notebook), "lab4")
    assert "Task rate: 1 more processes were running at the end, and were ended." in report.signs, (
        report.signs
    )
    assert report.tasks[0].outcome == "right"


def test_folders_of_killed_graders_go(tmp_path, monkeypatch):
    """Checks three folders of the temporary folder: a killed grader's goes, a living one's and a young one stay."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    living = Sandbox(isolation="process")
    dead, young = tmp_path / "advcourse-dead", tmp_path / "advcourse-young"
    (dead / "library").mkdir(parents=True)
    young.mkdir()
    for folder in (dead, Path(living._folder.name)):
        os.utime(folder, (0, 0))
    Sandbox(isolation="process").close()
    assert not dead.exists() and young.exists() and Path(living._folder.name, "library").exists()
    living.close()


def test_a_failed_sandbox_is_no_result(tmp_path, monkeypatch):
    """Checks a class whose grader has no sandbox: nobody has a grade, nothing is kept, and the next run grades."""
    folder = tmp_path / "submissions"
    folder.mkdir()
    (folder / "Ada.ipynb").write_bytes(content(solution("lab4")))

    def fails(*_):
        raise SandboxError("no task can be started in the sandbox")

    def graded(tasks, *_):
        return [(key, attempt(*task)) for key, task in tasks]

    monkeypatch.setattr(classroom, "in_processes", graded)
    how = {"isolation": "process", "progress": False}
    with monkeypatch.context() as patch:
        patch.setattr(Sandbox, "_line", fails)
        outcome = classroom.run(folder, 4, tmp_path / "out", **how)
    assert set(outcome.failed) == {"Ada"} and "SandboxError" in outcome.failed["Ada"].error
    assert not list((tmp_path / "out" / "results").glob("*.json"))
    again = classroom.run(folder, 4, tmp_path / "out", **how)
    assert not again.failed and again.graded == 1 and again.reports[0].points == again.reports[0].possible
    classroom._grader.cache_clear()


def test_an_answer_that_ends_its_process_is_tried_in_a_new_sandbox(monkeypatch):
    """Checks that the second try has nothing to do with the first one's sandbox, and that the verdict is the student's own."""
    ends = answer(
        exercise("lab4"), "rate", "import os\n\n\ndef rate(clean_logits, logits, y, target):\n    os._exit(0)"
    )
    with Grader(replace(SMALL, seconds=20)) as grader:
        used = []
        task = grader._sandbox.task
        monkeypatch.setattr(
            grader._sandbox, "task", lambda: (used.append(grader._sandbox._process), task())[1]
        )
        report = grader.grade(content(ends), "lab4")
    (verdict,) = [found for found in report.tasks if found.task == "rate"]
    assert verdict.key == "died" and len(used) == 2


def test_results_of_another_version_are_not_found_again(monkeypatch):
    """Checks that each file of the grader that runs or judges code counts as its version, the filter and the walls among them."""
    classroom.version.cache_clear()
    before, real = classroom.version("lab4"), Path.read_bytes
    for name in ("sandbox", "worker", "watch", "refusals", "traces", "wire", "asking", "grader", "loading"):

        def changed(path, name=name):
            return real(path) + (b"#" if path.name == f"{name}.py" else b"")

        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_bytes", changed)
            classroom.version.cache_clear()
            assert classroom.version("lab4") != before, name
    classroom.version.cache_clear()
    assert classroom.version("lab4") == before
