"""The figures of a report, drawn from records: each is a PNG with alternative text and a caption."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from advcourse import metrics, plots
from advcourse.attacks import ThreatModel
from advcourse.core.page import Drawing
from advcourse.core.rounding import percent, size
from advcourse.evaluation.record import Record

_ORDER = ("Linf", "L2", "L1", "L0", "EN", "flow")
_PIXELS = "(pixels range from 0 to 1)"
_UNITS = {
    "Linf": f"L∞ size of the change {_PIXELS}",
    "L2": f"L2 size of the change {_PIXELS}",
    "L1": f"L1 size of the change {_PIXELS}",
    "L0": "L0 size of the change (pixels)",
    "EN": f"elastic net size of the change {_PIXELS}",
    "flow": "roughness of the flow that moves the pixels (pixels)",
}
_SHARE = "share of all values that may be changed (L0)"
_CURVES = 8  # the most curves in one chart; if there are more, each model gets a chart of its own


def places(records: Sequence[Record]) -> dict[tuple[str, str], tuple[str, list[Record]]]:
    """Group records by model and data set.

    Returns:
        (model, data) -> (title, records). The title names the data only if there are several sets.
    """
    several = len({record.names.data for record in records}) > 1
    groups = {}
    for record in records:
        names = record.names
        title = f"{names.model}, {names.data}" if several else names.model
        groups.setdefault((names.model, names.data), (title, []))[1].append(record)
    return groups


def by_threat_model(records: Iterable[Record]) -> dict[ThreatModel, list[Record]]:
    """Group records by threat model: digital first, then sorted by norm, untargeted before targeted, small budgets first."""
    groups = {}
    for record in records:
        groups.setdefault(record.threat_model, []).append(record)
    return dict(sorted(groups.items(), key=lambda group: _place_of(group[0])))


def _place_of(threat):
    norm = _ORDER.index(threat.norm) if threat.norm in _ORDER else len(_ORDER)
    return (
        threat.channel != "digital",
        threat.eps is None,
        norm,
        not threat.aim.startswith("untargeted"),
        threat.universal,
        threat.eps or 0,
    )


def accuracy(record: Record) -> float:
    """Return the share of the picked images that the model classifies correctly under attack; NaN if there are none."""
    return (len(record) - record.values["wrong"].sum()) / record.picked if record.picked else np.nan


def overview(records: Sequence[Record]) -> Drawing:
    """Draw the heat map: attacks in blocks by threat model, models as columns, accuracy under attack as colour and number."""
    titles = {place: title for place, (title, _) in places(records).items()}
    blocks, notes = {"": {"no attack": {}}}, {}
    for title, group in places(records).values():
        blocks[""]["no attack"][title] = group[0].clean_accuracy
    for threat, group in by_threat_model(records).items():
        block, medians = blocks.setdefault(threat.name, {}), notes.setdefault(threat.name, {})
        for record in group:
            row, column = record.names.full_attack, titles[record.names.model, record.names.data]
            block.setdefault(row, {})[column] = accuracy(record)
            if threat.eps is None:
                median = size(metrics.median_with_failures(record.size, record.success))
                medians.setdefault(row, {})[column] = f"({median})"
    label = "share of all images that are read correctly; in brackets, without a budget, the median size"
    alt = "Heat map of accuracy under attack, dark where it is low. " + "; ".join(
        f"{row}{f' ({heading})' if heading else ''}: "
        + ", ".join(f"{column} {percent(value)}" for column, value in line.items())
        for heading, block in blocks.items()
        for row, line in block.items()
    )
    return _drawing(plots.heat_map(blocks, label, notes=notes, percentages=True), alt, "")


def against_eps(records: Sequence[Record]) -> list[Drawing]:
    """Draw success against eps: one chart for each model and each norm and aim with enough to show.

    That is the case if its attacks had several budgets, or if there are minimum-norm attacks beside a budgeted one.
    """
    drawings = []
    for title, group in places(records).values():
        for terms, alike in _by(group, _terms).items():
            budgeted = [record for record in alike if record.threat_model.eps is not None]
            free = [record for record in alike if record.threat_model.eps is None and len(record)]
            if budgeted and (free or len({record.threat_model.eps for record in budgeted}) > 1):
                caption = f"{title}: {_in_words(alike[0].threat_model)}"
                drawings.append(_curves(_sizes(free), _budgets(budgeted), terms, caption))
    return drawings


def distributions(records: Iterable[Record]) -> list[Drawing]:
    """Draw the share of images fooled up to a size, for each threat model without a budget.

    All models are in one chart as long as there are few curves.
    """
    drawings = []
    for threat, group in by_threat_model(
        record for record in records if record.threat_model.eps is None
    ).items():
        parts = places(group).values()
        if len(group) > _CURVES:
            drawings += [
                _curves(_sizes(part), {}, _terms(part[0]), f"{title}: {threat.name}") for title, part in parts
            ]
            continue
        sizes = {
            f"{name}, {title}" if len(parts) > 1 else name: size
            for title, part in parts
            for name, size in _sizes(part).items()
        }
        caption = threat.name if len(parts) > 1 else f"{next(iter(parts))[0]}: {threat.name}"
        drawings.append(_curves(sizes, {}, _terms(group[0]), caption))
    return drawings


def robustness(records: Sequence[Record]) -> list[Drawing]:
    """Draw for each model the share of the successes that survive each transformation, and the clean accuracy after it."""
    drawings = []
    for title, group in places(records).values():
        blocks = {}
        for threat, alike in by_threat_model(group).items():
            lines = {record.names.full_attack: _survival(record) for record in alike}
            blocks.setdefault(threat.name, {}).update(lines)
        clean = {name: share for record in group for name, share in record.clean.items()}
        if clean:
            label = "successes that still succeed after; dotted: clean images that the model still reads correctly"
            alt = (
                f"Bars for {title}: the share of each attack's successes that still succeed after "
                + ", ".join(f"{name} (clean accuracy {percent(share)})" for name, share in clean.items())
            )
            drawings.append(_drawing(plots.bar_panels(blocks, label, references=clean), alt, title))
    return drawings


def pictures(records: Sequence[Record], columns: int = 6) -> list[Drawing]:
    """Draw clean images, the change, and attacked images, for each attack on the first model.

    Of several variants of an attack only the first is shown, with at most `columns` images (default 6).
    """
    drawings, shown = [], set()
    for record in next(iter(places(records).values()))[1] if records else ():
        if record.names.attack not in shown and len(record.pictures.get("clean", ())):
            shown.add(record.names.attack)
            drawings.append(_pictures(record, columns))
    return drawings


def _pictures(record, columns):
    clean, attacked = (_shown(record.pictures[name][:columns]) for name in ("clean", "attacked"))
    factor = plots.magnification(attacked - clean)
    middle = f"change × {factor:g}"
    changes = [plots.change_picture(change, factor) for change in attacked - clean]
    rows = {"clean": _rgb(clean), middle: np.stack(changes), "attacked": _rgb(attacked)}
    names = ("label", "prediction", "wrong confidence", "success")
    labels, read, sure, success = (record.values[name][: len(clean)] for name in names)
    answers = [f"{label}, {percent(share)}" for label, share in zip(read, sure, strict=True)]
    figure = plots.image_table(
        rows,
        titles={"clean": [str(label) for label in labels], "attacked": answers},
        framed={"attacked": success},
        columns=columns,
    )
    caption = f"{record.names.full_attack} ({record.threat_model.name})"
    described = ", ".join(f"{label} read as {now}" for label, now in zip(labels, read, strict=True))
    alt = f"Clean images, the change times {factor:g}, and attacked images, by {caption}: {described}"
    return _drawing(figure, alt, caption)


def _shown(images):
    """Return images that can be shown: if the channels are not colours, they are averaged."""
    images = images.astype(np.float64)
    return images if images.shape[1] in (1, 3) else images.mean(1, keepdims=True)


def _rgb(images):
    colours = np.broadcast_to(images, (len(images), 3, *images.shape[2:]))
    return np.moveaxis(colours, 1, -1).clip(0, 1)


def _by(records, key):
    groups = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    return groups


def _terms(record):
    """Return what attacks must share to be in the same chart. An L0 budget is a share, an L0 size a number of pixels."""
    threat = record.threat_model
    share = threat.norm == "L0" and threat.eps is not None
    return threat.norm, threat.aim, threat.universal, share, threat.channel


def _in_words(threat):
    """Return the threat model as text, without its budget."""
    return replace(threat, eps=None).name.removeprefix("least ")


def _sizes(records):
    return {record.names.full_attack: np.where(record.success, record.size, np.inf) for record in records}


def _budgets(records):
    """Return curve -> (eps, success, images). An attack's budgets form one curve, unless two variants have the same budget."""
    curves = {}
    for name, alike in _by(records, lambda record: record.names.attack).items():
        apart = len({record.threat_model.eps for record in alike}) < len(alike)
        for record in alike:
            curves.setdefault(record.names.full_attack if apart else name, []).append(record)
    return {
        name: (
            [record.threat_model.eps for record in curve],
            [record.success_rate for record in curve],
            len(curve[0]),
        )
        for name, curve in curves.items()
    }


def _curves(sizes, budgets, terms, caption):
    unit = _SHARE if terms[3] else _UNITS.get(terms[0], terms[0])
    alt = f"Share of images fooled against size, {caption}. " + "; ".join(
        [f"{name}: {percent(np.isfinite(size).mean())} at last" for name, size in sizes.items() if len(size)]
        + [
            f"{name}: " + ", ".join(f"{percent(rate)} at {eps:g}" for eps, rate in zip(x, y, strict=True))
            for name, (x, y, _) in budgets.items()
        ]
    )
    both = {f"{name} (least)" if name in budgets else name: size for name, size in sizes.items()}
    return _drawing(plots.distributions(both, unit, budgets=budgets), alt, caption)


def _survival(record):
    return {
        name: metrics.share_with_interval(record.values[f"success {name}"][record.success])
        for name in record.transformations
    }


def _drawing(figure, alt, caption):
    width = round(figure.get_figwidth() * plots.DPI)
    return Drawing(plots.png(figure), width, alt, caption)
