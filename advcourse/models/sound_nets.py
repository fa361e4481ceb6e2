"""A net that hears: from a wave as an image of height 1, through a log-mel spectrogram, to logits."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def mel_filters(bands: int, bins: int, rate: int) -> Tensor:
    """Return triangular filters (bands, bins), evenly spaced on the mel scale, m = 2595 log10(1 + f / 700), up to rate / 2.

    Each filter rises from the centre of the one before to 1 at its own, and falls to 0 at the centre of the next.
    """
    highest = 2595 * math.log10(1 + rate / 2 / 700)
    mels = torch.linspace(0, highest, bands + 2, dtype=torch.float64)
    edges = 700 * (10 ** (mels / 2595) - 1)
    hertz = torch.linspace(0, rate / 2, bins, dtype=torch.float64)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    return (
        torch.minimum((hertz - low) / (centre - low), (high - hertz) / (high - centre)).clamp_min(0).float()
    )


class Spectrogram(nn.Module):
    """The layer log(mel power + 1e-4): from sounds as images (N, 1, 1, L) in [0, 1] to (N, bands, frames).

    A Hann window of `window` samples moves by `hop` samples; the wave is reflected at its ends, so there are 1 + L // hop frames.

    Args:
        rate: samples a second (default 8000).
        window, hop: in samples (defaults 256 and 80, 32 ms and 10 ms).
        bands: of the mel scale (default 32).
    """

    def __init__(self, rate: int = 8000, window: int = 256, hop: int = 80, bands: int = 32):
        super().__init__()
        self.window, self.hop = window, hop
        self.register_buffer("shape", torch.hann_window(window), persistent=False)
        self.register_buffer("filters", mel_filters(bands, window // 2 + 1, rate), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        wave = x.flatten(1) * 2 - 1
        reach = self.window // 2
        wide = F.pad(wave[:, None], (reach, reach), mode="reflect")[:, 0]
        bins = torch.fft.rfft(wide.unfold(1, self.window, self.hop) * self.shape.to(wave))
        power = (bins.real.square() + bins.imag.square()).transpose(1, 2)
        return (self.filters.to(power) @ power + 1e-4).log()


class DigitHearer(nn.Module):
    """Three convolutions over the time of a log-mel spectrogram, and the mean and the maximum over time, for 1 x 1 x L.

    Args:
        classes: K (default 10).
    """

    def __init__(self, classes: int = 10):
        super().__init__()
        self.spectrogram = Spectrogram()
        self.layers = nn.Sequential(
            nn.Conv1d(32, 48, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Conv1d(48, 48, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Conv1d(48, 64, 3, padding=1),
            nn.ReLU(),
        )
        self.last = nn.Linear(128, classes)

    def forward(self, x: Tensor) -> Tensor:
        states = self.layers((self.spectrogram(x) + 4) / 4)
        return self.last(torch.cat([states.mean(2), states.amax(2)], 1))
