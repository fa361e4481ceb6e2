"""Spoken digits: mu-law, the shipped set, and the script that makes it."""

import lzma
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from advcourse import data
from advcourse.core.inputs import InputError
from advcourse.data import make_spoken, spoken


@pytest.fixture
def fresh_cache():
    for each in (spoken._arrays, spoken._clips):
        each.cache_clear()
    yield
    for each in (spoken._arrays, spoken._clips):
        each.cache_clear()


def test_mu_law_is_the_formula():
    """Against sgn(w) ln(1 + 255 |w|) / ln 256 in numpy, and its inverse (256^|s| - 1) / 255, over all codes; silence is exact."""
    wave = np.linspace(-1, 1, 4001)
    pressed = np.sign(wave) * np.log(1 + 255 * np.abs(wave)) / np.log(256)
    found = spoken.encode(torch.from_numpy(wave)).numpy()
    assert np.array_equal(found, np.rint(127 * pressed) + 128) and (found[2000], found[0], found[-1]) == (
        128,
        1,
        255,
    )
    codes = torch.arange(1, 256).to(torch.uint8)
    back = (np.arange(1, 256) - 128) / 127
    expected = np.sign(back) * (256 ** np.abs(back) - 1) / 255
    np.testing.assert_allclose(spoken.decode(codes).numpy(), expected, rtol=1e-6, atol=1e-9)
    assert torch.equal(spoken.encode(spoken.decode(codes)), codes) and spoken.decode(codes)[127] == 0


@pytest.mark.parametrize("split, n", [("train", 600), ("test", 200)])
def test_the_shipped_set(split, n):
    """Against the promises of a data set: shapes, balance, licence, checksum; silence is grey, and every clip has one peak."""
    loaded = data.load("spoken", split)
    assert loaded.images.shape == (n, 1, 1, 6000) and loaded.labels.bincount().tolist() == [n // 10] * 10
    assert (
        loaded.checksum == spoken.CHECKSUMS[split] and "eSpeak NG" in loaded.licence and loaded.rate == 8000
    )
    assert loaded.classes[3] == "three" and (loaded.images == 0.5).double().mean() > 0.2
    peaks = loaded.waves.abs().amax(1)
    assert peaks.min() > 0.75 and peaks.max() < 0.85
    assert torch.equal(spoken.as_images(loaded.waves), loaded.images)
    part = loaded.subset([3, 1])
    assert isinstance(part, spoken.WaveSet) and torch.equal(part.images, loaded.images[[3, 1]])
    assert repr(part) == f"WaveSet('spoken', '{split}': 2 sounds of 6000 samples, 10 classes)"
    assert spoken.FILE.stat().st_size < 2_000_000


def test_the_voices_of_the_test_are_not_in_training():
    """Against the script's lists of speakers: 12 and 4, in five accents, each clip with its own."""
    speakers = {split: {voice.split("+")[1] for voice in spoken.voices(split)} for split in ("train", "test")}
    assert speakers == {split: set(names) for split, names in make_spoken.SPEAKERS.items()}
    assert not speakers["train"] & speakers["test"] and len(spoken.voices("test")) == 200
    assert {voice.split("+")[0] for voice in spoken.voices("test")} == set(make_spoken.ACCENTS)


@pytest.mark.parametrize("case", ["missing", "no archive", "cut", "another sample"])
def test_a_damaged_file_is_refused(case, tmp_path, monkeypatch, fresh_cache):
    """Against files damaged in four ways; the message names the file."""
    path, content = tmp_path / "spoken.npz.xz", spoken.FILE.read_bytes()
    if case == "no archive":
        path.write_bytes(b"no archive")
    if case == "cut":
        path.write_bytes(content[:5000])
    if case == "another sample":  # 30 000 bytes into the samples of the first array
        raw = bytearray(lzma.decompress(content))
        raw[30_000] ^= 1
        path.write_bytes(lzma.compress(bytes(raw), preset=0))
    monkeypatch.setattr(spoken, "FILE", path)
    with pytest.raises(InputError, match=f"spoken.npz.xz is {'missing' if case == 'missing' else 'damaged'}"):
        data.load("spoken", "train")
    with pytest.raises(InputError, match="split: got 'val'; allowed are 'train', 'test'"):
        data.load("spoken", "val")


# ---- the script ----


def tone(hertz, seconds=0.5, rate=22050):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def test_speech_comes_at_eight_thousand_samples(monkeypatch):
    """Against a synthesiser that says a tone of 440 Hz, 44 bytes after the start: as many periods a second, as loud."""
    said = bytes(44) + (tone(440) * 2**15).astype("<i2").tobytes()
    calls = []
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: calls.append(command) or SimpleNamespace(stdout=said)
    )
    wave = make_spoken.say("one", "en-us+f2", 150, 40)
    assert calls == [["espeak-ng", "-v", "en-us+f2", "-s", "150", "-p", "40", "--stdout", "one"]]
    middle = wave[400:-400]
    assert abs(len(wave) - 4000) <= 1
    np.testing.assert_allclose(
        middle, 0.5 * np.sin(2 * np.pi * 440 * (400 + np.arange(len(middle))) / 8000), atol=0.01
    )


def test_clips_are_trimmed_and_scaled():
    """Against a wave written out: 80 samples stay on either side of the loud part, and the peak is 0.8."""
    wave = np.zeros(3000)
    wave[1000:2000] = tone(400, 0.125, 8000) / 2
    wave[200] = 0.0005
    found = make_spoken.trimmed(wave)
    assert abs(len(found) - 1160) <= 6 and np.abs(found).max() == pytest.approx(0.8)
    assert np.all(found[:78] == 0) and np.all((found == 0) | (np.abs(found) >= 0.004))


def test_a_missing_program_is_named(monkeypatch):
    """Against a machine without the synthesiser."""

    def missing(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", missing)
    with pytest.raises(SystemExit, match="needs the program espeak-ng"):
        make_spoken.say("one", "en", 150, 50)


def test_the_script_writes_what_load_reads(tmp_path, monkeypatch, fresh_cache):
    """Against a synthesiser of tones, with one speaker a split: each clip is found again, at its place, under its label."""
    monkeypatch.setattr(make_spoken, "SPEAKERS", {"train": ["a"], "test": ["b"]})
    monkeypatch.setattr(make_spoken, "ACCENTS", ("en",))
    slow = []

    def say(word, voice, speed, pitch):
        slow.append(speed)
        longest = 0.9 if word == "nine" and speed < 210 else 0.3  # too long at first: said again, faster
        return tone(300 + 100 * spoken.CLASSES.index(word), longest, 8000)

    monkeypatch.setattr(make_spoken, "say", say)
    path = tmp_path / "spoken.npz.xz"
    monkeypatch.setattr(spoken, "CHECKSUMS", make_spoken.build(path))
    monkeypatch.setattr(spoken, "FILE", path)
    loaded = data.load("spoken", "test")
    assert len(slow) > 20 and sorted(loaded.labels.tolist()) == list(range(10))
    pitch = torch.fft.rfft(loaded.waves).abs().argmax(1) * 8000 / 6000
    assert ((pitch - (300 + 100 * loaded.labels)).abs() <= 4).all() and spoken.voices("test") == (
        "en+b",
    ) * 10
