"""The processor that `make test-processor` asks for is the one that torch and its libraries reckon with."""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"),
    reason="the settings are for processors of the x86 family",
)

MAKEFILE = (Path(__file__).parent.parent / "Makefile").read_text(encoding="utf-8")
SETTINGS = dict(re.findall(r"(\w+)=(\w+)", re.search(r"^PROCESSOR := (.*)$", MAKEFILE, re.M)[1]))
# A convolution for oneDNN, a product of matrices for MKL, and what ATen says itself.
PROBE = """
import torch
print("ATen", torch.backends.cpu.get_cpu_capability())
torch.nn.functional.conv2d(torch.rand(4, 8, 14, 14), torch.rand(16, 8, 5, 5))
torch.rand(50, 784) @ torch.rand(784, 10)
"""


def probe(**settings):
    """What the three libraries say of themselves in a process of its own, whose environment has only these `settings`."""
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    environment |= {"ONEDNN_VERBOSE": "1", "MKL_VERBOSE": "1"} | settings
    run = subprocess.run(
        [sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=True
    )
    return {
        "ATen": re.search(r"^ATen (\w+)", run.stdout, re.M)[1],
        "oneDNN": set(re.findall(r"^onednn_verbose,.*exec,cpu,convolution,jit:(\w+),", run.stdout, re.M)),
        "MKL": set(re.findall(r"^MKL_VERBOSE \w*GEMM.* CNR:(\w+)", run.stdout, re.M)),
    }


def test_the_settings_are_obeyed():
    """What each library reports while it works, in its own words."""
    assert SETTINGS.keys() == {"ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_CBWR"}
    found = probe(**SETTINGS)
    assert found["ATen"] == SETTINGS["ATEN_CPU_CAPABILITY"].upper()
    assert found["oneDNN"] == {SETTINGS["ONEDNN_MAX_CPU_ISA"].lower()}
    assert found["MKL"] == {SETTINGS["MKL_CBWR"]}


def test_they_change_the_processor():
    """Without them MKL chooses for itself, wherever this runs: a setting that is there anyway would test nothing."""
    assert probe()["MKL"] == {"OFF"}


def test_this_run_has_what_its_environment_asks_for():
    """A process of its own that is given the same: no test, and no plugin, has changed what the others run on."""
    import torch

    asked = {name: os.environ[name] for name in SETTINGS if name in os.environ}
    assert torch.backends.cpu.get_cpu_capability() == probe(**asked)["ATen"]
