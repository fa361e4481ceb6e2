"""What every answer to the labs is told, for the first seeds: kept in verdicts.json, so that the labs' code may be rewritten.

    python tests/verdicts.py        draws all again and writes the file (some ten minutes)

Of a message only its words are kept, by a digest: a number in it may differ in its last digit on another processor.
"""

import json
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import power  # noqa: E402
import torch  # noqa: E402

from advcourse.core.files import replacing  # noqa: E402

STORED = ROOT / "tests" / "verdicts.json"
SEEDS = range(3)
_NUMBER = re.compile(r"[-+]?\d[\d.,e+-]*")


def told(name, seed):
    """Outcome, key and digest of the words, for the answer `name`, such as "lab1/fgsm/sign_flipped"."""
    lab, task, answer = name.split("/")
    function, _ = power.answers(lab)[task, answer]
    verdict = power.checked(lab, task, function, seed)
    words = _NUMBER.sub("#", verdict.message)
    return [verdict.outcome, verdict.key, sha256(words.encode()).hexdigest()[:8]]


def names():
    """All answers to all labs."""
    return [f"{lab}/{task}/{name}" for lab in power.LABS for task, name in power.answers(lab)]


def _all_of(name):
    torch.set_num_threads(1)
    return [told(name, seed) for seed in SEEDS]


def main():
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        rows = dict(zip(names(), pool.map(_all_of, names(), chunksize=8), strict=True))
    lines = [f"{json.dumps(name)}: {json.dumps(rows[name])}" for name in sorted(rows)]
    with replacing(STORED) as partial:
        Path(partial).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
