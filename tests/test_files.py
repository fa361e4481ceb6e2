"""Files that are written whole, and folders that several processes and machines write to."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from advcourse.core import files

WRITER = """
import sys, time
{before}
from advcourse.core.files import replacing
with replacing(sys.argv[1]) as partial:
    partial.write_text("half")
    print("ready", flush=True)
    time.sleep(600)
"""
ELSEWHERE = (
    "import platform; platform.node = lambda: 'another'"  # a machine is known by its name, among others
)
RENUMBERED = "import os; os.getpid = lambda: 4194303"  # a number that no process has here


def writer(path, before=""):
    """A process in the middle of writing `path`."""
    command = [sys.executable, "-c", WRITER.format(before=before), str(path)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert running.stdout.readline() == "ready\n"
    return running


def end(process):
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("name", ["plain.json", "é" * 120 + ".html", "no ending"])
def test_a_file_appears_whole(tmp_path, name):
    """Checks the folder during and after writing, also for a name as long as file systems allow, and after an error."""
    path = tmp_path / name
    with files.replacing(path) as partial:
        partial.write_text("new")
        assert not path.exists() and partial.suffix == path.suffix
    assert path.read_text() == "new"
    with pytest.raises(ZeroDivisionError), files.replacing(path) as partial:
        partial.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_permissions_and_the_first_of_two(tmp_path):
    """Checks the mode bits, and that with `keep` the file that another process made in the meantime stays."""
    path = tmp_path / "secret"
    with files.replacing(path, mode=0o600, keep=True) as late:
        late.write_text("late")
        with files.replacing(path, mode=0o600, keep=True) as early:
            early.write_text("early")
    assert path.read_text() == "early" and path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(files.fcntl is None, reason="POSIX locks")
@pytest.mark.parametrize("before", ["", RENUMBERED, ELSEWHERE], ids=["here", "no such number", "elsewhere"])
def test_an_unfinished_file_stays_as_long_as_somebody_writes_it(tmp_path, before):
    """Checks a living writer, whose number nobody has here as if it ran on another machine, or in another container."""
    running = writer(tmp_path / "a.json", before)
    try:
        files.sweep(tmp_path)
        assert [path.read_text() for path in tmp_path.iterdir()] == ["half"]
    finally:
        end(running)


@pytest.mark.skipif(files.fcntl is None, reason="POSIX locks")
def test_what_the_dead_left_is_swept_away(tmp_path):
    """Checks a killed writer of this machine, and one of another: whose file goes a week later, by the clock of the folder."""
    kept = tmp_path / "a.json"
    kept.write_text("kept")
    end(writer(kept))
    end(writer(tmp_path / "b.json", ELSEWHERE))
    assert len(list(tmp_path.iterdir())) == 3
    files.sweep(tmp_path)
    (other,) = set(tmp_path.iterdir()) - {kept}
    now = other.stat().st_mtime
    for days, there in ((-400, True), (6, True), (8, False)):
        os.utime(other, (now - days * 86400,) * 2)
        files.sweep(tmp_path)
        assert other.exists() == there
    assert list(tmp_path.iterdir()) == [kept] and kept.read_text() == "kept"


@pytest.mark.skipif(files.fcntl is None, reason="POSIX locks")
def test_one_process_at_a_time_is_alone_in_a_folder(tmp_path):
    """Checks with this process's number, written out: another thread is refused, another folder is free; a lock that a killed
    process held is gone with it."""
    (tmp_path / "b").mkdir()
    refused = []

    def other():
        try:
            with files.alone(tmp_path):
                refused.append("not")
        except files.Taken as error:
            refused.append(error.strerror)

    with files.alone(tmp_path), files.alone(tmp_path / "b"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert refused[0].startswith(f"process {os.getpid()} on ")
    code = "import sys, os; from advcourse.core.files import alone\nwith alone(sys.argv[1]): os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == -signal.SIGKILL
    other()
    assert refused[1] == "not" and [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.skipif(files.fcntl is None, reason="POSIX locks")
def test_a_file_system_without_locks_and_links_will_do(tmp_path, monkeypatch):
    """Checks system calls that are not supported: files are written, the first of two stays, and nothing unlocked is removed."""

    def unsupported(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", unsupported)
    monkeypatch.setattr(files.os, "link", unsupported)
    path = tmp_path / "a"
    with files.alone(tmp_path), files.replacing(path, keep=True) as partial:
        partial.write_text("first")
        files.sweep(tmp_path)
    with files.replacing(path, keep=True) as partial:
        partial.write_text("second")
    assert path.read_text() == "first"


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="POSIX limits")
def test_an_error_names_the_file_and_what_to_do(tmp_path, at_most):
    """Checks the system's own limit for files, which stops a writer in the middle; a folder in the place of the file; and a
    folder that is not there: the sentences, written out by hand, and that the old file stays."""
    path = tmp_path / "a.csv"
    path.write_text("old")
    with at_most(1000), pytest.raises(files.WriteError) as told, files.replacing(path) as partial:
        partial.write_text("x" * 5000)
    assert str(told.value) == (
        f"{path} cannot be written (File too large). Free some space, and try again. Nothing that was there is lost"
    )
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    for place, reason in (
        (tmp_path / "no" / "a", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (path / "b", "Not a directory"),
    ):
        with pytest.raises(files.WriteError, match="Make sure that it can be written to") as told:
            with files.replacing(place) as partial:
                Path(partial).touch()
        assert str(told.value).startswith(f"{place} cannot be written ({reason}).")


def test_an_error_of_something_else_stays_as_it_is(tmp_path):
    """Checks an error about another file, which must not be told of the one that is being written."""
    with pytest.raises(FileNotFoundError, match="other"), files.replacing(tmp_path / "a") as _:
        (tmp_path / "other").read_text()
