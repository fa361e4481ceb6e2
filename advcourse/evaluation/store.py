"""Finished cells on disk: one file each, which appears whole or not at all, and is found again by what determines it."""

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
    """A folder of records by key, made with the first one. Several processes may write to it at once."""

    def __init__(self, folder: Path | str):
        check_folder(folder)
        self.folder = Path(folder)
        sweep(self.folder)

    def path(self, key: str) -> Path:
        """Where the record `key` is, or would be."""
        return self.folder / f"{key}.safetensors"

    def get(self, key: str, names: Names) -> Record | None:
        """The record `key`, called `names`; None where there is none, or where its file is damaged."""
        try:
            content = self.path(key).read_bytes()
            arrays, told = safetensors.numpy.load(content), _told(content)
            if told["format"] != FORMAT:
                return None
        except (OSError, ValueError, KeyError, safetensors.SafetensorError):
            return None
        groups = {"values": {}, "pictures": {}}
        for name, array in arrays.items():
            group, _, name = name.partition("/")
            groups[group][name] = array
        return Record(
            names,
            told["attack"],
            told["kind"],
            ThreatModel(**told["threat_model"]),
            told["identity"],
            told["picked"],
            Efficiency(**told["efficiency"]),
            told["clean"],
            **groups,
        )

    def put(self, key: str, record: Record) -> None:
        """Write a record. Its names are not part of it: one measurement may be called differently in two reports."""
        told = asdict(record)
        arrays = {
            f"{group}/{name}": array
            for group in ("values", "pictures")
            for name, array in told.pop(group).items()
        }
        del told["names"]
        text = json.dumps({"format": FORMAT, **told})
        make_folder(self.folder)
        with replacing(self.path(key)) as partial:
            partial.write_bytes(safetensors.numpy.save(arrays, metadata={"record": text}))


def _told(content):
    """The description in the head of a safetensors file: eight bytes of its length, then JSON."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["record"])
