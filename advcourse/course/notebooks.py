"""Finding, running and refreshing the chapters."""

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import psutil

from advcourse.core.errors import InputError
from advcourse.core.files import replacing
from advcourse.course import guesses

if TYPE_CHECKING:
    from pandas import DataFrame

FIRST = "00_start_here"
PROFILES = ("fast", "full")
KERNEL = "python3"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": KERNEL},
    "language_info": {"name": "python"},
}
# Kernel logs would disturb the progress bar in the terminal; errors in cells are recorded in the notebook anyway.
QUIET = ["--IPKernelApp.log_level=50"]
WIDGET = "application/vnd.jupyter.widget-view+json"


@dataclass(frozen=True)
class ChapterRun:
    """Time and memory of one run of a chapter.

    `seconds` is wall-clock time; `memory` is the peak, in MiB, of the kernel and its child processes; `error` is None or one
    line.
    """

    chapter: str
    seconds: float
    memory: float
    error: str | None


def checkout(start: Path | str = ".") -> Path:
    """Return the folder at or above `start` that contains `chapters/`, else the one that the package is installed from.

    Raises:
        InputError: there is neither, because the chapters are not part of the installed package.
    """
    start = Path(start).resolve()
    for folder in [start, *start.parents, Path(__file__).resolve().parents[2]]:
        if (folder / "chapters" / f"{FIRST}.ipynb").is_file():
            return folder
    raise InputError(
        f"the chapters were not found: neither {start} nor a folder above it contains chapters/{FIRST}.ipynb; "
        f"go to a clone of the project and try again"
    )


def chapters(folder: Path | str) -> list[Path]:
    """Return the chapters of the checkout `folder`, in order."""
    return sorted((Path(folder) / "chapters").glob("[0-9][0-9]_*.ipynb"))


def select(names: Iterable[Path | str], folder: Path | str) -> list[Path]:
    """Return the chapters in `names`, given by number ("2", "02") or name ("02_one_step", "one_step"); all if it is empty.

    Raises:
        InputError: no chapter has such a name.
    """
    paths = chapters(folder)
    by_name = {path.stem: path for path in paths} | {path.stem[3:]: path for path in paths}
    by_name |= {path.stem[:2]: path for path in paths}
    chosen = []
    for name in names:
        key = Path(name).name.removesuffix(".ipynb")
        key = key.zfill(2) if key.isdecimal() else key
        if key not in by_name:
            raise InputError(f"chapter: got {name!r}; allowed are {', '.join(path.stem for path in paths)}")
        chosen.append(by_name[key])
    return sorted(set(chosen)) if chosen else paths


class _PeakMemory:
    """Inside the block, a thread measures the memory of processes started there; `mib` is the maximum seen, in MiB."""

    def __init__(self, interval=0.1):
        self.mib, self._interval, self._done = 0.0, interval, threading.Event()

    def __enter__(self):
        before = {child.pid for child in psutil.Process().children(recursive=True)}
        self._thread = threading.Thread(target=self._watch, args=(before,), daemon=True)
        self._thread.start()
        return self

    def _watch(self, before):
        while not self._done.wait(self._interval):
            total = 0
            for child in psutil.Process().children(recursive=True):
                try:
                    total += child.memory_info().rss if child.pid not in before else 0
                except psutil.NoSuchProcess:
                    continue
            self.mib = max(self.mib, total / 2**20)

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()


def run(
    chapter: Path | str,
    out: Path | str,
    profile: str = "fast",
    device: str = "auto",
    seed: int = 0,
    timeout: int | None = None,
    progress: bool = True,
) -> ChapterRun:
    """Run the notebook `chapter` with papermill, write the executed notebook into the folder `out`, and return a `ChapterRun`.

    `timeout` is the limit for one cell in seconds (default: none). A chapter that fails is written too, with its error. An
    interrupted one leaves nothing behind.
    """
    import papermill  # slow to import, and needed only here

    chapter, out = Path(chapter).resolve(), Path(out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".running-", dir=out))
    error, began = None, time.perf_counter()
    try:
        with _PeakMemory() as peak, guesses.nobodys():
            try:
                papermill.execute_notebook(
                    chapter,
                    scratch / chapter.name,
                    {"profile": profile, "device": device, "seed": seed},
                    kernel_name=KERNEL,
                    language="python",
                    cwd=chapter.parent,
                    execution_timeout=timeout,
                    extra_arguments=QUIET,
                    progress_bar={"desc": chapter.stem} if progress else False,
                )
            except papermill.PapermillExecutionError as failure:
                error = f"{failure.ename}: {failure.evalue}".splitlines()[0]
            except (RuntimeError, TimeoutError) as failure:  # the kernel died, or a cell took too long
                error = f"{type(failure).__name__}: {failure}".splitlines()[0]
        seconds = time.perf_counter() - began
        if (scratch / chapter.name).exists():
            os.replace(scratch / chapter.name, out / chapter.name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return ChapterRun(chapter.stem, seconds, peak.mib, error)


def run_all(
    paths: Iterable[Path | str],
    out: Path | str,
    profile: str = "fast",
    device: str = "auto",
    seed: int = 0,
    progress: bool = True,
) -> list[ChapterRun]:
    """Run the chapters one after the other, even if some fail, and write the table of their time and memory.

    Raises:
        InputError: the profile, device or seed is not allowed; raised before anything is run.
    """
    from advcourse.core.inputs import check_choice, check_range, resolve_device

    check_choice(profile, "profile", PROFILES)
    check_range(seed, "seed", 0, 2**32 - 1, integer=True)
    resolve_device(device)
    reports = []
    for path in paths:
        reports.append(run(path, out, profile, device, seed, progress=progress))
        write_table(reports, out)
    return reports


def table(reports: Iterable[ChapterRun]) -> "DataFrame":
    """Return the reports as a pandas table: chapter, seconds, memory in MiB, result."""
    import pandas

    rows = [(r.chapter, round(r.seconds, 1), round(r.memory), r.error or "ran") for r in reports]
    return pandas.DataFrame(rows, columns=["chapter", "seconds", "memory (MiB)", "result"])


def write_table(reports: Iterable[ChapterRun], out: Path | str) -> None:
    """Write the table of `reports` into the folder `out`, as chapters.csv and chapters.md."""
    frame = table(reports)
    with replacing(Path(out) / "chapters.csv") as partial:
        frame.to_csv(partial, index=False)
    rows = [frame.columns, ["---"] * len(frame.columns), *frame.itertuples(index=False)]
    lines = [f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |\n" for row in rows]
    with replacing(Path(out) / "chapters.md") as partial:
        partial.write_text("".join(lines), encoding="utf-8")


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Remove from `notebook`, in place, whatever differs between runs or machines, and return it.

    That is timings, versions, editors' metadata, and widgets, which are useless without a kernel; of those that have a form
    without a widget, that remains. What a cell prints is one output, however many pieces the kernel sent it in.
    """
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        kept = {key: cell.metadata[key] for key in ("tags", "jupyter", "slideshow") if key in cell.metadata}
        cell.metadata = nbformat.from_dict(kept)
        if cell.cell_type == "code":
            cell.outputs = _joined(output for output in cell.outputs if not _only_a_widget(output))
        for output in cell.get("outputs", []):
            output.get("metadata", {}).pop("execution", None)
            output.get("data", {}).pop(WIDGET, None)
    return notebook


def _joined(outputs):
    """Return outputs as a list, with pieces of one stream that follow each other joined."""
    whole = []
    for output in outputs:
        if (
            whole
            and output.output_type == "stream" == whole[-1].output_type
            and output.name == whole[-1].name
        ):
            whole[-1].text += output.text
        else:
            whole.append(output)
    return whole


def _only_a_widget(output):
    data = output.get("data", {})
    return WIDGET in data and "text/html" not in data


def refresh(chapter: Path | str, timeout: int | None = None) -> None:
    """Run the notebook `chapter` and save it in place with its new outputs, cleaned. Cell ids do not change.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails; the file is then unchanged.
    """
    from nbclient import NotebookClient

    chapter = Path(chapter)
    notebook = nbformat.read(chapter, as_version=4)
    resources = {"metadata": {"path": str(chapter.resolve().parent)}}
    with guesses.nobodys():
        NotebookClient(
            notebook,
            timeout=timeout,
            kernel_name=KERNEL,
            extra_arguments=QUIET,
            resources=resources,
            record_timing=False,
            store_widget_state=False,
        ).execute()
    with replacing(chapter) as partial:
        nbformat.write(clean(notebook), partial)


def refresh_results(chapter: Path | str) -> None:
    """Measure the results on all held-out images that `chapter` quotes, where they are out of date: see `course.results`.

    A chapter without such results is left alone.
    """
    from tqdm import tqdm

    from advcourse.course import results

    number = Path(chapter).stem[:2]
    if number in results.chapters():
        results.refresh(number, tell=tqdm.write)
