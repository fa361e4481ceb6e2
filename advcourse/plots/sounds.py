"""Sounds as pictures: spectrograms."""

from collections.abc import Mapping

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from advcourse.core.inputs import InputError, check_range
from advcourse.plots.style import DPI, STYLE, Numbers, as_numbers, check_mapping
from advcourse.plots.texts import PlainFigure

_WINDOW, _HOP = 256, 80  # samples
_FLOOR = -80.0  # dB below a sine of full loudness
_STEP = 5.0  # dB between two colours: a picture of few colours is small
_WIDE, _HIGH = 2.1, 1.6  # inches


def levels(wave: Numbers) -> np.ndarray:
    """Return how loud each frequency of a wave is over time, in dB, float64 (129, frames), at least -80.

    0 dB is a sine from -1 to 1. Windows of 256 samples (Hann), each 80 samples later than the one before; the wave is
    continued with silence.

    Args:
        wave: (L,), in [-1, 1].

    Raises:
        InputError: not a wave of at least one sample.
    """
    wave = as_numbers(wave, "wave").astype(float)
    if wave.ndim != 1 or not len(wave):
        raise InputError(f"wave: got shape {wave.shape}; allowed is (L,), L >= 1")
    wide = np.pad(wave, (_WINDOW // 2, _WINDOW))
    pieces = np.lib.stride_tricks.sliding_window_view(wide, _WINDOW)[: len(wave) : _HOP]
    window = np.hanning(_WINDOW + 1)[:-1]
    size = np.abs(np.fft.rfft(pieces * window)) * 2 / window.sum()
    return np.maximum(20 * np.log10(np.maximum(size, 1e-12)), _FLOOR).T


def spectrograms(waves: Mapping[str, Numbers], rate: int) -> Figure:
    """Draw spectrograms side by side with one scale: time to the right, frequency upwards, bright for loud.

    Args:
        waves: name -> (L,), in [-1, 1]; 1 to 4 of them.
        rate: samples a second.

    Raises:
        InputError: no wave, more than four, or one that is none.
    """
    check_mapping(waves, "waves")
    check_range(rate, "rate", 1, integer=True)
    if len(waves) > 4:
        raise InputError(f"waves: got {len(waves)}; allowed are 1 to 4")
    with rc_context(STYLE):
        width = 0.5 + len(waves) * (_WIDE + 0.15) + 0.75
        figure = PlainFigure(figsize=(width, _HIGH + 0.75), dpi=DPI)
    for i, (name, wave) in enumerate(waves.items()):
        place = ((0.5 + i * (_WIDE + 0.15)) / width, 0.44 / (_HIGH + 0.75), _WIDE / width)
        axis = figure.add_axes((*place, _HIGH / (_HIGH + 0.75)))
        loud = np.floor(levels(wave) / _STEP) * _STEP + _STEP / 2
        extent = (0, np.size(as_numbers(wave, "waves")) / rate, 0, rate / 2000)
        image = axis.imshow(
            loud,
            origin="lower",
            aspect="auto",
            cmap="cividis",
            vmin=_FLOOR,
            vmax=0,
            extent=extent,
            interpolation="nearest",
        )
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("time (s)", fontsize=8)
        axis.tick_params(labelsize=8, labelleft=not i)
        axis.locator_params(axis="x", nbins=4)
        if not i:
            axis.set_ylabel("frequency (kHz)", fontsize=8)
    scale = figure.add_axes(
        ((width - 0.66) / width, 0.44 / (_HIGH + 0.75), 0.1 / width, _HIGH / (_HIGH + 0.75))
    )
    bar = figure.colorbar(image, cax=scale)
    bar.set_label("level (dB)", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    return figure
