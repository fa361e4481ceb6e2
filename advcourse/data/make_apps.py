"""Make the file of `apps`, the seeds of the shipped toy apps: `python -m advcourse.data.make_apps`.

Every app is run on the pocket phone, which must find what it was designed to do.
"""

import sys
from pathlib import Path

import numpy as np

from advcourse.core.files import replacing
from advcourse.data.apps import appset
from advcourse.data.apps.making import check, make


def build(path: Path = appset.FILE) -> dict[str, str]:
    """Make and check all apps of the shipped set, and write its file; return the checksum of each split."""
    arrays, checksums = {}, {}
    for split, (n, first) in appset.SPLITS.items():
        apps = [make(seed) for seed in range(first, first + n)]
        for app in apps:
            check(app)
        columns = (
            np.arange(first, first + n),
            np.array([a.label for a in apps]),
            np.array([appset.crc(a) for a in apps]),
        )
        checksums[split] = appset.checksum_of(*columns)
        names = (("seeds", np.uint32), ("labels", np.uint8), ("sums", np.uint32))
        arrays |= {f"{split}_{part}": column.astype(kind) for (part, kind), column in zip(names, columns)}
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return checksums


def main() -> int:
    """Write the file and print its checksums; return 1 if they are not those in the code, else 0."""
    checksums = build()
    for split, checksum in checksums.items():
        print(f"{split}: {checksum}")
    if checksums != appset.CHECKSUMS:
        print(
            "these differ from appset.CHECKSUMS: the apps are no longer those that the course was measured on"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
