"""The matrix: attacks x models x data, in which each cell is computed once, kept on disk, and read from there later."""

import time
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm.auto import tqdm

from advcourse.core import workers as working
from advcourse.core.identity import is_fresh
from advcourse.core.inputs import InputError, check_range
from advcourse.evaluation.cells import Cell, determinants, key, measure
from advcourse.evaluation.record import Names, Record
from advcourse.evaluation.store import Store


@dataclass(frozen=True)
class FailedCell:
    """A cell that could not be measured: its names, the error in one line, and the traceback."""

    names: Names
    error: str
    trace: str = ""


@dataclass(frozen=True)
class Outcome:
    """The result of a matrix.

    Attributes:
        records: the measured cells, in the order of the cells.
        failures: the cells that failed.
        computed: number of cells that were computed in this run.
    """

    records: list[Record]
    failures: list[FailedCell]
    computed: int


def run(
    cells: Iterable[Cell],
    folder: Path | str,
    workers: int = 1,
    scheduler: str | None = None,
    progress: bool = True,
) -> Outcome:
    """Measure all cells and keep the results in a folder. Results that the same code and settings left there are reused.

    The records are the same wherever they are computed, bit for bit on processors of the same kind, except for seconds and
    memory. A cell that fails appears in `Outcome.failures`, does not stop the others, and is tried again by the next run. If a
    run is killed, only the cells in progress are lost, and the next run continues with the others. A cell that can't be told
    apart from others, see `advcourse.core.identity`, is measured each time and not kept.

    Args:
        cells: the cells, each with a different name.
        folder: folder for the results; created with the first of them if it does not exist.
        workers: 1 (default) computes in this process; a larger number starts that many processes.
        scheduler: address of a dask scheduler whose workers compute instead (default None).
        progress: show a bar with the time left (default True).

    Returns:
        an `Outcome`.

    Raises:
        InputError: there are no cells, two cells have the same name, the folder can't be written to, or there is no scheduler
            at the address.
        WriteError: a result can't be written, for example because the disk is full; the results before it are kept.
    """
    cells = list(cells)
    check_range(workers, "workers", 1, integer=True)
    _check(cells)
    store, known, results, tasks, places = Store(folder), {}, {}, {}, {}
    for cell in cells:
        try:
            wanted = determinants(cell, known)
        except Exception as error:  # if a model can't be loaded, only its own cells fail
            results[cell.names] = _named(cell, working.failure(error))
            continue
        place = places[cell.names] = key(wanted)
        stored = store.get(place, cell.names)
        if stored:
            results[cell.names] = stored
        else:
            tasks.setdefault(place, (cell, wanted))
    if tasks and scheduler:
        working.check_scheduler(scheduler)
    computed = {}
    with _Progress(tasks, results.values(), progress) as bar:
        pending = ((place, (measure, task)) for place, task in tasks.items())
        for place, result in working.work(pending, workers, scheduler) if tasks else ():
            if isinstance(result, Record) and not is_fresh(place):
                store.put(place, result)
            computed[place] = result = _named(tasks[place][0], result)
            bar.advance(place, result)
    for cell in cells:
        if cell.names not in results:
            results[cell.names] = replace(deepcopy(computed[places[cell.names]]), names=cell.names)
    in_order = [results[cell.names] for cell in cells]
    records = [result for result in in_order if isinstance(result, Record)]
    return Outcome(records, [result for result in in_order if isinstance(result, FailedCell)], len(computed))


def _check(cells):
    if not cells:
        raise InputError("cells: got none; allowed is at least one")
    known = set()
    for names in (cell.names for cell in cells):
        if names in known:
            raise InputError(
                f"cells: got two called {names.full_attack!r} on {names.model!r} and {names.data!r}; "
                f"allowed is each name once"
            )
        known.add(names)


def _named(cell, result):
    """Return the result of a cell; a failure gets the cell's names."""
    return (
        FailedCell(cell.names, result.error, result.trace) if isinstance(result, working.Failure) else result
    )


class _Progress:
    """A bar over the cells, with an estimate of the time left.

    It assumes that an attack takes as long as it took on other models, or else as long as the mean of all attacks.
    """

    def __init__(self, tasks, results, shown):
        self.left = {place: cell for place, (cell, _) in tasks.items()}
        self.took, self.worked, self.began = {}, 0.0, time.monotonic()
        for result in results:
            self._learn(result)
        results = len(results)
        self.bar = tqdm(
            initial=results,
            total=results + len(tasks),
            unit="cell",
            desc="measuring",
            disable=not shown,
            bar_format="{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} cells, {elapsed} taken{postfix}",
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.bar.close()

    def advance(self, place, result):
        """Count one more result, and update the bar."""
        del self.left[place]
        self.worked += self._learn(result)
        if self.worked and self.left:
            mean = sum(self.took.values()) / len(self.took)
            rest = sum(self.took.get(repr(cell.attack), mean) for cell in self.left.values())
            seconds = rest * (time.monotonic() - self.began) / self.worked
            self.bar.set_postfix_str(f"about {tqdm.format_interval(seconds)} left", refresh=False)
        else:
            self.bar.set_postfix_str("", refresh=False)
        self.bar.update()

    def _learn(self, result):
        if not isinstance(result, Record):
            return 0.0
        seconds = result.efficiency.seconds * len(result)
        self.took[result.attack] = seconds
        return seconds
