"""An audit as a page, as Markdown and as JSON."""

import json
import math

import numpy as np

from advcourse import plots
from advcourse.core.intervals import printed
from advcourse.core.page import Drawing, Html, Text, document, element, figures, sections, table
from advcourse.evaluation.audit.findings import CHECKS, LIGHTS, Finding, Findings

FORMAT = "advcourse audit 1"
# Told by shape and word as well as by colour.
_SIGNS = {"green": "● green", "amber": "▲ amber", "red": "■ red", "grey": "– grey"}
_STYLE = """
.light { white-space: nowrap; font-weight: 600; padding: .1rem .4rem; border-radius: .2rem; color: #1b1b1b; }
.green { background: #cfe8d5; } .amber { background: #ffe2a8; } .red { background: #f6c1ae; } .grey { background: #e6e6e6; }
"""
_HOW = (
    "Each check tries what a right evaluation should withstand. Its light says by how many images the robust accuracy falls: "
    "amber by more than one image and half a point, red by more than two images and two points. The minimum counts an image as "
    "robust only if everything that was tried within the budget leaves it."
)


def html(audit: Findings, title: str = "Audit") -> str:
    """Return the audit as one HTML file without scripts, which needs no network."""
    parts = {"Result": [_verdict(audit), element("p", _HOW, class_="how")]}
    parts["Checks"] = [_table(audit)]
    for finding in audit.findings:
        if finding.light in ("amber", "red"):
            parts[f"{_name(finding.check)}: {finding.title}"] = _detail(audit, finding)
    rows = list(audit.stated.items())
    columns = {"what": lambda row: row[0], Text("value"): lambda row: row[1]}
    parts["What was audited"] = [table("What determines the numbers", columns, {"": rows})]
    return document(title, *sections(parts), style=_STYLE)


def _name(check):
    return f"Check {check}" if check.isdigit() else check.capitalize()


def _verdict(audit):
    claim, truth = printed(audit.claimed_accuracy), printed(audit.robust_accuracy)
    words = {
        "red": "This evaluation is not to be believed.",
        "amber": "This evaluation is to be read with care.",
        "green": "Nothing was found against this evaluation.",
        "grey": "Nothing could be tried.",
    }
    return element(
        "p",
        _badge(audit.light),
        f" {words[audit.light]} The attack leaves {claim}, all that was tried {truth}.",
    )


def _badge(light):
    return element("span", _SIGNS[light], class_=f"light {light}")


def _table(audit):
    columns = {
        "check": lambda finding: f"{finding.check}. {finding.title}",
        Text("light"): lambda finding: _badge(finding.light),
        Text("finding"): lambda finding: finding.sentence,
        Text("remedy"): lambda finding: element("code", finding.remedy) if finding.remedy else "",
        "passes": lambda finding: str(finding.passes),
    }
    return table("The checks, in order", columns, {"": audit.findings})


def _detail(audit, finding):
    content: list[Html] = [element("p", _badge(finding.light), " ", finding.sentence)]
    if finding.tried:
        tried = [element("li", element("code", text)) for text in finding.tried]
        content += [element("p", "Tried:"), element("ul", *tried)]
    if finding.numbers:
        rows = list(finding.numbers.items())
        columns = {"number": lambda row: row[0], "value": lambda row: f"{row[1]:.4g}"}
        content.append(table(f"Numbers of {_name(finding.check)}", columns, {"": rows}))
    if finding.witnesses and finding.witnesses[0].clean.shape[1] > 1:
        content.append(figures([picture(audit, finding)]))
    if finding.remedy:
        content.append(element("p", "Remedy: ", element("code", finding.remedy)))
    return content


def picture(audit: Findings, finding: Finding) -> Drawing:
    """Return the witnesses of a finding as a picture: clean, the change, and what fooled the model."""
    clean, image = (_shown([getattr(one, name) for one in finding.witnesses]) for name in ("clean", "image"))
    factor = plots.magnification(image - clean)
    middle = f"change × {factor:g}"
    rows = {
        "clean": np.stack([_rgb(one) for one in clean]),
        middle: np.stack([plots.change_picture(one, factor) for one in image - clean]),
        "attacked": np.stack([_rgb(one) for one in image]),
    }
    answers = [f"read as {one.answer}" for one in finding.witnesses]
    titles = {"clean": [f"is {one.label}" for one in finding.witnesses], "attacked": answers}
    figure = plots.image_table(rows, titles=titles, columns=len(clean))
    said = "; ".join(
        f"image {one.index}, a {one.label} read as {one.answer}, {audit.norm} {one.size:.3g}"
        for one in finding.witnesses
    )
    caption = f"Witnesses of {_name(finding.check).lower()}"
    alt = f"{caption}: clean images, the change times {factor:g}, and the attacked images: {said}"
    return Drawing(plots.png(figure), round(figure.get_figwidth() * plots.DPI), alt, caption)


def _shown(images):
    """Return images as numbers (n, 1 or 3, H, W) in [0, 1]; channels that are no colours are averaged."""
    stack = np.stack([image.double().numpy() for image in images])
    stack = np.clip(np.nan_to_num(stack), 0, 1)
    return stack if stack.shape[1] in (1, 3) else stack.mean(1, keepdims=True)


def _rgb(image):
    return np.moveaxis(np.repeat(image, 3 // len(image), 0), 0, -1)


def markdown(audit: Findings) -> str:
    """Return the audit as Markdown: the verdict and a row for each check."""
    claim, truth = printed(audit.claimed_accuracy), printed(audit.robust_accuracy)
    lines = [
        f"**{audit.light}**: `{audit.attack}` leaves {claim} within {audit.norm} ≤ {audit.eps:g}; all that was tried, {truth}.",
        "",
        "| check | light | finding | remedy |",
        "|---|---|---|---|",
    ]
    for finding in audit.findings:
        remedy = f"`{finding.remedy}`" if finding.remedy else ""
        cells = (f"{finding.check}. {finding.title}", finding.light, finding.sentence, remedy)
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines)


def as_json(audit: Findings) -> str:
    """Return the audit as strict JSON: what was audited, the findings with their numbers, and which images are left."""
    content = {
        "format": FORMAT,
        "light": audit.light,
        "attack": audit.attack,
        "norm": audit.norm,
        "eps": audit.eps,
        "profile": audit.profile,
        "images": len(audit.labels),
        "clean": audit.clean.tolist(),
        "claimed": audit.claimed.tolist(),
        "minimum": audit.minimum.tolist(),
        "stated": dict(audit.stated),
        "findings": [_plain(finding) for finding in audit.findings],
    }
    return json.dumps(content, allow_nan=False, ensure_ascii=False, indent=1) + "\n"


def _plain(finding):
    seen = [
        {"index": one.index, "label": one.label, "answer": one.answer, "size": one.size}
        for one in finding.witnesses
    ]
    return {
        "check": finding.check,
        "title": finding.title,
        "light": finding.light,
        "sentence": finding.sentence,
        "tried": list(finding.tried),
        "numbers": {
            name: value if math.isfinite(value) else str(value) for name, value in finding.numbers.items()
        },
        "witnesses": seen,
        "remedy": finding.remedy,
        "passes": finding.passes,
    }


def lights(audit: Findings) -> dict[str, str]:
    """Return check -> light, in the order of `CHECKS`."""
    found = {finding.check: finding.light for finding in audit.findings}
    return {check: found.get(check, LIGHTS[0]) for check in CHECKS}
