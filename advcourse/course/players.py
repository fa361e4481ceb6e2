"""Sounds with a button to play them, each above its spectrogram."""

import base64
import html
import io
import wave
from collections.abc import Mapping

import numpy as np

from advcourse import plots
from advcourse.core.inputs import InputError, check_range
from advcourse.plots.style import Numbers, as_numbers, check_mapping


class Players:
    """Sounds for display in a notebook: see `players`. Where no sound can be played, the spectrograms and their text remain."""

    def __init__(self, sounds: Mapping[str, bytes], picture: plots.AccessibleFigure):
        self.sounds, self.picture = dict(sounds), picture

    def __repr__(self):
        return repr(self.picture)

    def _repr_html_(self):
        heard = "".join(
            f'<div style="flex:0 1 200px"><div>{html.escape(name)}</div><audio controls preload="none" '
            f'aria-label="{html.escape(name)}" style="width:100%" src="data:audio/wav;base64,'
            f'{base64.b64encode(sound).decode()}"></audio></div>'
            for name, sound in self.sounds.items()
        )
        return f'<div style="display:flex;flex-wrap:wrap;gap:12px">{heard}</div>{self.picture._repr_html_()}'


def players(waves: Mapping[str, Numbers], rate: int, alt: str) -> Players:
    """Return sounds with a button each, above their spectrograms, for display.

    Args:
        waves: name -> (L,), in [-1, 1], 1 to 4 of them; what is louder is clipped.
        rate: samples a second.
        alt: a text of at least three words that describes the spectrograms.

    Raises:
        InputError: a wave is none, there are too many, or `alt` is not such a text.
    """
    check_mapping(waves, "waves")
    rate = check_range(rate, "rate", 1, integer=True)
    waves = {
        name: as_numbers(one, f"waves[{name!r}]").astype(float).clip(-1, 1) for name, one in waves.items()
    }
    if any(one.ndim != 1 or not len(one) or not np.isfinite(one).all() for one in waves.values()):
        raise InputError("waves: got something else than waves (L,) of finite numbers; allowed are those")
    picture = plots.show(plots.spectrograms(waves, rate), alt)
    return Players({name: wav(one, rate) for name, one in waves.items()}, picture)


def wav(samples: Numbers, rate: int) -> bytes:
    """Return a wave (L,) in [-1, 1] as the bytes of a WAV file, 16 bits, one channel."""
    steps = np.round(as_numbers(samples, "samples").astype(float).clip(-1, 1) * 32767).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(steps.tobytes())
    return file.getvalue()
