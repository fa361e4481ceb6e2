"""Pictures that move: what they show and when, how they stop, and how large they are."""

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from advcourse import plots
from advcourse.core.inputs import InputError
from advcourse.plots.style import webp
from advcourse.plots.vector import svg

START, OUT, BACK = (0.2, 0.2), (0.6, 0.6), (0.5, 0.5)


def loss(points):
    """A bowl with a ripple, which has curved level lines."""
    return (points**2).sum(1) + 0.1 * torch.sin(9 * points[:, 0])


def plane():
    """Two paths, the first of which is projected once."""
    return (
        plots.Plane()
        .levels(loss)
        .box()
        .ball(START, 0.3)
        .path([START, BACK], "PGD", [OUT])
        .path([START, (0.4, 0.1)], "b")
    )


def keyframes(text, name):
    """The times (in %) and places of an animation."""
    rules = re.search(rf"@keyframes {name}\{{(.*?\}})\}}", text)[1]
    found = re.findall(r"([\d.]+)%\{transform:translate\(([-\d.]+)px,([-\d.]+)px\)\}", rules)
    return [tuple(map(float, one)) for one in found]


def test_the_marker_goes_out_and_comes_back():
    """Against matplotlib's own place for each point on its canvas: start, outside, inside; then it waits for the other path."""
    moving = plots.walk(plane(), "PGD walks out of the ball and back")
    frames = keyframes(moving.moving, "w0")
    figure = plane().figure()
    places = figure.axes[0].transData.transform([START, OUT, BACK]) * 72 / figure.dpi
    places[:, 1] = figure.get_figheight() * 72 - places[:, 1]
    turns = [place for i, (_, *place) in enumerate(frames) if i == 0 or place != list(frames[i - 1][1:])]
    assert np.allclose(turns, places, atol=0.02)
    times = [time for time, *_ in frames]
    assert times == sorted(times) and times[0] == 0 and times[-1] == 100
    other = keyframes(moving.moving, "w1")
    leaves = max(time for time, *place in other if place == list(other[0][1:]))
    assert leaves >= min(time for time, *place in frames if np.allclose(place, places[2], atol=0.02))


def test_together_they_start_together():
    """Against the times at which the two markers leave their common start."""
    moving = plots.walk(plane(), "Both walk at once", together=True).moving
    leaves = [
        max(t for t, *at in keyframes(moving, w) if at == list(keyframes(moving, w)[0][1:]))
        for w in ("w0", "w1")
    ]
    assert leaves[0] == leaves[1]


def test_slower_takes_longer():
    """Against twice the duration."""
    fast, slow = (plots.walk(plane(), "A slow walk", slow=slow).moving for slow in (1, 2))
    seconds = [float(re.search(r"animation:([\d.]+)s", text)[1]) for text in (fast, slow)]
    assert seconds[1] == pytest.approx(2 * seconds[0], abs=0.02)


def test_it_is_light_and_the_same_each_time():
    """Against the limit for a moving picture in a notebook, 80 kB as it is stored, and the bytes of a second one."""
    page = plots.walk(plane(), "PGD walks out of the ball and back")._repr_html_()
    assert len(page) < 80_000
    assert page == plots.walk(plane(), "PGD walks out of the ball and back")._repr_html_()


def test_the_page_has_a_still_for_those_who_want_no_motion():
    """Against the HTML: one <img>, the still, with its text; motion only where a screen and the reader allow."""
    alt = 'It walks "out" & back'
    page = plots.walk(plane(), alt)._repr_html_()
    assert page.count("<img ") == 1 and 'alt="It walks &quot;out&quot; &amp; back"' in page
    assert 'media="screen and (prefers-reduced-motion: no-preference)"' in page
    still = re.search(r'src="data:image/webp;base64,([^"]*)"', page)[1]
    picture = Image.open(io.BytesIO(base64.b64decode(still)))
    width = int(re.search(r'width="(\d+)"', page)[1])
    assert not getattr(picture, "is_animated", False) and abs(picture.width - 2 * width) <= 2


def test_the_still_keeps_the_colours_of_its_paths_and_of_its_ground():
    """Against the same plane drawn with all colours: no dot differs by more than an eye could see."""
    page = plots.walk(plane(), "two paths on a plane")._repr_html_()
    kept, all_colours = (
        np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)
        for picture in (
            base64.b64decode(re.search(r'src="data:image/webp;base64,([^"]*)"', page)[1]),
            webp(plane().figure()),
        )
    )
    assert np.abs(kept - all_colours).max() <= 12 and np.abs(kept - all_colours).mean() < 0.5


def test_bad_input():
    """Checks that the message names the argument and what is allowed."""
    for call, word in (
        (lambda: plots.walk(plots.Plane(), "No path at all"), "plane"),
        (lambda: plots.walk(plane(), ""), "alt"),
        (lambda: plots.walk(plane(), "Far too slow", slow=9), "slow"),
        (lambda: plots.walk(plane(), "Not a flag", together="no"), "together"),
    ):
        with pytest.raises(InputError, match=word):
            call()


# The SVG below it


def test_the_svg_is_whole():
    """Against an XML parser: it is well-formed, refers to nothing that is missing, has no date, and is much lighter."""
    figure = plane().figure()
    text, file = svg(figure), io.StringIO()
    figure.savefig(file, format="svg")
    ElementTree.fromstring(text)
    names = {*re.findall(r' id="([^"]*)"', text)}
    assert {*re.findall(r'(?:href="|url\()#([\w-]+)', text)} == names
    assert "date" not in text.lower() and len(text) < 0.5 * len(file.getvalue())


@pytest.mark.parametrize("scale", [1, 30])
def test_short_paths_stay_where_they_were(scale):
    """Against the long path, point by point: a spiral is off by a fifth of a point at most, its ends by a tenth."""
    from advcourse.plots.vector import _compact

    turn = np.linspace(0, 20, 400)
    spiral = 100 + scale * np.stack([turn * np.cos(turn), turn * np.sin(turn)], 1) / 6
    text = _compact("M" + "L".join(f" {x:.6f} {y:.6f} " for x, y in spiral))
    at, drawn = np.zeros(2), []
    for letter, numbers in re.findall(r"([Mlhv])([^Mlhvz]*)", text):
        values = [float(n) for n in re.findall(r"-?[\d.]+", numbers)]
        steps = {"h": [(v, 0) for v in values], "v": [(0, v) for v in values]}.get(letter)
        for step in steps or np.reshape(values, (-1, 2)):
            at = at + step
            drawn.append(at)
    drawn = np.array(drawn)
    dense = np.concatenate([np.linspace(a, b, 50) for a, b in zip(drawn[:-1], drawn[1:], strict=True)])
    away = np.linalg.norm(spiral[:, None] - dense[None], axis=2).min(1)
    assert away.max() < 0.25 and np.abs(drawn[-1] - spiral[-1]).max() < 0.11
