"""Build the library that a student's code sees during grading: what a lab's questions are made of, and no answers.

Both parts are lists of what is allowed. Of advcourse itself, a few files are copied; of the other packages, those that
students may use are there, with what they require. Nothing else that is installed is there, such as other libraries of
attacks.
"""

import importlib
import importlib.metadata
import os
import shutil
from functools import cache
from pathlib import Path

from packaging.requirements import Requirement

from advcourse.grading.read.submission import labs
from advcourse.labs.victims import SHIPPED

PACKAGE = Path(__file__).resolve().parents[2]
NETS = (*SHIPPED, "signs-cnn", "signs-phone")  # whose weights are victims' or those of other recipes
FILES = (
    "__init__.py",
    "_moved.py",
    "core/__init__.py",
    "core/errors.py",
    "core/files.py",
    "core/inputs.py",
    "core/randomness.py",
    "data/apps/android.py",
    "data/apps/manifest.py",
    "data/apps/phone.py",
    "data/apps/program.py",
    "grading/__init__.py",
    "grading/run/__init__.py",
    "grading/run/loading.py",
    "grading/run/notebook.py",
    "grading/run/refusals.py",
    "grading/run/traces.py",
    "grading/run/widgets.py",
    "grading/run/wire.py",
    "grading/run/worker.py",
    "labs/__init__.py",
    "labs/running.py",
    "labs/victims.py",
    "models/__init__.py",
    "models/autoencoder.py",
    "models/game_nets.py",
    "models/nets.py",
    "models/pixelcnn.py",
    "models/sound_nets.py",
    "models/store.py",
    "models/word_nets.py",
    *(f"models/weights/{name}{ending}" for name in NETS for ending in (".json", ".safetensors")),
)
ALLOWED = (
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "matplotlib",
    "tqdm",
    "safetensors",
)
EMPTY = ("data/__init__.py", "data/apps/__init__.py")  # what they import in the library is not there
_IDLE = '''"""What a lab gives to its answers. The rest of it has no part in grading, and does nothing."""


class _Nothing:
    def __call__(self, *_, **__):
        return self


{names} = _Nothing()
'''


def stage(folder: Path | str) -> None:
    """Copy the allowed files of advcourse into `folder`, and of each lab what its notebook gives to answers (its `given`)."""
    package = Path(folder) / "advcourse"
    for name in FILES:
        target = package / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PACKAGE / name, target)
    for name in EMPTY:
        (package / name).touch()
    for lab in labs():
        _stage_lab(lab, package / "labs" / lab)


def _stage_lab(lab, folder):
    folder.mkdir()
    names = importlib.import_module(f"advcourse.labs.{lab}").__all__
    given, text = PACKAGE / "labs" / lab / "given.py", ""
    if given.exists():
        module = importlib.import_module(f"advcourse.labs.{lab}.given")
        own = [name for name in names if getattr(module, name, None) is not None]
        names = [name for name in names if name not in own]
        shutil.copyfile(given, folder / "given.py")
        text = f"from advcourse.labs.{lab}.given import {', '.join(own)}\n"
    (folder / "__init__.py").write_text(_IDLE.format(names=" = ".join(names)) + text, encoding="utf-8")


@cache
def packages() -> dict[str, Path]:
    """Return where the allowed packages are: name of a file or folder of site-packages -> its path."""
    paths, waiting = {}, list(ALLOWED)
    seen = set(waiting)
    while waiting:
        try:
            package = importlib.metadata.distribution(waiting.pop())
        except importlib.metadata.PackageNotFoundError:
            continue
        for name in {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}:
            if not name.endswith(".pth"):
                paths[name] = Path(os.path.abspath(package.locate_file(name)))
        for requirement in map(Requirement, package.requires or ()):
            wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if wanted and requirement.name not in seen:
                seen.add(requirement.name)
                waiting.append(requirement.name)
    return {name: path for name, path in sorted(paths.items()) if path.exists()}
