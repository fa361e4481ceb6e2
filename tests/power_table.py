"""The page docs/power.md: what tests/power.py counted, as tables."""

from collections import defaultdict

from advcourse.core.intervals import counted
from advcourse.labs.release import in_order

RIGHT = "right"
HEAD = """# The power of the labs' checks

A check can be trusted if it never lets a wrong answer pass and never refuses a right one. The file of each task
(`advcourse/labs/lab1/fgsm.py` and so on) holds typical wrong answers, and right ones written differently. `tests/power.py` checks
each of them with many seeds; each gives fresh models, images and budgets. This page is made from `docs/power.json` by
`python tests/power.py --write docs/power.md`.

"Passed" counts wrong answers that were called right, "refused" right ones that were not: both must be 0. {bound}

A row holds for the code that was measured. `python tests/power.py --stale` names the answers that have changed since, or whose
task has; `python tests/power.py` draws those again.
"""


def table(rows):
    """The page, from the rows of docs/power.json."""
    labs = defaultdict(lambda: defaultdict(dict))
    for name, row in rows.items():
        lab, task, answer = name.split("/")
        labs[lab][task][answer] = row
    labs = {lab: labs[lab] for lab in sorted(labs, key=in_order)}
    counts = [sum(row["verdicts"].values()) for row in rows.values()]
    parts = [HEAD.format(bound=_bound(max(counts, default=0)))]
    for lab, tasks in labs.items():
        parts.append(f"\n## {lab.capitalize().replace('b', 'b ')}\n\n" + _lab(tasks))
    parts.append(_unsteady(labs))
    return "".join(parts)


def _bound(n):
    """What 0 of `n` says."""
    if not n:
        return ""
    return (
        f"0 of {n} seeds says, with 95 % confidence, that the rate is below {100 * counted(0, n).high:.1f} % "
        f"(Wilson's interval; by the rule of three below {300 / n:.1f} %)."
    )


def _lab(tasks):
    lines = [
        "| task | wrong answers | seeds each | passed | right answers | seeds each | refused |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for task, answers in sorted(tasks.items()):
        wrongs = {name: row for name, row in answers.items() if row["must"] != RIGHT}
        rights = {name: row for name, row in answers.items() if row["must"] == RIGHT}
        passed = {name: row["verdicts"].get(RIGHT, 0) for name, row in wrongs.items()}
        refused = {name: _seeds(row) - row["verdicts"].get(RIGHT, 0) for name, row in rights.items()}
        cells = [f"`{task}`", len(wrongs), _range(wrongs), _named(passed)]
        cells += [len(rights), _range(rights), _named(refused)]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def _seeds(row):
    return sum(row["verdicts"].values())


def _range(rows):
    """The least and the most seeds of these rows."""
    found = sorted({_seeds(row) for row in rows.values()} or {0})
    return f"{found[0]}" if len(found) == 1 else f"{found[0]} to {found[-1]}"


def _named(counts):
    """The sum, and the answers that have a part in it."""
    guilty = ", ".join(f"`{name}` {n}" for name, n in sorted(counts.items()) if n)
    return f"{sum(counts.values())}" + (f" ({guilty})" if guilty else "")


def _unsteady(labs):
    """The wrong answers whose message depends on the seed."""
    lines = []
    for lab, tasks in labs.items():
        for task, answers in sorted(tasks.items()):
            for name, row in sorted(answers.items()):
                if len(row["verdicts"]) > 1:
                    told = sorted(row["verdicts"].items(), key=lambda pair: (-pair[1], pair[0]))
                    counts = ", ".join(f'"{key}" {n}' for key, n in told)
                    lines.append(f'| {lab} | `{task}` | `{name}` | "{row["must"]}" | {counts} |\n')
    heading = "\n## Where the message depends on the seed\n\n"
    if not lines:
        return f"{heading}Nowhere: each wrong answer meets its own message with every seed.\n"
    text = "The sentence that names the mistake is not always the same for these answers.\n\n"
    columns = "| lab | task | answer | its message | what came |\n|---|---|---|---|---|\n"
    return heading + text + columns + "".join(lines)
