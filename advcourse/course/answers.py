"""What a guess is compared with, as a notebook shows it."""

import html

from matplotlib.figure import Figure

from advcourse import plots


class Answer:
    """What a guess is compared with: the truth in words, with a figure where one helps. It shows itself in a notebook.

    Attributes:
        text: guess and truth in words.
        error: how far off the guess was, as a share of the scale, 0 to 1; None without a guess.
        figure: guess and truth drawn; None where there is nothing to draw.
        shown: the result itself, a figure from `plots.show`; None without one.
    """

    def __init__(
        self, text: str, error: float | None, figure: Figure | None, shown: plots.AccessibleFigure | None
    ):
        self.text, self.error, self.figure, self.shown = text, error, figure, shown

    def __repr__(self):
        return self.text

    def _repr_html_(self):
        told = f'<p role="status">{html.escape(self.text)}</p>'
        drawn = plots.show(self.figure, self.text) if self.figure else None
        page = told + "".join(picture._repr_html_() for picture in (drawn, self.shown) if picture)
        return (
            page if self.error is not None else f"<details><summary>Show the answer</summary>{page}</details>"
        )
