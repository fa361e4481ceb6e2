"""The report of a matrix: a page that a browser opens from disk, and the numbers as CSV and JSON."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd

from advcourse.core.files import make_folder, replacing
from advcourse.core.inputs import InputError
from advcourse.evaluation import tables
from advcourse.evaluation.matrix import Outcome
from advcourse.evaluation.sections import page

FORMAT = "advcourse results 1"
_HEAD = ("model", "data", "attack", "threat model")


def write(outcome: Outcome, folder: Path | str, title: str = "Attacks, measured") -> Path:
    """Write report.html, results.csv and results.json into a folder. Each file appears completely or not at all.

    report.html is a single file that needs no network and no scripts. results.csv has a row for each cell, with the columns of
    `tables.everything`. results.json has the same numbers, the determinants of each cell, and the cells that failed. It is
    strict JSON, in which null means "not a number", such as a mean over no successes, and the texts "inf" and "-inf" mean
    infinity.

    Args:
        outcome: an `Outcome` of `run`.
        folder: where to write; created if it does not exist.
        title: title of the page (default "Attacks, measured").

    Returns:
        the path of report.html.

    Raises:
        InputError: the title is empty or not text, or the folder can't be written to.
    """
    if not isinstance(title, str) or not title.strip():
        raise InputError(f"title: got {title!r}; allowed is text")
    folder = make_folder(folder)
    try:
        for name, text in _files(outcome, title).items():
            with replacing(folder / name) as partial:
                partial.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise InputError(f"folder: got {str(folder)!r}; allowed is a folder to write to ({error})") from error
    return folder / "report.html"


def _files(outcome, title):
    rows = tables.rows_of_everything(outcome.records)
    frame = tables.frame(rows) if rows else pd.DataFrame(columns=_HEAD)
    return {
        "results.csv": frame.to_csv(index=False),
        "results.json": _json(outcome, frame.to_dict("records"), title),
        "report.html": page(outcome, rows, title),
    }


def _json(outcome, rows, title):
    content = {"format": FORMAT, "notation": 'null: not a number; "inf", "-inf": infinity', "title": title}
    content["cells"] = [
        {"attack": record.names.attack, "variant": record.names.variant}
        | {"model": record.names.model, "data": record.names.data, "kind": record.kind}
        | {"picked images": record.picked, "clean accuracy": record.clean_accuracy}
        | {"settings": record.attack, "measured": row, "identity": record.identity}
        for record, row in zip(outcome.records, rows, strict=True)
    ]
    content["failures"] = [
        {"attack": failure.names.attack, "variant": failure.names.variant}
        | {"model": failure.names.model, "data": failure.names.data}
        | {"error": failure.error, "trace": failure.trace}
        for failure in outcome.failures
    ]
    return json.dumps(_plain(content), allow_nan=False, ensure_ascii=False, indent=1) + "\n"


def _plain(value):
    """Return the value with everything that JSON lacks replaced."""
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value
