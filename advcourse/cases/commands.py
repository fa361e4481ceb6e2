"""The commands `advcourse print` and `advcourse read`: a sheet of images on paper, and what a photograph of it shows."""

from pathlib import Path
from typing import Annotated

import typer

from advcourse.core.errors import InputError
from advcourse.core.files import check_target, replacing


def add_to(app: typer.Typer) -> None:
    """Add the commands to the program's."""
    app.command("print")(print_sheet)
    app.command("read")(read_photograph)


def print_sheet(
    path: Annotated[Path, typer.Argument(help="PDF to write; a JSON file is written beside it.")] = Path(
        "sheet.pdf"
    ),
    model: Annotated[str, typer.Option(help="Shipped model that is to read the images.")] = "signs-phone",
    attack: Annotated[str, typer.Option(help="PGD, FGSM, EOT-PGD, or another with a budget.")] = "PGD",
    eps: Annotated[
        float | None,
        typer.Option(help="Budget, of 1; default: 16/255, for digits 0.3.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="Chooses the images and the noise.")] = 0,
) -> None:
    """Write a PDF of thirty clean, noisy and attacked images, to print and photograph. Never put it on a real road sign."""
    from advcourse.cases import sheet as sheets

    sheets.check_path(path)
    sheet, images = sheets.compose(model, attack, eps, seed)
    beside = sheets.write(path, sheet, images)
    typer.echo(f"Sheet {sheet.id.upper()}: {path}\nPrint its first page, photograph it, and then:")
    typer.echo(f"advcourse read photo.jpg --sheet {beside}\n{sheets.WARNING}")


def read_photograph(
    photo: Annotated[Path, typer.Argument(help="Photograph of a printed sheet.", show_default=False)],
    sheet: Annotated[Path, typer.Option(help="The JSON file beside the sheet's PDF.")] = Path("sheet.json"),
    corners: Annotated[
        tuple[str, str, str, str] | None,
        typer.Option(
            help="If the markers are not found: the outer corners of the four, in pixels, as x,y x,y x,y x,y, from the "
            "sheet's top left clockwise.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the photograph with each image framed and named.", show_default=False),
    ] = None,
) -> None:
    """Find the images of a printed sheet in a photograph, and say how the model reads each."""
    from advcourse.cases import reading
    from advcourse.cases import sheet as sheets

    if out:
        check_target(out, "out")
        if out.suffix.lower() not in (".png", ".jpg", ".jpeg"):
            raise InputError(f"out: got {str(out)!r}; allowed is a name that ends in .png or .jpg")
        if out.exists() and photo.exists() and out.samefile(photo):
            raise InputError(f"out: got {str(out)!r}, the photograph itself; allowed is another file")
    by_hand = corners and [_point(words) for words in corners]
    result = reading.read(reading.opened(photo), sheets.load(sheet), by_hand)
    typer.echo(f"{result.table().to_string()}\n\n{result.summary().to_string()}")
    if out:
        with replacing(out) as partial:
            result.framed().save(partial)
        typer.echo(f"Photograph: {out}")


def _point(words):
    """Return the numbers x and y of a text such as "120,85"."""
    try:
        x, y = map(float, words.split(","))
    except ValueError:
        raise InputError(f"corners: got {words!r}; allowed are two numbers, such as 120,85") from None
    return x, y
