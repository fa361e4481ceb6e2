"""The doctor: with an installation that is whole, and with one thing wrong at a time."""

import importlib.metadata
import os
import sys

import pytest
from packaging.requirements import Requirement

from advcourse import data, models
from advcourse.core.inputs import InputError
from advcourse.course import doctor


def findings_of(name):
    """The findings of one examination."""
    found = doctor._EXAMINATIONS[name][0]()
    return [found] if isinstance(found, doctor.Diagnosis) else list(found)


def test_the_installation_is_found_whole():
    """Checks the doctor on the environment of the tests, in which the course runs: nothing that stops it."""
    findings = doctor.examine()
    assert [finding for finding in findings if finding.stops_the_course] == []
    assert doctor.report(findings).endswith("The course can run.")
    names = {finding.name for finding in findings}
    expected = (
        "Python",
        "torch",
        "memory",
        "disk",
        "kernel",
        "data mnist-5k test",
        "data signs train",
        "chapters",
        "GPU",
    )
    assert {*expected} <= names
    assert {f"model {name}" for name in models.names()} <= names


def test_versions_are_those_installed():
    """Checks the reported version of each package against the installed one's metadata."""
    for finding in findings_of("packages"):
        assert finding.found.startswith(importlib.metadata.version(finding.name))


@pytest.mark.parametrize("line", ["no-such-package-anywhere>=1", "torch>=999"])
def test_a_missing_or_old_package_stops_the_course(monkeypatch, line):
    """Checks with a requirement that cannot be met: it is named, with the command that installs it."""
    monkeypatch.setattr(doctor, "_requirements", lambda: [Requirement(line)])
    [finding] = findings_of("packages")
    assert finding.stops_the_course and line in finding.remedy and "pip install" in finding.remedy


def test_damaged_data_and_weights_stop_the_course(monkeypatch):
    """Checks with loaders of which some refuse: each thing damaged is named with its reason, and nothing else is."""
    load_data, load_model = data.load, models.load

    def damaged(name, split):
        return damage(name) if (name, split) == ("signs", "test") else load_data(name, split)

    def damage(name):
        raise InputError(f"{name} is damaged")

    monkeypatch.setattr(data, "load", damaged)
    monkeypatch.setattr(
        models, "load", lambda name: damage(name) if name == "mnist-mlp" else load_model(name)
    )
    findings = doctor.examine()
    stopped = {finding.name: finding.found for finding in findings if finding.stops_the_course}
    assert stopped == {"data signs test": "signs is damaged", "model mnist-mlp": "mnist-mlp is damaged"}
    assert doctor.report(findings).endswith("The course cannot run: data signs test, model mnist-mlp.")


def test_an_examination_that_crashes_is_a_finding(monkeypatch):
    """Checks with an import that fails: the doctor tells of it and goes on to the examinations after it."""

    def broken():
        raise ImportError("no module named data")

    monkeypatch.setitem(doctor._EXAMINATIONS, "data", (broken, "install it again"))
    findings = doctor.examine()
    [finding] = [finding for finding in findings if finding.stops_the_course]
    assert finding == doctor.Diagnosis("data", False, "ImportError: no module named data", "install it again")
    assert findings[-1].name == "tools for authors"


def test_no_browser_and_no_gpu_stop_nothing(monkeypatch):
    """Checks that what only some need is reported as optional, with the way to get it."""
    monkeypatch.setattr(doctor, "chromium", lambda: None)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    for name in ("GPU", "browser tests"):
        [finding] = findings_of(name)
        assert not finding.there and not finding.stops_the_course and finding.remedy


@pytest.mark.skipif(os.name == "nt", reason="POSIX programs")
def test_bubblewrap_is_optional_and_for_linux_alone(monkeypatch, tmp_path):
    """Checks with programs of that name that work and that fail, with none, and on a system that cannot have it."""
    program = tmp_path / "bwrap"
    program.touch(0o755)
    monkeypatch.setattr(doctor.sys, "platform", "linux")
    monkeypatch.setattr(doctor.shutil, "which", lambda name: str(tmp_path / name))
    for does, found in (
        ("exit 0", str(program)),
        ("echo 'bwrap: no namespace' >&2; exit 1", "bwrap: no namespace"),
    ):
        program.write_text(f"#!/bin/sh\n{does}\n")
        [finding] = findings_of("bubblewrap")
        assert finding.there == (does == "exit 0") and finding.found == found
        assert finding.optional and "must let it make namespaces" in finding.remedy
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    [finding] = findings_of("bubblewrap")
    assert not finding.there and not finding.stops_the_course
    assert "apt-get install bubblewrap" in finding.remedy
    monkeypatch.setattr(doctor.sys, "platform", "darwin")
    assert findings_of("bubblewrap") == []


def test_little_memory_is_a_warning_and_none_is_not(monkeypatch):
    """Checks the limits with machines of known memory: 8 GiB is enough, 3 GiB gets advice, 1 GiB stops the course."""
    for size, there, stops in ((8, True, False), (3, False, False), (1, False, True)):
        memory = type("Memory", (), {"total": size * doctor.GIB, "available": size * doctor.GIB})
        monkeypatch.setattr("psutil.virtual_memory", lambda memory=memory: memory)
        [finding] = findings_of("memory")
        assert (finding.there, finding.stops_the_course) == (there, stops)


def test_a_kernel_of_another_interpreter_is_seen(monkeypatch):
    """Checks with a kernel spec that starts another Python: the chapters would run without the library."""
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

    for argv, there in ((["/another/bin/python", "-m"], False), (["python"], True), ([sys.executable], True)):
        monkeypatch.setattr(
            KernelSpecManager, "get_kernel_spec", lambda self, name, argv=argv: KernelSpec(argv=argv)
        )
        [finding] = findings_of("kernel")
        assert finding.there == there
