"""Evaluation: measure attacks x models x data once, keep the results, compare and report them.

>>> cells = [Cell(name, attack(), ModelSource("mnist-cnn")) for name, attack in attacks.TABLE_1.items()]
>>> outcome = run(cells, "build/evaluation")  # records, and the cells that failed
"""

from advcourse.evaluation.audit import Audit, Finding, audit
from advcourse.evaluation.cells import Cell, Conditions, DataSource, ModelSource, measure
from advcourse.evaluation.comparison import compare
from advcourse.evaluation.matrix import FailedCell, Outcome, run
from advcourse.evaluation.record import Names, Record
from advcourse.evaluation.standard import Stage, Standard, standard
from advcourse.evaluation.store import Store

__all__ = [
    "Audit",
    "Cell",
    "Conditions",
    "DataSource",
    "FailedCell",
    "Finding",
    "ModelSource",
    "Names",
    "Outcome",
    "Record",
    "Stage",
    "Standard",
    "Store",
    "audit",
    "compare",
    "measure",
    "run",
    "standard",
]
