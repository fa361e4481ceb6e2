"""apps: 4 000 toy apps for the pocket phone, half of them malicious. The package ships their seeds, and makes them anew.

`load` reads the shipped set. Its file, written by `python -m advcourse.data.make_apps`, holds for each app its seed, its label,
and the CRC-32 of the manifest and program that the seed must give.
"""

import hashlib
import zipfile
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from advcourse.core.inputs import InputError, check_choice, check_range
from advcourse.data.apps.features import Vocabulary, extract
from advcourse.data.apps.making import App, make
from advcourse.data.balanced import draw_balanced
from advcourse.data.places import check_place, check_places

NAME = "apps"
FILE = Path(__file__).parent.parent / "files" / "apps.npz"
LICENCE = "that of this package (apps made by it)"
CLASSES = ("benign", "malicious")
SPLITS = {"train": (3000, 0), "test": (1000, 1_000_000)}  # apps and first seed
CHECKSUMS = {
    "train": "89fa8b05c8637386f190e69ab225aba7182494662d3d29ca6c0cb34506c37f61",
    "test": "2d71880409e873ec61989b9259b95de9fd8b24c3cba21c4175c9dabb897981e4",
}


class AppSet(Dataset):
    """Labelled apps, made from their seeds when they are asked for: a torch `Dataset` of (`App`, label).

    Args:
        seeds: int64 (N,).
        labels: int64 (N,), 0 for benign, 1 for malicious.
        sums: int64 (N,), the CRC-32 of what each seed must give, see `crc`.
        name, split, licence: where the apps come from, and on what terms.

    Raises:
        InputError: the three are not of one length.
    """

    classes = CLASSES

    def __init__(self, seeds: Tensor, labels: Tensor, sums: Tensor, *, name: str, split: str, licence: str):
        if not seeds.shape == labels.shape == sums.shape or seeds.dim() != 1:
            shapes = ", ".join(str(tuple(part.shape)) for part in (seeds, labels, sums))
            raise InputError(f"seeds, labels, sums: got shapes {shapes}; allowed is (N,) for all three")
        self.seeds, self.labels, self._sums = seeds, labels, sums
        self.name, self.split, self.licence = name, split, licence

    @classmethod
    def draw(cls, n: int, seed: int = 0) -> "AppSet":
        """Make `n` new apps, which are in no shipped split: those of the seeds that follow from `seed`.

        Raises:
            InputError: n or seed out of range.
        """
        check_range(n, "n", 0, 100_000, integer=True)
        check_range(seed, "seed", 0, 2**32 - 1, integer=True)
        seeds = range((seed + 1) * 10**8, (seed + 1) * 10**8 + n)
        return cls._of(seeds, split=f"drawn {seed}")

    @classmethod
    def _of(cls, seeds, split):
        apps = [make(seed) for seed in seeds]
        rows = [list(seeds), [app.label for app in apps], [crc(app) for app in apps]]
        return cls(
            *(torch.tensor(row, dtype=torch.int64) for row in rows), name=NAME, split=split, licence=LICENCE
        )

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, i: int) -> tuple[App, int]:
        i = check_place(i, len(self))
        seed = int(self.seeds[i])
        app = _made(seed)
        if crc(app) != int(self._sums[i]):
            raise InputError(
                f"apps: seed {seed} gives another app than it did when the set was made; install the package again"
            )
        return app, int(self.labels[i])

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"AppSet({self.name!r}, {self.split!r}: {len(self)} apps, {int(self.labels.sum())} malicious)"

    @property
    def apps(self) -> list[App]:
        """All apps, in order."""
        return [app for app, _ in self]

    @property
    def checksum(self) -> str:
        """The SHA-256 (hex) of seeds, labels and CRC-32 sums as little-endian int64: equal for equal sets."""
        return checksum_of(*(part.numpy() for part in (self.seeds, self.labels, self._sums)))

    def subset(self, indices: Sequence[int] | Tensor) -> "AppSet":
        """Return a new set of the apps at `indices` (numbers, or a bool for each app), in that order.

        Raises:
            InputError: there is no such place, or `indices` has another form.
        """
        indices = check_places(indices, len(self))
        parts = (part[indices] for part in (self.seeds, self.labels, self._sums))
        return AppSet(*parts, name=self.name, split=self.split, licence=self.licence)

    def first(self, n: int) -> "AppSet":
        """Return the set of the first n apps."""
        check_range(n, "n", 0, len(self), integer=True)
        return self.subset(range(n))

    def pick(self, n: int, seed: int = 0) -> "AppSet":
        """Draw n apps without replacement, half of them malicious (the odd one benign), as far as there are so many.

        Raises:
            InputError: n or seed out of range.
        """
        return self.subset(draw_balanced(self.labels, n, seed))

    def features(self, vocabulary: Vocabulary, reachable: bool = False) -> Tensor:
        """Return what a detector reads of each app: zeros and ones, float32, shape (N, D).

        Args:
            vocabulary: of the D features.
            reachable: whether only code that can run counts, see `extract` (default False).
        """
        rows = [vocabulary.vector(sets) for sets in self.extracted(reachable)]
        return torch.stack(rows) if rows else torch.zeros(0, len(vocabulary))

    def extracted(self, reachable: bool = False) -> list[dict[str, frozenset[str]]]:
        """Return the features of each app, by set, see `extract`."""
        return [_extracted(int(seed), reachable) for seed in self.seeds]


@lru_cache(maxsize=10_000)
def _extracted(seed, reachable):
    app = _made(seed)
    return extract(app.manifest, app.program, reachable)


@lru_cache(maxsize=10_000)
def _made(seed):
    return make(seed)


def crc(app: App) -> int:
    """Return the CRC-32 of an app's manifest, then its program, as UTF-8."""
    return zlib.crc32((app.manifest + app.program).encode())


def checksum_of(*columns: np.ndarray) -> str:
    """Return the SHA-256 (hex) of integer arrays as little-endian int64, one after another."""
    digest = hashlib.sha256()
    for column in columns:
        digest.update(np.ascontiguousarray(column, dtype="<i8"))
    return digest.hexdigest()


def load(split: str = "test") -> AppSet:
    """Load 3 000 training or 1 000 test apps.

    Raises:
        InputError: the split is unknown, or the file is missing or damaged.
    """
    check_choice(split, "split", tuple(SPLITS))
    columns = _read(FILE, split)
    return AppSet(*map(torch.from_numpy, columns), name=NAME, split=split, licence=LICENCE)


def _read(path, split):
    try:
        with np.load(path, allow_pickle=False) as arrays:
            columns = [arrays[f"{split}_{part}"].astype(np.int64) for part in ("seeds", "labels", "sums")]
    except FileNotFoundError:
        raise InputError(f"data file {path} is missing; install the package again") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"data file {path} is damaged ({error}); install the package again") from error
    if checksum_of(*columns) != CHECKSUMS[split]:
        raise InputError(
            f"data file {path} is damaged: split {split!r} has another checksum; install the package again"
        )
    return columns
