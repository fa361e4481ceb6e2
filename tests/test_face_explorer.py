"""The explorer of faces, driven as a user drives it, with networks whose answer is known; and how quickly it answers."""

import io
import re
import time
from html import unescape

import pytest
import torch
from PIL import Image
from torch import nn

from advcourse import models
from advcourse.cases.faces import plain_frame
from advcourse.core.inputs import InputError
from advcourse.course.face_explorer import face_explorer, taken_for
from advcourse.data import faces
from advcourse.data.heads import render_head


class Darkest(nn.Module):
    """Kim where the picture's mean is below a threshold, else Alex: the logits are 3 and 1 more than all others."""

    def __init__(self, threshold):
        super().__init__()
        self.threshold = threshold

    def forward(self, x):
        dark = x.mean((1, 2, 3)) < self.threshold
        logits = x.new_zeros(len(x), len(faces.CLASSES))
        logits[:, faces.CLASSES.index("Kim")] = torch.where(dark, 3.0, 1.0)
        logits[:, faces.CLASSES.index("Alex")] = torch.where(dark, 1.0, 3.0)
        return logits


def test_the_bars_are_the_softmax_by_hand():
    """Against exp(3), exp(1) and exp(0) over their sum with the 37 other people, in per cent."""
    explorer = face_explorer(Darkest(2.0), {"none": ("Kim", None)})
    total = torch.tensor([3.0, 1.0, *[0.0] * 38]).exp().sum()
    shares = [f"{100 * torch.tensor(z).exp() / total:.0f} %" for z in (3.0, 1.0, 0.0)]
    text = unescape(re.sub("<[^>]+>", "|", explorer.mind.value)).replace("\N{NO-BREAK SPACE}", " ")
    assert "Kim is recognised" in text and [part for part in text.split("|") if part.endswith("%")] == shares


def test_every_control_changes_the_head_and_the_answer_follows():
    """Against `render_head` with the same settings, and the threshold: a head that is dark to the network is Kim's."""
    black = plain_frame("black")
    explorer = face_explorer(Darkest(0.0), {"none": ("Kim", None), "black": ("Kim", black)})
    assert "Kim is taken for Alex" in explorer.mind.value
    settings = {}
    for name, value in (("yaw", 20), ("pitch", -10), ("light", 45), ("smile", 0.5)):
        getattr(explorer, name).value = settings[name] = value
        assert torch.equal(explorer.head, render_head("Kim", **settings))
    explorer.glasses.value = "black"
    assert torch.equal(explorer.head, render_head("Kim", **settings, frame=black))
    shown = Image.open(io.BytesIO(explorer.picture.value))
    assert shown.size == (256, 256)


def test_the_network_knows_a_turned_head():
    """Against the person's name: the shipped network recognises four bare heads from three sides each, but for one at most."""
    model = models.load("faces-cnn")
    right = [
        faces.CLASSES[taken_for(model, render_head(who, yaw))[0].argmax()] == who
        for who in ("Sidney", "Morgan", "Robin", "Erin")
        for yaw in (-25, 0, 25)
    ]
    assert sum(right) >= 11


def test_a_change_is_shown_before_one_notices():
    """Against a tenth of a second on a quiet core; ten times that, because tests share their processor."""
    explorer = face_explorer(models.load("faces-cnn"), {"black": ("Kim", plain_frame("black"))})
    began = time.process_time()
    explorer.yaw.value = 15
    assert time.process_time() - began < 1


def test_bad_arguments_are_named():
    """Checks the error that names the argument and what was given."""
    with pytest.raises(InputError, match="wardrobe: got nothing"):
        face_explorer(Darkest(0), {})
    with pytest.raises(InputError, match="person: got 'Nobody'"):
        face_explorer(Darkest(0), {"none": ("Nobody", None)})
    with pytest.raises(InputError, match="head: got shape"):
        taken_for(Darkest(0), torch.zeros(3, 64, 64))
