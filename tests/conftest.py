"""What all tests share: the checkout's folder, small notebooks, GPU tests skipped with a reason, and who runs where."""

from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent


def cuda_available():
    """Imports torch only in runs that have GPU tests."""
    import torch

    return torch.cuda.is_available()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Keep a file's tests on one worker, as notebooks need (`--dist loadgroup`); a test may name another group."""
    gpu = [item for item in items if item.get_closest_marker("gpu")]
    if gpu and not cuda_available():
        for item in gpu:
            item.add_marker(pytest.mark.skip(reason="no CUDA device on this machine"))
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.split("::")[0].replace("/", ".")))


@pytest.fixture(scope="session")
def root():
    """The folder of the checkout."""
    return ROOT


@pytest.fixture
def write_chapter():
    """`write_chapter(folder, name, *sources)`: a notebook with a parameters cell and these code cells; returns its path."""

    def write(folder, name, *sources):
        parameters = nbformat.v4.new_code_cell(
            'profile = "fast"\ndevice = "auto"\nseed = 0', metadata={"tags": ["parameters"]}
        )
        cells = [nbformat.v4.new_markdown_cell(f"# {name}"), parameters]
        cells += [nbformat.v4.new_code_cell(source) for source in sources]
        path = Path(folder) / "chapters" / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
        return path

    return write
