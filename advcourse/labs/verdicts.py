"""What a check says: a verdict in words, with the offending picture, for a notebook, a terminal or a program."""

import base64
import html
import re
from dataclasses import dataclass

import torch

from advcourse import plots

RIGHT, WRONG, NOT_ATTEMPTED, CRASHED = "right", "wrong", "not attempted yet", "crashed"
TIMED_OUT, NO_PYTHON = "timed out", "does not compile"
LOOK = {  # the word is always there; the sign and the colour of the bar only help to find it
    RIGHT: ("✓", "#1b7837"),
    WRONG: ("✗", "#b35806"),
    NOT_ATTEMPTED: ("…", "#777777"),
    CRASHED: ("!", "#762a83"),
    TIMED_OUT: ("◔", "#a6611a"),
    NO_PYTHON: ("✎", "#762a83"),
}


_PICTURES = "Three pictures: "  # so an alternative text begins


@dataclass(frozen=True)
class Picture:
    """One image before and after: clean | yours | change. Both are tensors of shape (C, H, W).

    `beside` says what the first one is: "clean", or "right", an image as it should be, and then the third is the difference.
    """

    clean: torch.Tensor
    yours: torch.Tensor
    beside: str = "clean"

    @property
    def _third(self):
        return "change" if self.beside == "clean" else "difference"

    @property
    def _change(self):
        change = self.yours - self.clean
        return change if change.abs().max() > 1e-5 else torch.zeros_like(change)  # less is rounding

    @property
    def alt(self) -> str:
        """The picture in words."""
        change = self._change
        return (
            f"{_PICTURES}the {self.beside} image; yours, with values from {self.yours.min():.2f} to {self.yours.max():.2f}; "
            f"and the {self._third}, from {change.min():+.3f} to {change.max():+.3f}."
        )

    def png(self) -> bytes:
        """The picture as PNG bytes."""
        change = self._change
        factor = plots.magnification(change)
        figure, axes = plots.image_axes(
            [[self.beside, "yours", f"{self._third} × {factor:g}\nbright: lighter"]]
        )
        for axis, image in zip(axes[0], (self.clean, self.yours)):
            axis.imshow(_rgb(image), interpolation="nearest")
        axes[0, 2].imshow(plots.change_picture(change, factor), interpolation="nearest")
        return plots.png(figure)


def _rgb(image):
    return image.detach().float().clamp(0, 1).expand(3, -1, -1).movedim(0, -1).numpy()


def image_tag(png: bytes, alt: str) -> str:
    """An HTML image that carries its PNG bytes, and its words for those who do not see it."""
    return (
        f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{base64.b64encode(png).decode()}" '
        f'style="max-width: 100%">'
    )


def without_pictures(alt: str) -> str:
    """What a picture shows, by its alternative text, for a terminal, where there is none; "" for no picture."""
    return f"The notebook also shows a picture: {alt.removeprefix(_PICTURES)}" if alt else ""


def marked_up(text: str) -> str:
    """Plain text as HTML; what stands between backticks becomes code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(text))


def repeat(outcome: str, task: str, seed: int) -> str:
    """The line of code that repeats a check; "" where there is nothing to repeat."""
    return f"check({task}, seed={seed})" if outcome in (WRONG, CRASHED, TIMED_OUT) else ""


class Finding(Exception):
    """What a property has to say against an answer. `key` names the mistake; `message` tells it, and what to look at."""

    def __init__(
        self, key: str, message: str, picture: Picture | None = None, outcome: str = WRONG, trace: str = ""
    ):
        super().__init__(message)
        self.key, self.message, self.picture, self.outcome, self.trace = key, message, picture, outcome, trace


@dataclass(frozen=True)
class Verdict:
    """The outcome of one check.

    `outcome`: "right", "wrong", "not attempted yet", "crashed" or "timed out"; `key` names the mistake, "" if none; `message`
    tells it; `points` out of `possible`, of which nothing is said where that is 0; `seed` repeats the check; `picture` shows an
    image that went wrong, or is None; `trace` has the last lines of a crash, and beneath them what the error means, where that is
    known, or a case worked out.
    """

    task: str
    outcome: str
    message: str
    points: int
    possible: int
    seed: int
    key: str = ""
    picture: Picture | None = None
    trace: str = ""

    @property
    def right(self) -> bool:
        """True for full points."""
        return self.outcome == RIGHT

    def as_dict(self) -> dict[str, str | int]:
        """All but the picture, as JSON can hold it."""
        return {name: value for name, value in vars(self).items() if name != "picture"}

    @property
    def _headline(self):
        points = f" ({self.points} of {self.possible} points)" if self.possible else ""
        return f"{self.task}: {self.outcome}", points

    @property
    def _again(self):
        line = repeat(self.outcome, self.task, self.seed) if self.possible else ""
        return f"To repeat this very check: {line}" if line else ""

    def __repr__(self):
        head, points = self._headline
        picture = without_pictures(self.picture.alt if self.picture else "")
        return "\n".join(filter(None, [head + points, self.message, self.trace, picture, self._again]))

    def _repr_html_(self):
        head, points = self._headline
        sign, colour = LOOK[self.outcome]
        parts = [f"<div><strong>{sign} {html.escape(head)}</strong>{points}</div>"]
        parts += [f"<div>{marked_up(self.message)}</div>"]
        if self.trace:
            parts.append(
                f'<pre style="margin: 0.4em 0; white-space: pre-wrap">{html.escape(self.trace)}</pre>'
            )
        if self.picture:
            parts.append(f"<div>{image_tag(self.picture.png(), self.picture.alt)}</div>")
        if self._again:
            parts.append(f"<div><small>{html.escape(self._again)}</small></div>")
        style = f"border-left: 5px solid {colour}; padding: 0.3em 0.8em; max-width: 46em"
        return f'<div role="status" style="{style}">{"".join(parts)}</div>'
