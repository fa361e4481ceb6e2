"""Finished cells on disk: one file each, which appears completely or not at all, under a key of all that determines it."""

import json
from dataclasses import asdict
from pathlib import Path

import safetensors
import safetensors.numpy

from advcourse.attacks import ThreatModel
from advcourse.core.files import check_folder, make_folder, replacing, sweep
from advcourse.evaluation.record import Names, Record
from advcourse.metrics import Efficiency

FORMAT = "advcourse evaluation 1"


class Store:
    """A folder of records by key. Several processes may write to it at the same time.

    Args:
        folder: the folder; created with the first record if it does not exist.

    Raises:
        InputError: `folder` is not a usable path.
    """

    def __init__(self, folder: Path | str):
        check_folder(folder)
        self.folder = Path(folder)
        sweep(self.folder)

    def path(self, key: str) -> Path:
        """Return the path of the record `key`, whether or not it exists."""
        return self.folder / f"{key}.safetensors"

    def get(self, key: str, names: Names) -> Record | None:
        """Return the record `key` with the given `names`; None if there is none or its file is damaged."""
        try:
            content = self.path(key).read_bytes()
            arrays, described = safetensors.numpy.load(content), _description(content)
            if described["format"] != FORMAT:
                return None
        except (OSError, ValueError, KeyError, safetensors.SafetensorError):
            return None
        groups = {"values": {}, "pictures": {}}
        for name, array in arrays.items():
            group, _, name = name.partition("/")
            groups[group][name] = array
        return Record(
            names,
            described["attack"],
            described["kind"],
            ThreatModel(**described["threat_model"]),
            described["identity"],
            described["picked"],
            Efficiency(**described["efficiency"]),
            described["clean"],
            **groups,
        )

    def put(self, key: str, record: Record) -> None:
        """Write a record under `key`, without its names, because two reports may name the same measurement differently."""
        described = asdict(record)
        arrays = {
            f"{group}/{name}": array
            for group in ("values", "pictures")
            for name, array in described.pop(group).items()
        }
        del described["names"]
        text = json.dumps({"format": FORMAT, **described})
        make_folder(self.folder)
        with replacing(self.path(key)) as partial:
            partial.write_bytes(safetensors.numpy.save(arrays, metadata={"record": text}))


def _description(content):
    """Return the description at the start of a safetensors file: eight bytes that give its length, then JSON."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["record"])
