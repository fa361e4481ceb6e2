"""The results of a matrix as a short text for a terminal."""

from collections.abc import Sequence

from advcourse import metrics
from advcourse.core.intervals import printed
from advcourse.evaluation import tables
from advcourse.evaluation.record import Record

_HEAD = "Success with its 95 % interval, and the median size of the change; an attack that fails counts as infinite."


def overview(records: Sequence[Record], width: int | None = None) -> str:
    """Return the records as text: a line for each attack, a column for each model (and data set, if there are several).

    Args:
        records: the records; if there are none, the text says so.
        width: width of the terminal in characters, at which columns are wrapped (default None: they are not).
    """
    if not records:
        return "Nothing was measured."
    frame = tables.success(records)
    frame["both"] = [
        f"{printed(metrics.share_with_interval(record.success))} "
        f"{metrics.median_with_failures(record.size, record.success):>6.3g}"
        for record in records
    ]
    frame["size in"] = [_measure(record.threat_model) for record in records]
    columns = ["model", "data"] if frame["data"].nunique() > 1 else ["model"]
    wide = frame.set_index(["attack", "size in", *columns])["both"].unstack(columns, sort=False)
    wide.columns = [", ".join(name) if isinstance(name, tuple) else name for name in wide.columns]
    return f"{_HEAD}\n\n{wide.fillna('failed').reset_index().to_string(index=False, line_width=width)}"


def _measure(threat):
    """Return the norm of an attack's changes, and whether they were judged on photographs."""
    return f"{threat.norm}, physical" if threat.channel == "physical" else threat.norm
