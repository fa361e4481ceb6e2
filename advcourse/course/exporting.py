"""Chapters as pages for a browser, on which what JupyterLab folds stays folded: `advcourse export`."""

from pathlib import Path
from typing import Annotated

import typer

from advcourse.core.files import check_folder, replacing

# For nbconvert, in `advcourse export` and in the menu of `advcourse lab`.
TEMPLATE = Path(__file__).parent / "templates" / "folded"


def as_page(chapter: Path | str) -> str:
    """Return the notebook `chapter`, with its stored outputs, as HTML. A click opens what is folded.

    All is in the page but the program that typesets formulas, which the browser loads from the network.
    """
    from nbconvert import HTMLExporter  # slow to import, and needed only here

    exporter = HTMLExporter(template_name=TEMPLATE.name, extra_template_basedirs=[str(TEMPLATE.parent)])
    page, _ = exporter.from_filename(str(chapter))
    return page


def export(
    chapter: Annotated[list[str] | None, typer.Argument(help='By number ("2") or name; all if none.')] = None,
    out: Annotated[Path, typer.Option(help="Folder for the pages.")] = Path("build/pages"),
) -> None:
    """Write chapters, with their stored outputs, as pages for a browser; what is folded stays folded."""
    from advcourse.course import notebooks

    check_folder(out, "out")
    paths = notebooks.select(chapter or [], notebooks.checkout())
    out.mkdir(parents=True, exist_ok=True)
    for path in paths:
        page = out / f"{path.stem}.html"
        with replacing(page) as partial:
            Path(partial).write_text(as_page(path), encoding="utf-8")
        typer.echo(f"Wrote {page}")


def add_to(app: typer.Typer) -> None:
    """Add the command to the program's."""
    app.command()(export)
