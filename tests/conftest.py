"""What all tests share: small notebooks, a GPU for the tests that want one, and which worker runs what."""

import os
import random
import re
import sys
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest
from amounts import LONG
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

# Files whose tests ask what a program does. All others compare numbers, which processors round in different ways: their tests
# are `numerical`, and `make test-processor` runs them.
PROGRAMS = re.compile(
    r"test_(apps|cli|coverage|doctor|environment|evaluation_(matrix|mistakes|page|report|settings)|glossary|grading|identity|lab|layers"
    r"|files|notebooks|pocket_phone|power|practice|project|typing|workers)"
)

# From where the generators that a test has not seeded itself begin; with another number the tests must hold as well.
SEED = int(os.environ.get("ADVCOURSE_TEST_SEED", "0"))

# `make test` draws the same cases each time, and `make test-long` others.
settings.register_profile("sample", derandomize=True)
if not LONG:
    settings.load_profile("sample")

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
    from inside import SMALL, bare, opened

    if why_no_bubblewrap():
        pytest.skip(f"bubblewrap cannot be used here: {why_no_bubblewrap()}")
    yield from opened(bare(SMALL, "bubblewrap"))


@pytest.fixture(scope="module")
def plain():
    """Lines that run inside a plain process with limits: an `Inside`."""
    from inside import SMALL, bare, opened

    yield from opened(bare(SMALL, "process"))


@pytest.fixture(scope="module", params=["walled", "plain"])
def inside(request):
    """An `Inside` of either kind."""
    return request.getfixturevalue(request.param)


def is_numerical(path):
    """True for a file of tests that compare numbers."""
    return path.parent == Path(__file__).parent and not PROGRAMS.match(path.name)


# First, so that `-m numerical` finds the marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Put the chapters last, and mark numerical tests.

    Tests of a GPU are not among these: they compare it with the CPU beside it, whose rounding is then the same on both sides.
    """
    items.sort(key=lambda item: item.path.parent.name == "chapters")
    for item in items:
        if is_numerical(item.path) and not item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.numerical)


# First, so that fixtures draw after it.
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """Seed all global generators: which tests a worker ran before, and in what order, changes nothing."""
    random.seed(SEED)
    for name, seeding in (
        ("numpy", lambda numpy: numpy.random.seed(SEED)),
        ("torch", lambda torch: torch.manual_seed(SEED)),
    ):
        if name in sys.modules:
            seeding(sys.modules[name])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Run a GPU test on a pretended one where there is none."""
    if item.get_closest_marker("gpu") is None or cuda_available():
        return (yield)
    from pretended_gpu import pretended_gpu

    with pretended_gpu():
        return (yield)


class ByFileAndChapter(LoadFileScheduling):
    """Keeps a file's tests, and what they share, on one worker, but hands out the chapters' tests chapter by chapter.

    They are handed out in the order in which they were collected, so that the chapters, which take less than a minute each,
    come last, and no worker ends long after the others.
    """

    def _split_scope(self, nodeid):
        file = super()._split_scope(nodeid)
        return nodeid[nodeid.index("[") :] if file.endswith("test_chapters.py") and "[" in nodeid else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Used with `-n 2 --dist loadfile`."""
    if config.getvalue("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return ByFileAndChapter(config, log)


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


@pytest.fixture
def at_most():
    """`with at_most(1000)`: no file can grow beyond so many bytes, as on a disk that is full."""
    import resource

    @contextmanager
    def limited(size):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


@pytest.fixture
def one_thread():
    """As where power is counted and verdicts are stored."""
    from threads import single_threaded

    with single_threaded():
        yield
