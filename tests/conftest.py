"""What all tests share: small notebooks, GPU tests skipped with a reason, and which worker runs what."""

from pathlib import Path

import nbformat
import pytest
from xdist.scheduler import LoadFileScheduling

pytest.register_assert_rewrite("lab_tests", "inside")  # so that its failures show both sides, too


def cuda_available():
    """Imports torch only in runs that have GPU tests."""
    import torch

    return torch.cuda.is_available()


@pytest.fixture(scope="session")
def digits():
    """The images (30, 1, 28, 28) and labels (30,) that the tests of input defenses share."""
    from digits import X, Y

    return X, Y


@pytest.fixture(scope="module")
def walled():
    """Lines that run inside bubblewrap: an `Inside`."""
    from grading_tests import why_no_bubblewrap
    from inside import opened

    if why_no_bubblewrap():
        pytest.skip(f"bubblewrap cannot be used here: {why_no_bubblewrap()}")
    yield from opened("bubblewrap")


@pytest.fixture(scope="module")
def plain():
    """Lines that run inside a plain process with limits: an `Inside`."""
    from inside import opened

    yield from opened("process")


@pytest.fixture(scope="module", params=["walled", "plain"])
def inside(request):
    """An `Inside` of either kind."""
    return request.getfixturevalue(request.param)


def pytest_collection_modifyitems(items):
    """Skip GPU tests, with a reason, where there is no GPU."""
    gpu = [item for item in items if item.get_closest_marker("gpu")]
    if gpu and not cuda_available():
        for item in gpu:
            item.add_marker(pytest.mark.skip(reason="no CUDA device on this machine"))


class ByFileAndChapter(LoadFileScheduling):
    """Keeps a file's tests, and what they share, on one worker, but hands out the chapters' tests chapter by chapter."""

    def _split_scope(self, nodeid):
        file = super()._split_scope(nodeid)
        return nodeid[nodeid.index("[") :] if file.endswith("test_chapters.py") and "[" in nodeid else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Used with `-n 2 --dist loadfile`."""
    return ByFileAndChapter(config, log) if config.getvalue("dist") == "loadfile" else None


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
