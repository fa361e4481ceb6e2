"""Comparing attacks, if they can be compared."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd
import torch

from advcourse import metrics
from advcourse.attacks import AttackResult
from advcourse.core.inputs import InputError, check_choice, check_flag, check_range
from advcourse.evaluation.record import Record, as_array
from advcourse.evaluation.tables import NORMS, frame


def compare(
    runs: Mapping[str, AttackResult | Record],
    by: Literal["success", "size"] | None = None,
    at: float | None = None,
    *,
    across_models: bool = False,
) -> pd.DataFrame:
    """Compare attacks on the same images of one model; rank them only if they had the same threat model.

    Args:
        runs: name -> `AttackResult` of `attack.run(...)`, or `Record` of the matrix.
        by: None (default) keeps the given order; "success" puts the highest success rate first; "size" puts the smallest
            median size first, in the attacks' norm.
        at: a budget, in the unit of the sizes: a success counts only if its size is at most this (default None). With it,
            minimum-norm attacks can be compared with budgeted ones of the same norm and exactly this budget. In L0 it applies
            only to sizes, as a number of changed pixels: an L0 budget is a share of all values, and neither can be computed
            from the other if a pixel has several values.
        across_models: True allows runs on different models, which are then compared as well: each row shows how an attack does
            on its own model. The images must still be exactly the same, so use images that all models classify correctly.
            False (default) refuses different models.

    Returns:
        a frame with a row for each attack: threat model; images; success with its 95 % interval (Wilson); median size in the
            attack's own norm, with failures at infinity, and its 95 % interval (bootstrap); common, the number of images on
            which all attacks succeed; and the mean of each distance over those images.

    Raises:
        InputError: there are no runs; images, labels or models differ; the attacks to rank have different threat models (the
            message says how they differ); or `at` is given for several norms, or in another unit than the sizes.
    """
    check_choice(by, "by", (None, "success", "size"))
    across_models = check_flag(across_models, "across_models")
    if runs is None or isinstance(runs, Mapping) and not runs:
        raise InputError("runs: got none; allowed is at least one")
    if not isinstance(runs, Mapping) or not all(
        isinstance(run, AttackResult | Record) for run in runs.values()
    ):
        given = ", ".join(type(run).__name__ for run in runs.values()) if isinstance(runs, Mapping) else ""
        raise InputError(
            f"runs: got a {type(runs).__name__}{given and f' of {given}'}; allowed is a dictionary, name -> what attack.run(...) "
            "returns, or a Record of the matrix"
        )
    runs = {name: _Run(run) for name, run in runs.items()}
    _check_images(runs)
    if not across_models:
        _check_models(runs)
    if by:
        _check_threats(runs, by, at)
    if at is not None:
        _check_budget(runs, at)
    for run in runs.values():
        if at is not None:
            run.success = run.success & (run.size <= at * (1 + 1e-5))
    shared = np.logical_and.reduce([run.success for run in runs.values()])
    table = frame([_row(run, shared) for run in runs.values()], list(runs))
    if by == "success":
        return table.sort_values("success", ascending=False, kind="stable")
    return table.sort_values("median size", kind="stable") if by else table


class _Run:
    """The parts of a result or record that are compared, as arrays."""

    def __init__(self, run):
        attack = run.attack if isinstance(run, AttackResult) else run
        self.threat, self.kind = attack.threat_model, attack.kind
        self.model = run.model
        self.success, self.size = _array(run.success), _array(run.size)
        self.distances = {norm: _array(run.distances[norm]) for norm in NORMS}
        values = getattr(run, "values", None)
        if values is None:
            self.images = (as_array(run.labels), as_array(run.clean))
        else:
            self.images = (values["label"], values["index"], run.identity["data"])


def _array(values):
    return as_array(values) if isinstance(values, torch.Tensor) else values


def _check_images(runs):
    (first, reference), *others = runs.items()
    for name, run in others:
        if len(reference.images) != len(run.images) or not all(
            map(np.array_equal, reference.images, run.images)
        ):
            raise InputError(
                f"runs: {name!r} attacked other images than {first!r}; allowed are runs on exactly the same images, "
                f"because success depends on them"
            )


def _check_models(runs):
    """Raise `InputError` unless all runs attacked the same model. A model that can't be identified equals no other."""
    (first, reference), *others = runs.items()
    for name, run in others:
        if run.model != reference.model or not reference.model:
            raise InputError(
                f"runs: {name!r} attacked another model than {first!r} (or one that had changed, or cannot be identified: "
                f"{reference.model[:12] or 'unknown'} and {run.model[:12] or 'unknown'}); allowed are runs on one model, "
                f"because success depends on the model, or across_models=True"
            )


def _check_threats(runs, by, at):
    """Raise `InputError` unless all runs had the same threat model."""
    rules = {}
    for name, run in runs.items():
        threat = run.threat
        budget = at if threat.eps is None else threat.eps
        rules.setdefault(replace(threat, eps=budget), []).append(f"{name} ({threat})")
    if len(rules) > 1:
        each = "; ".join(names[0] for names in rules.values())
        raise InputError(
            f"by: got {by!r} for attacks of {len(rules)} threat models: {each}. Each was asked for something else, so that "
            "their order in one column would say nothing. Allowed is to rank attacks of the same norm, budget and aim, all "
            "digital or all physical (`at` gives minimum-norm attacks a budget), or by=None for a table without a ranking"
        )
    budgets = [run.threat.eps for run in runs.values() if run.threat.eps is not None]
    if by == "size" and budgets:
        raise InputError(
            f"by: got 'size' for attacks with the budget {budgets[0]:g}, which they may use up even if less is enough; "
            f"allowed is by='success'"
        )
    if by == "success" and not budgets and at is None:
        raise InputError(
            "by: got 'success' for attacks without a budget, which succeed if the change is large enough; allowed is by='size', "
            "or a budget `at`"
        )


def _check_budget(runs, at):
    """Raise `InputError` unless `at` is in the unit of all runs' sizes."""
    check_range(at, "at", 0)
    norms = list(dict.fromkeys(run.threat.norm for run in runs.values()))
    if len(norms) > 1:
        raise InputError(
            f"at: got {at:g} for sizes in {' and '.join(norms)}; allowed is a budget for attacks of one norm"
        )
    if norms != ["L0"]:
        return
    shares = [f"{name} ({run.threat})" for name, run in runs.items() if run.threat.eps is not None]
    if shares:
        raise InputError(
            f"at: got {at:g} beside {shares[0]}. That budget is a share of all values, sizes are numbers of changed pixels; "
            "allowed is to rank attacks with such a budget without `at`, and those without one by='size'"
        )
    if at < 1:
        raise InputError(
            f"at: got {at:g} for sizes in L0, which are numbers of changed pixels; allowed is a number >= 1, such as 20"
        )


def _row(run, shared):
    row = {
        "threat model": run.threat.name,
        "images": len(run.success),
        "success": metrics.share_with_interval(run.success),
        "median size": metrics.median_with_interval(run.size, run.success),
        "common": int(shared.sum()),
    }
    return row | {f"mean {norm}": metrics.mean_over_successes(run.distances[norm], shared) for norm in NORMS}
