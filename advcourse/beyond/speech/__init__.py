"""Sound: attacks on a net that hears spoken digits, the loudness of what they add, and rooms. `models.load("spoken-digits")`.

A wave is an image of height 1, so the library's attacks run on it, too:

    >>> model, (x, y) = models.load("spoken-digits"), data.load("spoken").pick(20)
    >>> attacks.PGD(eps=0.003, steps=20).run(model, x, y).success_rate
    >>> result = speech.CWAudio().run(model, x, y, target=(y + 1) % 10)
    >>> result.size.median()  # dB beside the sound's peak
"""

from advcourse.beyond.speech.attack import CWAudio, RoomEOT
from advcourse.beyond.speech.augmenting import shaken
from advcourse.beyond.speech.rooms import (
    Room,
    Smoothing,
    Telephone,
    decibels,
    equal_noise,
    share_heard,
    signal_to_noise,
)

__all__ = [
    "CWAudio",
    "Room",
    "RoomEOT",
    "Smoothing",
    "Telephone",
    "decibels",
    "equal_noise",
    "shaken",
    "share_heard",
    "signal_to_noise",
]
