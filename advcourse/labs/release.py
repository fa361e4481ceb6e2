"""The labs' notebooks: the students' copies in exercises/ are made from solutions/, by nbgrader's own preprocessors."""

from pathlib import Path
from typing import TYPE_CHECKING

from advcourse.core.errors import InputError
from advcourse.core.files import replacing

if TYPE_CHECKING:
    from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent.parent


def labs(root: Path | str | None = None, kept: str = "solutions") -> tuple[str, ...]:
    """The names of the labs, lab2 before lab10: the folders of solutions/ that hold a notebook.

    Args:
        root: the clone (default: the one that the package is installed from).
        kept: "exercises" for the folders of the students' copies.

    Raises `InputError` where that folder is missing.
    """
    folder = (Path(root) if root else ROOT) / kept
    if not folder.is_dir():
        raise InputError(
            f"root: {folder} is not there; allowed is a clone of the project, which holds {kept}/"
        )
    return tuple(sorted({path.parent.name for path in folder.glob("*/*.ipynb")}, key=in_order))


def in_order(name: str) -> tuple[int, str]:
    """A key that sorts names of labs by their numbers: lab2 before lab10."""
    return len(name), name


def release(
    lab: str | None = None, out: Path | str | None = None, root: Path | str | None = None
) -> list[Path]:
    """Make the students' copies: answers, hidden tests and outputs removed, tests and explanations locked.

    Args:
        lab: the lab's name (default: all labs).
        out: folder that gets one folder a lab (default: exercises/ of the clone).
        root: the clone (default: the one that the package is installed from).

    Returns the paths written. The same solutions give the same bytes, and cell ids stay. Raises `InputError` for an unknown lab
    and where nbgrader is missing.
    """
    import nbformat

    root = Path(root) if root else ROOT
    out = Path(out) if out else root / "exercises"
    written = []
    for path in _notebooks(lab, root):
        copy = student_copy(nbformat.read(path, as_version=4))
        target = out / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as partial:
            nbformat.write(copy, partial)
        written.append(target)
    return written


def student_copy(notebook: "NotebookNode") -> "NotebookNode":
    """The student's copy of an author's notebook, as `nbgrader generate_assignment` makes it; the argument stays as it is."""
    import nbformat

    from advcourse.course.notebooks import METADATA

    try:
        from nbgrader import preprocessors
    except ImportError as error:
        raise InputError(
            f"nbgrader is not installed ({error}); install it with: pip install nbgrader"
        ) from error
    copy, resources = nbformat.from_dict(notebook), {}
    for name in (
        "LockCells",
        "ClearSolutions",
        "ClearOutput",
        "CheckCellMetadata",
        "ClearHiddenTests",
        "ClearMarkScheme",
        "ComputeChecksums",
        "CheckCellMetadata",
    ):
        copy, resources = getattr(preprocessors, name)().preprocess(copy, resources)
    copy.metadata = nbformat.from_dict(METADATA)
    return copy


def refresh(lab: str | None = None, root: Path | str | None = None) -> list[Path]:
    """Run the authors' notebooks and store them with their new outputs, in place. Returns their paths.

    Raises nbclient's `CellExecutionError` where a cell fails; that notebook is then left as it was.
    """
    import nbformat
    from nbclient import NotebookClient

    from advcourse.course.notebooks import KERNEL, METADATA, QUIET

    root = Path(root) if root else ROOT
    paths = _notebooks(lab, root)
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        resources = {"metadata": {"path": str(path.parent)}}
        how = {"kernel_name": KERNEL, "extra_arguments": QUIET, "record_timing": False}
        NotebookClient(notebook, resources=resources, **how).execute()
        notebook.metadata = nbformat.from_dict(METADATA)
        with replacing(path) as partial:
            nbformat.write(notebook, partial)
    return paths


def _notebooks(lab, root):
    from advcourse.core.inputs import (
        check_choice,  # imports torch, which who only looks for the labs does without
    )

    chosen = labs(root) if lab is None else (check_choice(lab, "lab", labs(root)),)
    return [path for name in chosen for path in sorted((root / "solutions" / name).glob("*.ipynb"))]
