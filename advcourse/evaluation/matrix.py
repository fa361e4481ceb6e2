"""The matrix: attacks x models x data, each cell computed once, kept, and found again."""

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
    """A cell that could not be measured: its names, the error in one line, and where it was raised."""

    names: Names
    error: str
    trace: str = ""


@dataclass(frozen=True)
class Outcome:
    """The records of a matrix, in the order of its cells; the cells that failed; and how many were computed just now."""

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
    """Measure all `cells`, and keep each in `folder`. What is there already, from the same code and settings, is found again.

    Args:
        cells: a list of `Cell`.
        folder: of the finished cells; made with the first of them where it is missing.
        workers: 1 (default) computes in this process, more in so many processes of their own.
        scheduler: the address of a dask scheduler whose workers compute instead.
        progress: show a bar with the time left.

    The records are the same whoever computes them, bit for bit on one kind of processor, but for seconds and memory. A cell that
    fails is told in `Outcome.failures`, stops no other, and is tried again by the next run. Killed at any moment, a run loses the
    cells that were under way, and the next goes on from the finished ones. A cell that cannot be told from others, see
    `advcourse.core.identity`, is measured each time and not kept.

    Raises:
        InputError: no cells, two cells of one name, a folder that cannot be written to, no scheduler at the address.
        WriteError: a cell that cannot be written, on a full disk for example; those before it are kept.
    """
    cells = list(cells)
    check_range(workers, "workers", 1, integer=True)
    _check(cells)
    store, known, results, tasks, places = Store(folder), {}, {}, {}, {}
    for cell in cells:
        try:
            wanted = determinants(cell, known)
        except Exception as error:  # a model that cannot be loaded is a failure of its own cells
            results[cell.names] = _told(cell, working.failure(error))
            continue
        place = places[cell.names] = key(wanted)
        found = store.get(place, cell.names)
        if found:
            results[cell.names] = found
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
            computed[place] = result = _told(tasks[place][0], result)
            bar.advance(place, result)
    for cell in cells:
        if cell.names not in results:
            results[cell.names] = replace(deepcopy(computed[places[cell.names]]), names=cell.names)
    in_order = [results[cell.names] for cell in cells]
    records = [result for result in in_order if isinstance(result, Record)]
    return Outcome(records, [one for one in in_order if isinstance(one, FailedCell)], len(computed))


def _check(cells):
    if not cells:
        raise InputError("cells: got none; allowed is at least one")
    known = set()
    for names in (cell.names for cell in cells):
        if names in known:
            raise InputError(
                f"cells: got two called {names.full_attack!r} on {names.model!r} and {names.data!r}; "
                f"allowed is one cell of a name"
            )
        known.add(names)


def _told(cell, result):
    """The result of a cell, a failure with the cell's names."""
    return (
        FailedCell(cell.names, result.error, result.trace) if isinstance(result, working.Failure) else result
    )


class _Progress:
    """A bar over the cells, with about how long the rest takes: by what each attack took on other models, else by their mean."""

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
        """One more is done."""
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
