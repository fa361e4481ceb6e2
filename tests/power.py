"""How often each verdict comes: every right and wrong answer to the labs is checked with many seeds, and the counts are kept.

    python tests/power.py                       all labs, 200 seeds each; stop it at any moment, and it goes on from there
    python tests/power.py lab2 lab3 --seeds 20
    python tests/power.py --write docs/power.md

A check has a known power if a wrong answer never passes and a right one always does. The counts stand in docs/power.json; a row
holds for the code of its task and of its answer, and is drawn again when either changes (see `deciding`).
"""

import argparse
import importlib
import json
import os
import sys
import time
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from answers import rooms  # noqa: E402
from deciding import digest, of_task  # noqa: E402
from power_table import table  # noqa: E402
from remembering import remembering  # noqa: E402

from advcourse.core.files import replacing  # noqa: E402
from advcourse.labs.release import labs  # noqa: E402

COUNTS, PAGE = ROOT / "docs" / "power.json", ROOT / "docs" / "power.md"
LABS = labs()
SEEDS, FEW, PORTION = 200, 20, 5  # seeds: of a stored row, of a first run, between two savings
RIGHT = "right"


def answers(lab):
    """(task, answer's name) -> (function, the verdict that it must get: "right" or the key of a finding)."""
    rows = [(room.task, RIGHT, answer) for room in rooms(lab) for answer in room.rights]
    rows += [(room.task, key, answer) for room in rooms(lab) for key, answer in room.wrongs]
    found = {(task, answer.__name__): (answer, key) for task, key, answer in rows}
    assert len(found) == len(rows), "two answers to one task share a name"
    return found


def checked(lab, task, answer, seed):
    """The `Verdict` of one check."""
    torch.manual_seed(seed)  # some wrong answers draw from the global state
    return importlib.import_module(f"advcourse.labs.{lab}").LAB.check(answer, task, seed)


def verdict(lab, task, answer, seed):
    """The verdict in a word: "right", the key of what was found, or "not attempted"."""
    told = checked(lab, task, answer, seed)
    return RIGHT if told.right else told.key


def identity(lab, task, answer):
    """The digest of what decides: the task and the answer."""
    tasks = importlib.import_module(f"advcourse.labs.{lab}").LAB.tasks
    return digest(
        of_task(tasks[task]), ("advcourse.labs.exercises", "Draw"), (answer.__module__, answer.__name__)
    )


def blank(lab):
    """The rows of a lab before anything is drawn: name -> row."""
    return {
        f"{lab}/{task}/{name}": {"must": must, "code": identity(lab, task, answer), "verdicts": {}}
        for (task, name), (answer, must) in answers(lab).items()
    }


def stored(path=COUNTS):
    """The rows that were counted before."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def drawn(row):
    """How many seeds have been drawn: 0, 1, 2... up to that number."""
    return sum(row["verdicts"].values())


def current(labs, path=COUNTS):
    """All rows of all labs: of these `labs`, those that still hold, the others blank; of other labs as they are stored."""
    old = stored(path)
    rows = {name: row for name, row in old.items() if name.split("/")[0] not in labs}
    for lab in labs:
        for name, row in blank(lab).items():
            same = name in old and all(old[name][part] == row[part] for part in ("must", "code"))
            rows[name] = old[name] if same else row
    return rows


def save(rows, path=COUNTS):
    """One line a row, in order of their names."""
    lines = [f"{json.dumps(name)}: {json.dumps(rows[name], sort_keys=True)}" for name in sorted(rows)]
    with replacing(path) as partial:
        Path(partial).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def portion(task, firsts, last):
    """Check some answers to a task with all seeds before `last`, each from its own first one: `firsts`, name -> seed.

    All answers of a task get the same questions with a seed, so the judge computes its own results once for all of them.
    Returns the counts of each answer by name, and its seconds a check.
    """
    torch.set_num_threads(1)
    lab, task = task.split("/")
    functions = {name: function for (of, name), (function, _) in answers(lab).items() if of == task}
    counts, spent = {name: Counter() for name in firsts}, Counter()
    with remembering() as results:
        for seed in range(min(firsts.values()), last):
            results.clear()
            for name in [name for name, first in firsts.items() if first <= seed]:
                start = time.process_time()
                counts[name][verdict(lab, task, functions[name], seed)] += 1
                spent[name] += time.process_time() - start
    rows = {f"{lab}/{task}/{name}": count for name, count in counts.items()}
    return rows, {f"{lab}/{task}/{name}": spent[name] / (last - first) for name, first in firsts.items()}


def waiting(rows, labs, goal):
    """What is to be drawn until all have `goal` seeds: (task, answer -> first seed, last), the task that costs least first."""
    tasks = defaultdict(dict)
    for name in rows:
        if name.split("/")[0] in labs and drawn(rows[name]) < goal:
            task, answer = name.rsplit("/", 1)
            tasks[task][answer] = drawn(rows[name])

    def cost(task):
        return sum(rows[f"{task}/{answer}"].get("seconds", 0) for answer in tasks[task])

    for task in sorted(tasks, key=cost):
        for first in range(min(tasks[task].values()), goal, PORTION):
            last = min(first + PORTION, goal)
            yield task, {name: max(first, own) for name, own in tasks[task].items() if own < last}, last


def measure(labs, seeds, workers, path=COUNTS):
    """Draw until every row of these `labs` has so many seeds: first one, then 20, then all; counts are saved on the way."""
    rows, kept = current(labs, path), time.monotonic()
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for goal in sorted({1, min(FEW, seeds), seeds}):
            jobs = list(waiting(rows, labs, goal))
            for counts, seconds in pool.map(portion, *zip(*jobs)) if jobs else ():
                for name in counts:
                    rows[name]["verdicts"] = dict(
                        sorted((Counter(rows[name]["verdicts"]) + counts[name]).items())
                    )
                    rows[name]["seconds"] = round(seconds[name], 3)
                if time.monotonic() - kept > 20:
                    save(rows, path)
                    kept = time.monotonic()
            save(rows, path)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("labs", nargs="*", metavar="lab", help="lab1, lab2... (default: all)")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="for each answer (default: 200)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--write", type=Path, metavar="PATH", help="write the table there and draw nothing")
    parser.add_argument("--stale", action="store_true", help="name the answers whose code has changed since")
    options = parser.parse_args()
    labs = options.labs or LABS
    if set(labs) - set(LABS):
        parser.error(f"lab: got {', '.join(labs)}; allowed are {', '.join(LABS)}")
    if options.write:
        options.write.write_text(table(stored()), encoding="utf-8")
    elif options.stale:
        old = stored()
        names = [n for n, row in current(labs).items() if n not in old or row["code"] != old[n]["code"]]
        print("\n".join(names) or "none")
    else:
        print(table(measure(labs, options.seeds, options.workers)))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
