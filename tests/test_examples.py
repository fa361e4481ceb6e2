"""The images that were chosen by eye: against the data sets' labels, and the networks that chapters attack."""

import pytest
import torch

from advcourse import data, models
from advcourse.core.inputs import InputError, predict
from advcourse.data import chosen

SETS = {
    "mnist-5k": ("mnist-cnn", 10, range(10, 17)),
    "signs": ("signs-cnn", 16, range(16, 33)),
    "faces": ("faces-cnn", 16, (16,)),
    "photos": ("photo-net", 5, (5,)),
}


@pytest.mark.parametrize("name", SETS)
def test_the_eye_and_the_data_set_agree(name):
    """Against the labels of whoever made the data set: what was written down by eye is what each of the images is."""
    held_out = data.load(name)
    seen = chosen._CHOSEN[name]
    assert [held_out.classes[held_out.labels[index]] for index, _ in seen] == [word for _, word in seen]
    assert len({index for index, _ in seen}) == len(seen)


@pytest.mark.parametrize("name", SETS)
def test_every_class_is_there_and_the_first_ones_differ(name):
    """By counting: all classes of digits and signs are covered before any comes again."""
    _, classes, sizes = SETS[name]
    _, y = data.examples(name)
    assert len(y) in sizes
    assert len(set(y[:classes].tolist())) == classes


@pytest.mark.parametrize("name", SETS)
def test_the_default_network_reads_each_of_them(name):
    """Against the shipped networks: what a person reads at once, they read too."""
    x, y = data.examples(name)
    assert torch.equal(predict(models.load(SETS[name][0]), x).argmax(1), y)


def test_they_are_the_images_of_the_data_set():
    """Against `load`: image by image, pixel by pixel, and `of` and `n` choose among them."""
    held_out = data.load("mnist-5k")
    x, y = data.examples("mnist-5k")
    for image, label, (index, _) in zip(x, y, chosen._CHOSEN["mnist-5k"], strict=True):
        assert torch.equal(image, held_out.images[index]) and label == held_out.labels[index]
    first, labels = data.examples("mnist-5k", 3)
    assert torch.equal(first, x[:3]) and torch.equal(labels, y[:3])
    sevens, labels = data.examples("mnist-5k", of="7")
    assert labels.tolist() == [7] * len(sevens) and torch.equal(sevens[0], x[0])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": "digits"}, r"name: got 'digits'; allowed are .*mnist-5k"),
        ({"name": "mnist-5k", "n": 0}, "n: "),
        ({"name": "mnist-5k", "n": 17}, "n: .*16"),
        ({"name": "signs", "of": "Stop"}, "of: got 'Stop'; allowed are the classes 'stop'"),
        ({"name": "signs", "of": "stop", "n": 2}, "n: .*1"),
    ],
)
def test_what_is_asked_wrongly_is_said(wrong, said):
    """By hand: the message names the argument, what was given and what is allowed."""
    with pytest.raises(InputError, match=said):
        data.examples(**wrong)
