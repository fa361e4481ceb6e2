"""Figures as SVG: sharp at any size, light, and the same bytes each time."""

import re
from io import BytesIO

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

_POINTS = 72  # matplotlib's SVG has 72 units an inch
_SETTINGS = {
    "svg.hashsalt": "advcourse",
    "svg.fonttype": "path",
}  # letters as outlines: no font is needed to see them
_HALO = r'<path d="([^"]*)" style="(stroke: #\w+; stroke-width: [\d.]+)"/><path d="\1"(?: style="([^"]*)")?/>'
_NOTHING = {"Date": None, "Creator": None, "Format": None, "Type": None}


def svg(figure: Figure) -> str:
    """Return the figure as the text of an SVG without a date, its numbers rounded to a hundredth of a point.

    Letters are drawn as outlines, so that they look the same everywhere and stay where they were placed.
    """
    file = BytesIO()
    with rc_context(_SETTINGS):
        figure.savefig(file, format="svg", metadata=_NOTHING)
    text = file.getvalue().decode()
    text = re.sub(
        r"<\?xml.*?\?>\s*|<!DOCTYPE.*?>\s*|<!--.*?-->\s*|<metadata>.*?</metadata>\s*", "", text, flags=re.S
    )
    text = re.sub(r' d="([^"]*)"', lambda found: f' d="{_compact(found[1])}"', text)
    text = re.sub(r'(?<= )(x|y|x1|y1|x2|y2|width|height|transform)="([^"]*)"', _shorter, text)
    text = _with_short_names(re.sub(r">\s+<", "><", text).strip())
    return re.sub(_HALO, r'<path d="\1" style="\2;paint-order:stroke;\3"/>', text)


def _with_short_names(text):
    """Give short names to what is used again, such as the outlines of letters, and none to the rest."""
    used = dict.fromkeys(re.findall(r'(?:href="|url\()#([\w-]+)', text))
    names = {name: f"n{i}" for i, name in enumerate(used)}
    text = re.sub(
        r' id="([^"]*)"', lambda found: f' id="{names[found[1]]}"' if found[1] in names else "", text
    )
    text = re.sub(r'(href="|url\()#([\w-]+)', lambda found: f"{found[1]}#{names[found[2]]}", text)
    return text.replace("xlink:href", "href").replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "")


def on_page(figure: Figure, at: tuple[float, float]) -> tuple[float, float]:
    """Return where a place in the data of the first axes lies in the figure's SVG."""
    x, y = figure.axes[0].transData.transform(at) * _POINTS / figure.dpi
    return round(float(x), 2), round(figure.get_figheight() * _POINTS - float(y), 2)


def _compact(path):
    """Return the same path with steps relative to the last point, in tenths of a point, without points on straight lines."""
    pieces, at, straight = [], np.zeros(2), []
    for command, numbers in re.findall(r"([MLQCzZ])([^MLQCzZ]*)", path):
        points = np.array(numbers.split(), dtype=float).reshape(-1, 2)
        if command == "L":
            straight.append(points[0])
            continue
        at = _lines(pieces, at, straight)
        if command in "zZ":
            pieces.append("z")
        elif command == "M":
            at = _step(pieces, "M", np.zeros(2), points)
        else:
            at = _step(pieces, command.lower(), at, points)
    _lines(pieces, at, straight)
    return "".join(pieces)


def _lines(pieces, at, straight):
    """Write the straight lines that were collected, from `at` on, and return where they end."""
    if straight:
        for point in _corners(np.array([at, *straight]))[1:]:
            at = _step(pieces, "l", at, point[None])
        straight.clear()
    return at


def _step(pieces, letter, at, points):
    """Write one command, its points relative to `at`, and return where it ends as it is drawn, so that no error adds up."""
    steps = np.round(points - at, 1) + 0.0
    if letter == "l" and not steps.all():  # straight up or across
        pieces.append(f"h{steps[0, 0]:g}" if steps[0, 0] else f"v{steps[0, 1]:g}")
    else:
        numbers = "".join(f"{'' if number < 0 else ' '}{number:g}" for number in steps.ravel())
        repeated = letter in "lqc" and _letter(pieces) == letter
        pieces.append(numbers if repeated else letter + numbers.strip())
    return at + steps[-1]


def _letter(pieces):
    """Return the last command; pieces that repeat it begin with their numbers."""
    return next(piece[0] for piece in reversed(pieces) if piece[0].isalpha())


def _corners(points):
    """Return the points that a line needs, so that none of the others is more than a tenth of a point away from it."""
    kept, start = [0], 0
    for end in range(2, len(points)):
        way = points[end] - points[start]
        between = points[start + 1 : end] - points[start]
        length = np.hypot(*way) or 1
        along = between @ way / length
        away = np.abs(between @ (-way[1], way[0])) / length
        if away.max() > 0.1 or along.min() < 0 or along.max() > length:
            start = end - 1
            kept.append(start)
    return points[[*kept, len(points) - 1]]


def _shorter(found):
    name, values = found.groups()
    return f'{name}="{_rounded(values, 3)}"'


def _rounded(numbers, digits=2):
    """Round the decimals in a text, and drop what an SVG does not need."""
    text = re.sub(r"-?\d+\.\d+(?:e-?\d+)?", lambda found: f"{round(float(found[0]), digits):g}", numbers)
    return re.sub(r"\s+", " ", text).strip()
