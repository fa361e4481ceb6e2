"""The sections of a report: the records as text, figures and tables, and how to read each of them."""

import math
from collections.abc import Sequence

from advcourse.core.intervals import counted
from advcourse.core.page import Html, Text, document, element, estimate, table
from advcourse.core.page import figures as shown
from advcourse.core.page import sections as headed
from advcourse.core.rounding import percent, size
from advcourse.evaluation import figures, tables
from advcourse.evaluation.matrix import Outcome

_FEW = 60  # the most rows of a table that are shown from the start

_OVERVIEW = (
    "Each number is the share of all images that the model reads correctly under attack. Dark is low: good for the "
    "attacker. Compare only attacks in the same block, because they had the same norm, budget and aim. In a block that is "
    "called physical, it is photographs of the attacked images that the model reads. Without a budget "
    "(“least …”) an attack may change an image as much as it needs, so 0 % is no surprise there: compare the median size "
    "in brackets. n/a: not measured."
)
_STRONGEST = (
    "An attacker may try every attack on every image, so an image counts as safe only if none of them fools the "
    "model: the per-image minimum. A mean over attacks would mislead: if one attack always succeeds and another never "
    "does, no image is safe, but the mean says that half of them are."
)
_BUDGETS = (
    "Every attack counts, whatever it was made for, if its change stays inside the budget; any wrong label counts. If "
    "several attacks are equally strong alone, the first is named. The interval is Wilson's, 95 %. Physical attacks, "
    "which are judged on photographs, are counted among themselves."
)
_LEAST = (
    "An attack without a budget is strong if its changes are small. The table names the attack with the smallest median "
    "size, and gives the median of the smallest change that any attack found for each image. Failures count as infinite. "
    "The interval is a bootstrap interval, 95 %."
)
_EPS = (
    "Points: attacks that were given a budget, with 95 % whiskers; points with the same budget are drawn slightly apart. "
    "Steps: attacks that look for the smallest change, and the share of images that they fool with a change of at most "
    "that size. If success falls as the budget grows, the cause is the attack: a larger budget allows everything that a "
    "smaller one does."
)
_SIZES = (
    "A curve shows the share of images that are fooled by a change of at most the given size: further left is stronger. "
    "Failures count as infinite, so a curve ends at the success rate. It crosses the dotted line at one half at the "
    "median size, or never, if the median is infinite."
)
_OUTLIVE = (
    "A bar is the share of an attack's successes that still succeed after the transformation, with its 95 % interval. "
    "The dotted line is the model's accuracy on clean images after the same transformation: if that is low, the "
    "transformation ruins all images, and the bars say nothing about attacks."
)
_MISCLASSIFICATION = (
    "A success is a result that the attack aimed at; “any wrong label” also counts a targeted attack that missed its "
    "target. The other numbers are means over the successes only: the confidence in the wrong label (ACAC), the "
    "confidence left to the true label (ACTC), and the lead of the first class over the second (noise tolerance, NTE)."
)
_IMPERCEPTIBILITY = (
    "Medians count every failure as infinitely large, so they cannot flatter an attack that fools only the easy "
    "images. The means are over the successes only, so they can: read them together with the success rate, and compare "
    "attacks in the table “On the same images”. The first median is in the norm of the threat model. SSIM 1 and PSD 0 "
    "mean that nothing changed."
)
_ROBUSTNESS = (
    "Survival is the share of the successes that still succeed after the transformation. Destruction is the share of the "
    "misread images that are read correctly again. Clean is the model's accuracy on clean images after the "
    "transformation; read it first."
)
_EFFICIENCY = (
    "Passes through the model depend only on attack and model; seconds depend on the machine, too. Memory is the peak of "
    "a batch, beyond what was in use before; it is not divided by the number of images."
)
_COMMON = (
    "Averaged over its own successes, an attack that fools only the easy images would seem to need the smallest change. "
    "Here the attacks of one threat model are averaged over the images on which all of them succeed, so their sizes can "
    "be compared. Read them together with the success rates."
)
_PICTURES = (
    "Above: the true label. Below: the model's answer under attack, and its confidence; a frame means that the attack "
    "succeeded. In the middle row the change is multiplied by the factor beside it; mid-grey means no change."
)


def page(outcome: Outcome, rows: Sequence[tables.Row], title: str) -> Html:
    """Return the page of an `Outcome`.

    Args:
        outcome: the result of the matrix.
        rows: its rows of `tables.rows_of_everything`.
        title: title of the page.
    """
    records = outcome.records
    sections = {"What was run": _run(outcome)}
    if outcome.failures:
        sections["What failed"] = [_failures(outcome.failures)]
    if records:
        lines = _Lines(records, rows)
        sections |= {
            "Accuracy under attack": [_how(_OVERVIEW), shown([figures.overview(records)])],
            "The strongest attack for each model": _strongest(records),
            "Success against the budget": _drawn(
                _EPS, figures.against_eps(records), "No attack had several budgets."
            ),
            "How large the changes are": _drawn(
                _SIZES, figures.distributions(records), "No attack looked for the smallest change."
            ),
            "What outlives noise, blur and compression": _drawn(
                _OUTLIVE, figures.robustness(records), "No transformation was applied."
            ),
            "Misclassification": [_how(_MISCLASSIFICATION), lines.table("Misclassification", _CONFIDENCES)],
            "Imperceptibility": [_how(_IMPERCEPTIBILITY), lines.table("Imperceptibility", _SIZE_COLUMNS)],
            "Robustness": [_how(_ROBUSTNESS), lines.table("Robustness", _survival(records))],
            "Efficiency": [_how(_EFFICIENCY), lines.table("Efficiency, for one image", _PRICES)],
            "On the same images": _common(records, lines.groups),
            "Pictures": _drawn(_PICTURES, figures.pictures(records), "No pictures were kept."),
        }
    return document(title, *headed(sections))


def _how(text):
    return element("p", text, class_="how")


def _drawn(how, drawings, otherwise):
    return [_how(how), shown(drawings)] if drawings else [element("p", otherwise)]


# What was run


def _run(outcome):
    records, count = outcome.records, len(outcome.failures)
    message = f"{len(records)} cells were measured, each an attack on a model"
    message += f"; {count} failed." if count else "."
    if not records:
        return [element("p", message)]
    columns = {
        "model": lambda one: one["title"],
        "images": lambda one: one["record"].picked,
        "read correctly, and attacked": lambda one: len(one["record"]),
        "clean accuracy": lambda one: estimate(counted(len(one["record"]), one["record"].picked)),
        Text("data"): lambda one: one["record"].names.data,
        Text("identity of the model"): lambda one: one["record"].identity["model"][:12],
        Text("checksum of the images"): lambda one: one["record"].identity["data"][:12],
    }
    seen = {}
    for title, group in figures.places(records).values():
        for record in group:
            inputs = record.identity["model"], record.identity["data"]
            seen.setdefault((title, *inputs), {"title": title, "record": record})
    settings = {
        "attack": lambda record: record.names.full_attack,
        Text("settings"): lambda record: record.attack,
    }
    attacks = {(record.names.full_attack, record.attack): record for record in records}
    return [
        element("p", message),
        table("Models and images", columns, {"": seen.values()}),
        element("ul", *(element("li", f"{name}: {text}") for name, text in _conditions(records).items())),
        element(
            "details",
            element("summary", "Settings of the attacks, seeds included"),
            table("Settings of the attacks", settings, {"": attacks.values()}),
        ),
    ]


def _conditions(records):
    """Return how the records were measured, according to their identities; several answers if the records differ."""
    collected = {}
    for record in records:
        identity, conditions = record.identity, record.identity["conditions"]
        answers = {
            "Images": identity["images"],
            "Targets of targeted attacks": f"{conditions['target']}, seed {conditions['seed']}",
            "Device": conditions["device"],
            "Threads": conditions["threads"],
            "Images in a batch": conditions["batch"],
            "Transformations": ", ".join(conditions["transformations"]) or "none",
            "torch": identity["torch"],
            "Checksum of the code": identity["code"][:12],
        }
        for name, answer in answers.items():
            collected.setdefault(name, {})[str(answer)] = None
    return {name: " or ".join(answers) for name, answers in collected.items()}


def _failures(failures):
    alike, items = {}, []
    for failure in failures:
        alike.setdefault(failure.error, []).append(failure)
    for error, group in alike.items():
        cells = "; ".join(f"{one.names.full_attack} on {one.names.model}, {one.names.data}" for one in group)
        where = element("details", element("summary", "Where"), element("pre", group[0].trace))
        items.append(
            element("li", element("strong", cells), ": ", error, *([where] if group[0].trace else []))
        )
    message = "These cells have no numbers, and are not counted below. The next run tries them again."
    return element("div", element("p", message), element("ul", *items), class_="failures")


# The strongest attack


def _strongest(records):
    parts = [_how(_STRONGEST)]
    budgets = tables.rows_of_strongest(records)
    if budgets:
        columns = {
            "budget": _budget,
            "clean accuracy": _cell("clean accuracy", percent),
            "per-image minimum": _estimate("accuracy"),
            "strongest attack alone": _cell("accuracy under it", percent),
            Text("which"): lambda row: row["strongest attack"],
            "attacks tried": lambda row: row["attacks"],
        }
        groups = _by_place(budgets, records)
        parts += [element("p", _BUDGETS), table("Accuracy that is left inside a budget", columns, groups)]
    ordered = [figures.by_threat_model(group).values() for _, group in figures.places(records).values()]
    least = tables.rows_of_least([record for groups in ordered for alike in groups for record in alike])
    if least:
        columns = {
            "threat model": lambda row: row["threat model"],
            "median of the per-image minimum": _estimate("minimum", unit=""),
            "smallest median of one attack": _cell("median size", size),
            Text("which"): lambda row: row["attack"],
            "attacks tried": lambda row: row["attacks"],
        }
        parts += [element("p", _LEAST)]
        parts += [table("The smallest change, without a budget", columns, _by_place(least, records))]
    return parts


def _budget(row):
    words = f"{row['norm'].replace('Linf', 'L∞')} ≤ {row['eps']:g}"
    return f"{words}, physical" if row["channel"] == "physical" else words


def _by_place(rows, records):
    """Group the rows by the page's title for their model and data."""
    titles, groups = figures.places(records), {}
    for row in rows:
        groups.setdefault(titles[row["model"], row["data"]][0], []).append(row)
    return groups


# The tables of the four properties


class _Lines:
    """The rows of `tables.rows_of_everything`: model -> threat model -> rows."""

    def __init__(self, records, rows):
        of = {id(record): row for record, row in zip(records, rows, strict=True)}
        self.groups = {}
        for title, group in figures.places(records).values():
            blocks = self.groups[title] = {}
            for threat, alike in figures.by_threat_model(group).items():
                blocks.setdefault(threat.name, []).extend(of[id(record)] for record in alike)

    def table(self, caption, columns):
        """Return tables with these columns after the success rate."""
        first = {
            "attack": lambda row: row["attack"],
            "images": lambda row: row["images"],
            "success": _estimate("success"),
        }
        return _model_by_model(caption, first | columns, self.groups)


def _model_by_model(caption, columns, groups):
    """Return a table for each model. If there are many rows, all but the first model's are folded."""
    if len(groups) == 1:
        return element("div", table(caption, columns, *groups.values()))
    few = sum(len(rows) for blocks in groups.values() for rows in blocks.values()) <= _FEW
    parts = []
    for title, blocks in groups.items():
        shown_at_once = {"open": ""} if few or not parts else {}
        inside = table(f"{caption}: {title}", columns, blocks)
        parts.append(element("details", element("summary", title), inside, **shown_at_once))
    return element("div", *parts)


def _cell(name, show):
    return lambda row: show(row.get(name, math.nan))


def _estimate(name, unit="%"):
    return lambda row: estimate(row[name], unit) if name in row else "n/a"


_CONFIDENCES = {
    "any wrong label": _cell("any wrong label", percent),
    "confidence in the wrong label": _cell("wrong confidence", percent),
    "confidence left to the true label": _cell("true confidence", percent),
    "noise tolerance": _cell("noise tolerance", percent),
}
_SIZE_COLUMNS = {
    "median in its norm": _estimate("median size", unit=""),
    **{f"median {name.replace('inf', '∞')}": _cell(f"median {name}", size) for name in tables.NORMS},
    "mean L2 of successes": _cell("mean L2", size),
    "mean L∞ of successes": _cell("mean Linf", size),
    "mean SSIM of successes": _cell("mean SSIM", size),
    "mean PSD of successes": _cell("mean PSD", size),
}
_PRICES = {
    "seconds": _cell("seconds", size),
    "forward passes": _cell("forward passes", size),
    "backward passes": _cell("backward passes", size),
    "memory of a batch, MiB": _cell("memory MiB", size),
}


def _survival(records):
    columns = {"successes": lambda row: row["successes"]}
    for name in dict.fromkeys(name for record in records for name in record.transformations):
        columns |= {
            f"{name}: survival": _estimate(f"{name}: survival"),
            f"{name}: destruction": _cell(f"{name}: destruction rate", percent),
            f"{name}: clean": _cell(f"{name}: clean accuracy", percent),
        }
    return columns


def _common(records, order):
    rows = tables.common(records).to_dict("records")
    if not rows:
        return [element("p", "No two attacks have the same threat model on the same model.")]
    columns = {
        "attack": lambda row: row["attack"],
        "common images": lambda row: row["common images"],
        "success": _cell("success", percent),
        **{f"mean {name.replace('inf', '∞')}": _cell(f"mean {name}", size) for name in tables.NORMS},
        "mean SSIM": _cell("mean SSIM", size),
    }
    titles, groups = figures.places(records), {}
    for row in rows:
        blocks = groups.setdefault(titles[row["model"], row["data"]][0], {})
        blocks.setdefault(row["threat model"], []).append(row)
    for title, blocks in groups.items():
        groups[title] = {threat: blocks[threat] for threat in order[title] if threat in blocks}
    return [
        _how(_COMMON),
        _model_by_model("On the images where all attacks of a threat model succeed", columns, groups),
    ]
