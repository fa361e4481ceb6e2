"""What the tests of settings files share: short files, and what is told of bad ones."""

from pathlib import Path

import pytest

from advcourse.core.inputs import InputError
from advcourse.evaluation.settings import read

BASE = "data: {name: mnist-5k, images: 4}\nmodels: mnist-mlp\n"  # two lines; attacks are wanting
KEYS = "title, data, models, attacks, target, seed, device, threads, batch, transformations, pictures"

# Every key.
GOOD = """title: Table 1 on digits
data: {name: mnist-5k, split: test, images: 4, seed: 3}
models: [mnist-mlp, {name: mnist-cnn}]
attacks:
  - FGSM  # its defaults
  - {attack: PGD, eps: [0.05, 1], steps: 100, restarts: 5}
  - {attack: CWL2, targeted: true, name: "C&W L2, targeted"}
target: next
seed: 2
device: auto
threads: 2
batch: 32
transformations: [{noise: 0.2}, {blur: 1}, {jpeg: 80}, 8-bit, {phone: 1, seed: 5}]
pictures: 2
"""


def write(text, path="m.yml"):
    """The path of a file with this text, in the current folder unless `path` says otherwise."""
    Path(path).parent.mkdir(exist_ok=True)
    Path(path).write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def told(text, path="m.yml", **options):
    """The lines of the error that a file with this text brings."""
    with pytest.raises(InputError) as error:
        read(write(text, path), **options)
    return str(error.value).splitlines()
