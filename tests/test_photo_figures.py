"""What a reader sees of a photograph under attack: the model's mind in bars, the progress, a wish."""

import pytest
import torch
from matplotlib.patches import Rectangle
from torch import nn

from advcourse import attacks, plots
from advcourse.core.errors import InputError
from advcourse.course import progress
from advcourse.course.wishes import wish

CLASSES = ("cat", "a name that is far too long to stand on a bar", "cup")


class Brightness(nn.Module):
    """Two classes by the mean of an image, and a third that nothing becomes."""

    def forward(self, x):
        mean = 40 * (x.flatten(1).mean(1) - 0.5)
        return torch.stack([-mean, mean, torch.full_like(mean, -200)], 1)


def an_image():
    return torch.full((1, 3, 8, 8), 0.49), torch.tensor([0])


# The bars


def test_bars_are_as_long_as_the_probabilities():
    """Against the softmax by hand: log 6, log 3, log 1 give 60, 30 and 10 %, from the largest down."""
    logits = torch.tensor([[1.0, 6.0, 3.0]]).log()
    figure = plots.minds(torch.rand(1, 3, 8, 8), logits, CLASSES, ("a title",))
    image, bars = figure.axes
    widths = [patch.get_width() for patch in bars.patches if isinstance(patch, Rectangle)][3:]
    assert widths == pytest.approx([0.6, 0.3, 0.1])
    told = [text.get_text() for text in bars.texts]
    assert told[1::2] == ["60 %", "30 %", "10 %"] and told[2::2] == ["cup", "cat"]
    assert told[0] == CLASSES[1] and image.get_title() == "a title"


def test_no_texts_of_the_bars_collide():
    """Against the boxes of the texts as they are drawn: names, shares and titles stay apart and inside the picture."""
    logits = torch.tensor([[1.0, 6.0, 3.0], [9.0, 1.0, 1.0]])
    figure = plots.minds(torch.rand(2, 3, 8, 8), logits, CLASSES, ("a photograph", "and the same, changed"))
    plots.png(figure)
    texts = [text for axis in figure.axes for text in (*axis.texts, axis.title) if text.get_text()]
    boxes = [text.get_window_extent() for text in texts]
    for i, box in enumerate(boxes):
        assert figure.bbox.padded(1).containsx(box.x0) and figure.bbox.padded(1).containsx(box.x1)
        assert not any(box.overlaps(other) for other in boxes[i + 1 :]), texts[i].get_text()


@pytest.mark.parametrize(
    "change, told",
    [
        ({"logits": torch.zeros(2, 3)}, "logits"),
        ({"classes": ("a",)}, "classes"),
        ({"titles": ("a", "b")}, "titles"),
        ({"framed": (1, 0)}, "framed"),
        ({"top": 0}, "top"),
    ],
)
def test_bad_input_is_refused(change, told):
    """Against the name of the argument, which the error must hold."""
    given = {"images": torch.rand(1, 3, 8, 8), "logits": torch.zeros(1, 3), "classes": CLASSES}
    with pytest.raises(InputError, match=told):
        plots.minds(**{**given, **change})


# Progress


def test_the_bar_counts_passes_and_changes_nothing(capsys):
    """Against the attack's own count of its passes, and its images without a bar."""
    model, (x, y) = Brightness(), an_image()
    attack, calls = attacks.BIM(eps=0.1, steps=5), []
    with progress.each_pass(model, lambda: calls.append(1)):
        watched = attack.run(model, x, y)
    assert len(calls) >= watched.forward_passes > 0
    assert torch.equal(watched.images, attack(model, x, y)) and not model._forward_hooks
    with progress.passes(model, 6, "BIM"):
        assert torch.equal(watched.images, attack(model, x, y))


# A wish


def test_a_wish_comes_true():
    """Against the model: it sees the class that was typed in, within the budget, and the sentence says so."""
    model, (x, y) = Brightness(), an_image()
    widget = wish(model, x, y, CLASSES, eps=0.1)
    widget.name.value = CLASSES[1]
    widget.button.click()
    assert model(widget.result.images).argmax(1).item() == 1
    assert "The network sees a name that is far" in widget.message.value
    assert bytes(widget.picture.value).startswith(b"\x89PNG") and widget.bar.value > 0
    assert not widget.button.disabled


def test_a_wish_that_fails_is_told():
    """Against a class that the model never gives, and a name that is none; the button works again after both."""
    model, (x, y) = Brightness(), an_image()
    widget = wish(model, x, y, CLASSES)
    widget.button.click()
    assert "Choose a name from the list" in widget.message.value and widget.result is None
    widget.name.value = "cup"
    widget.button.click()
    assert "Not quite" in widget.message.value and not widget.button.disabled
