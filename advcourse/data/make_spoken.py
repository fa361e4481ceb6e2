"""Make the file of `spoken` with the speech synthesiser eSpeak NG: `python -m advcourse.data.make_spoken`.

The program `espeak-ng` is needed only here, as Debian's package of that name installs it. Version 1.51 gives the shipped clips.
"""

import io
import lzma
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from scipy.signal import resample_poly

from advcourse.core.files import replacing
from advcourse.data import spoken
from advcourse.data.base import pixel_checksum

ACCENTS = ("en-gb", "en-us", "en-gb-scotland", "en-gb-x-gbclan", "en-029")
SPEAKERS = {
    "train": "m1 m2 m4 m5 m7 m8 f1 f3 f4 Alex Andrea steph2".split(),
    "test": "m3 m6 f2 f5".split(),
}
SEED = 0
_HEADER = (
    44  # bytes before the samples of a WAV file; their number in it is not known when it is written to a pipe
)
_ORIGINAL = 22050  # eSpeak NG's samples a second
_PEAK, _SILENT, _AROUND = (
    0.8,
    0.004,
    80,
)  # the loudest sample, what counts as silence, and how much of it is kept


def say(word: str, voice: str, speed: int, pitch: int) -> np.ndarray:
    """Return a spoken word as a wave of 8 000 samples a second, float64, in [-1, 1].

    Args:
        word: what is said.
        voice: accent and speaker, such as "en-us+f2".
        speed: words a minute.
        pitch: 0 to 99, 50 is the voice's own.
    """
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", word]
    try:
        written = subprocess.run(command, capture_output=True, check=True).stdout
    except FileNotFoundError:
        raise SystemExit(
            "make_spoken needs the program espeak-ng, which is missing: install the package espeak-ng"
        ) from None
    wave = np.frombuffer(written[_HEADER:], "<i2").astype(float) / 2**15
    return resample_poly(wave, spoken.RATE // 50, _ORIGINAL // 50)


def trimmed(wave: np.ndarray) -> np.ndarray:
    """Return a wave scaled to one peak, without the silence at its ends, and with silence for what is very quiet."""
    wave = wave * (_PEAK / np.abs(wave).max())
    wave = np.where(np.abs(wave) < _SILENT, 0, wave)
    loud = np.flatnonzero(np.abs(wave) > 0.02 * _PEAK)
    return wave[max(0, loud[0] - _AROUND) : loud[-1] + _AROUND]


def _clip(word, voice, random):
    """Return a clip that fits, and where it starts; one that is too long is spoken again, faster."""
    speed, pitch = int(random.integers(130, 201)), int(random.integers(25, 76))
    while len(wave := trimmed(say(word, voice, speed, pitch))) > spoken.LENGTH - 100:
        speed += 20
    return wave, int(random.integers(0, spoken.LENGTH - len(wave) + 1))


def build(path: Path = spoken.FILE) -> dict[str, str]:
    """Write the file; return the checksum of each split."""
    random, arrays, checksums = np.random.default_rng(SEED), {}, {}
    for split, speakers in SPEAKERS.items():
        said = [(f"{a}+{s}", k) for s in speakers for a in ACCENTS for k in range(len(spoken.CLASSES))]
        said = [said[i] for i in random.permutation(len(said))]
        clips = [_clip(spoken.CLASSES[k], voice, random) for voice, k in said]
        codes = [spoken.encode(torch.from_numpy(wave)).numpy() for wave, _ in clips]
        starts = np.array([start for _, start in clips], np.uint16)
        labels = np.array([k for _, k in said], np.uint8)
        whole = np.full((len(said), 1, 1, spoken.LENGTH), 128, np.uint8)
        for row, piece, start in zip(whole, codes, starts):
            row[0, 0, start : start + len(piece)] = piece
        checksums[split] = pixel_checksum(whole, labels)
        ends = starts + np.array([len(piece) for piece in codes], np.uint16)
        parts = {"codes": np.concatenate(codes), "starts": starts, "ends": ends, "labels": labels}
        parts["voices"] = np.array([voice for voice, _ in said])
        arrays |= {f"{split}_{name}": part for name, part in parts.items()}
    file = io.BytesIO()
    np.savez(file, **arrays)
    with replacing(path) as partial:
        partial.write_bytes(lzma.compress(file.getvalue(), preset=9 | lzma.PRESET_EXTREME))
    return checksums


def main() -> int:
    """Write the file and print its checksums; return 1 if they are not those in the code, else 0."""
    checksums = build()
    for split, checksum in checksums.items():
        print(f'"{split}": "{checksum}",')
    if checksums != spoken.CHECKSUMS:
        print(
            "these differ from spoken.CHECKSUMS: the set is no longer the one that the course was measured on"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
