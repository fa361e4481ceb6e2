"""Records made by hand: what a test of tables and reports knows without an attack."""

import numpy as np

from advcourse.attacks import ThreatModel
from advcourse.evaluation import Names, Record
from advcourse.metrics import Efficiency

L2 = ThreatModel("L2", None, "untargeted")


def record(
    success,
    size=None,
    attack="attack",
    model="model",
    threat=L2,
    picked=None,
    wrong=None,
    clean=None,
    **values,
):
    """The record of `len(success)` attacked images, the first of the `picked`; `values` replace the arrays made here.

    Every distance is `size`, which is 1, 2, 3, ... unless given; a failure changed nothing.
    """
    success = np.asarray(success, dtype=bool)
    n = len(success)
    size = np.arange(1.0, n + 1) if size is None else np.asarray(size, dtype=float)
    size = np.where(success | (threat.eps is not None), size, 0.0)
    full = {
        "index": np.arange(n),
        "label": np.zeros(n, dtype=int),
        "target": np.full(n, -1),
        "prediction": np.ones(n, dtype=int),
        "success": success,
        "wrong": success if wrong is None else np.asarray(wrong, dtype=bool),
        "size": size,
        **{norm: size for norm in ("L0", "L1", "L2", "Linf")},
        "SSIM": np.full(n, 0.5),
        "PSD": size,
        "wrong confidence": np.full(n, 0.75),
        "true confidence": np.full(n, 0.25),
        "noise tolerance": np.full(n, 0.5),
        "steps": np.ones(n, dtype=int),
    }
    clean = {} if clean is None else clean
    for name in clean:
        full |= {f"success {name}": success, f"wrong {name}": full["wrong"]}
    full |= {name: np.asarray(array) for name, array in values.items()}
    kind = "minimum-norm" if threat.eps is None else "budgeted"
    images = np.zeros((min(n, 3), 1, 8, 8), dtype=np.float32)
    return Record(
        Names(attack, model, "images"),
        f"{attack}()",
        kind,
        threat,
        {"model": model, "data": "images", "images": "given"},
        n if picked is None else picked,
        Efficiency(0.5, 3.0, 2.0, 1.0, n, "cpu"),
        clean,
        full,
        {"clean": images, "attacked": images + 0.5},
    )
