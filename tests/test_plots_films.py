"""Films of games and pictures of sounds: against places, times and levels that are known in advance."""

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.signal import stft

from advcourse import plots
from advcourse.core.inputs import InputError
from advcourse.plots import collisions

FRAMES = torch.arange(5).repeat_interleave(4).reshape(5, 2, 2) / 4  # from black to white in five moments
MARKS = torch.tensor([True, False, False, True])


def film(**more):
    """Two players, of whom the second sees the moments backwards."""
    views = {"one": FRAMES, "two": FRAMES.flip(0)}
    ends = {"one": "caught", "two": "missed"}
    return plots.film(views, "Two players and five moments", {"one": MARKS, "two": ~MARKS}, ends, **more)


def test_each_reel_holds_the_frames_from_top_to_bottom():
    """Against the frames themselves, read back from the pictures inside the SVG, to within a grey level."""
    text = film().moving
    reels = [
        Image.open(io.BytesIO(base64.b64decode(d))) for d in re.findall(r"image/png;base64,([^\"]+)", text)
    ]
    assert len(reels) == 2
    for reel, frames in zip(reels, (FRAMES, FRAMES.flip(0)), strict=True):
        levels = np.asarray(reel.convert("L")).reshape(5, 2, 2) / 255
        assert np.abs(levels - frames.numpy()).max() <= 1 / 255


def test_the_reel_moves_by_one_frame_a_moment_and_then_rests():
    """By hand: five moments of half a second and two seconds of rest; four steps, which end after 2 of 4.5 seconds."""
    text = film(seconds=0.5).moving
    root = ElementTree.fromstring(text)
    assert root.tag.endswith("svg")
    assert "animation:film 4.5s infinite" in text and "steps(4)" in text and f"{100 * 2 / 4.5:.2f}%" in text
    assert set(re.findall(r"--end:translateY\((-?\d+)px\)", text)) == {"-8"}  # four frames of two rows
    assert re.findall(r'viewBox="0 0 2 2"', text) and "prefers-reduced-motion" in film()._repr_html_()


def test_the_still_shows_the_chosen_moment():
    """Against the greys of the frames: in the middle of the first picture, at the first moment and at the last one."""
    for still, grey in ((0, 0), (-1, 255), (2, 128)):
        picture = np.asarray(Image.open(io.BytesIO(film(still=still).still)).convert("L"))
        assert abs(int(picture[picture.shape[0] // 2, picture.shape[1] // 4]) - grey) <= 12


def test_a_film_is_light_and_says_what_it_shows():
    """Against a budget of 60 kB for three players of Catch with noise; the text stands in the page, too."""
    noise = torch.rand(18, 20, 20, generator=torch.Generator().manual_seed(0))
    views = {name: (noise > 0.5).float() * 0.1 for name in "abc"}
    flags, ends = dict.fromkeys("abc", torch.ones(17)), dict.fromkeys("abc", "caught")
    page = plots.film(views, "three players with noise", flags, ends)._repr_html_()
    assert len(page) < 60_000 and 'alt="three players with noise"' in page


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"views": {}}, "views"),
        ({"views": {"one": FRAMES, "two": FRAMES[:3]}}, "views: got shapes"),
        ({"views": {"one": FRAMES, "two": FRAMES + 1}}, "views: got values outside"),
        ({"views": {"one": FRAMES[0], "two": FRAMES[0]}}, "views: got shapes"),
        ({"views": {name: FRAMES for name in "abcde"}}, "views: got 5 players"),
        ({"marks": {"one": MARKS}}, "marks: got other players"),
        ({"marks": {"one": MARKS, "two": torch.ones(9)}}, "marks: got shape"),
        ({"ends": {"one": "caught"}}, "ends: got other players"),
        ({"seconds": 0}, "seconds"),
        ({"still": 5}, "still"),
        ({"alt": "none"}, "alt"),
    ],
)
def test_a_film_that_cannot_be_is_refused(change, message):
    """By hand: each message names the argument."""
    given = {
        "views": {"one": FRAMES, "two": FRAMES},
        "alt": "two players see five moments",
        "marks": {"one": MARKS, "two": MARKS},
        "ends": {"one": "caught", "two": "missed"},
    } | change
    with pytest.raises(InputError, match=re.escape(message)):
        plots.film(**given)


# ---- sounds ----


def test_the_level_of_a_sine_is_its_loudness():
    """By closed form: a sine of size a at the middle of a frequency's window has 20 log10 a; silence has the floor."""
    time = torch.arange(4000) / 8000
    for size in (1.0, 0.1):
        loud = plots.levels(size * torch.sin(2 * torch.pi * 1000 * time))
        assert loud.shape == (129, 50)
        assert loud[32, 10] == pytest.approx(20 * np.log10(size), abs=0.1)  # 1 000 Hz is the 32nd of 31.25 Hz
        assert loud[96, 10] < -75
    assert (plots.levels(torch.zeros(800)) == -80).all()


def test_levels_are_scipys():
    """Against scipy's short-time Fourier transform with the same window and hop, wherever it is above the floor."""
    wave = torch.randn(2000, generator=torch.Generator().manual_seed(0)) * 0.1
    _, _, peer = stft(
        wave.numpy(), nperseg=256, noverlap=176, window="hann", padded=False, return_onesided=True
    )
    expected = np.maximum(20 * np.log10(2 * np.abs(peer)), -80)
    found = plots.levels(wave)
    n = min(found.shape[1], expected.shape[1])
    np.testing.assert_allclose(found[:, :n], expected[:, :n], atol=1e-3)


def test_spectrograms_are_clear_of_collisions():
    """Against the boxes of all texts: none collides; each panel bears its name, and the axes their units."""
    waves = {
        name: torch.randn(6000, generator=torch.Generator().manual_seed(0)) for name in ("a", "b", "c", "d")
    }
    figure = plots.spectrograms(waves, 8000)
    assert collisions.collisions(figure) == []
    panels = figure.axes[:-1]
    assert [panel.get_title() for panel in panels] == ["a", "b", "c", "d"]
    assert {panel.get_xlabel() for panel in panels} == {"time (s)"}
    assert panels[0].get_ylabel() == "frequency (kHz)" and figure.axes[-1].get_ylabel() == "level (dB)"
    assert panels[0].images[0].get_extent() == [0, 0.75, 0, 4]


@pytest.mark.parametrize("bad", [{}, {"a": torch.zeros(2, 3)}, {name: torch.zeros(9) for name in "abcde"}])
def test_what_is_no_sound_is_refused(bad):
    """By hand: nothing, a batch, and too many."""
    with pytest.raises(InputError, match="wave"):
        plots.spectrograms(bad, 8000)
