"""Trained models on disk: weights as safetensors, and a card, NAME.json, that says how they were made."""

import hashlib
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from advcourse.core.files import replacing
from advcourse.core.inputs import InputError, check_choice, resolve_device
from advcourse.models.autoencoder import AutoEncoder
from advcourse.models.game_nets import CartPolePlayer, CatchPlayer
from advcourse.models.nets import FacesCNN, MnistCNN, MnistMLP, MnistSmall, MnistWide, SignsCNN
from advcourse.models.pixelcnn import PixelCNN
from advcourse.models.sound_nets import DigitHearer
from advcourse.models.word_nets import BagOfEmbeddings, GatedReader

SHIPPED = Path(__file__).parent / "weights"

ARCHITECTURES: dict[str, Callable[[], nn.Module]] = {
    "mnist-cnn": MnistCNN,
    "mnist-wide": MnistWide,
    "mnist-mlp": MnistMLP,
    "mnist-small": MnistSmall,
    "signs-cnn": partial(SignsCNN, classes=16),
    "faces-cnn": partial(FacesCNN, classes=40),
}
# Networks that are no image classifiers: parts of a defense, and nets that read sentences, play games or hear.
PARTS: dict[str, Callable[[], nn.Module]] = {
    "mnist-thermometer": partial(MnistSmall, channels=16),
    "mnist-autoencoder-1": AutoEncoder,
    "mnist-autoencoder-2": partial(AutoEncoder, pooling=False),
    "mnist-pixelcnn": PixelCNN,
    "reviews-bag": partial(BagOfEmbeddings, words=8589),
    "reviews-gru": partial(GatedReader, words=8589),
    "catch-player": CatchPlayer,
    "cartpole-player": CartPolePlayer,
    "spoken-digits": DigitHearer,
}
PHOTO_NET = "photo-net"  # whose weights another package ships
_ALL = {**ARCHITECTURES, **PARTS}


def build(name: str, seed: int | None = None) -> nn.Module:
    """Build the untrained network of an architecture, in training mode.

    Args:
        name: a key of `ARCHITECTURES`: "mnist-cnn", "mnist-wide", "mnist-mlp", "mnist-small", "signs-cnn" or
            "faces-cnn"; or of `PARTS`.
        seed: determines the weights, without changing the global random state; None (default) draws from that state.

    Raises:
        InputError: the name is unknown.
    """
    network = _ALL[check_choice(name, "name", tuple(_ALL))]
    if seed is None:
        return network()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return network()


def names(folder: str | os.PathLike | None = None, parts: bool = False) -> tuple[str, ...]:
    """Return the names of the trained models in `folder` (default: the shipped ones), plain architectures first.

    Networks of `PARTS`, which are parts of a defense or read something else than images, are included only if `parts` is True.
    """
    known = {path.stem for path in _folder(folder).glob("*.json")}
    if not parts:
        known = {name for name in known if _architecture(_folder(folder) / f"{name}.json") not in PARTS}
    return tuple(name for name in ARCHITECTURES if name in known) + tuple(sorted(known - set(ARCHITECTURES)))


def _architecture(path):
    """Return the architecture on a card; None if it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))["architecture"]
    except (ValueError, KeyError, TypeError):
        return None


def card(name: str, folder: str | os.PathLike | None = None) -> dict:
    """Return the card of the model `name`: architecture, data, settings, seed, clean_accuracy, sha256 of the weights, torch.

    Raises:
        InputError: the name is unknown, or the card is damaged.
    """
    check_choice(name, "name", names(folder, parts=True))
    path = _folder(folder) / f"{name}.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content["architecture"], content["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"card {path} is damaged ({error!r}); {_REPAIR}") from error
    return content


def load(name: str, device: str | torch.device = "cpu", folder: str | os.PathLike | None = None) -> nn.Module:
    """Load the trained model `name`, in eval mode.

    Args:
        name: one of `names(folder, parts=True)`.
        device: "cpu" (default), "cuda", "auto", ...
        folder: where NAME.safetensors and NAME.json are; default: the models that ship with the package.

    Raises:
        InputError: the name is unknown, or the weights are missing, damaged, or not of the architecture on the card.
    """
    about, path = card(name, folder), _folder(folder) / f"{name}.safetensors"
    if about["architecture"] == PHOTO_NET:
        from advcourse.models import (
            photo_net,  # torchvision takes a second to import, and only this network needs it
        )

        return photo_net.load(about["sha256"]).to(resolve_device(device))
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"weights {path} are missing; {_REPAIR}") from None
    checksum = hashlib.sha256(content).hexdigest()
    if checksum != about["sha256"]:
        raise InputError(
            f"weights {path} are damaged: checksum {checksum[:12]}..., {about['sha256'][:12]}... on the card; {_REPAIR}"
        )
    architecture = check_choice(about["architecture"], f"architecture of {path}", tuple(_ALL))
    model = build(architecture, seed=0)  # with a seed, which keeps the global random state
    weights = safetensors.torch.load(content)
    _check_architecture(model, weights, f"weights {path} do not fit the architecture {architecture!r}")
    model.load_state_dict(weights)
    return model.eval().to(resolve_device(device))


def save(model: nn.Module, name: str, card: dict, folder: str | os.PathLike | None = None) -> dict:
    """Write NAME.safetensors and NAME.json into `folder` (default: where the shipped models are); return the card.

    Args:
        model: a network of the architecture `card["architecture"]`, on any device.
        name: the name to `load` it by: letters, digits, ".", "_" and "-".
        card: what is known about the model, as plain values. "sha256" and "torch" are added.
        folder: where to write.

    Raises:
        InputError: the name is invalid, or the model is not of the architecture on the card.
    """
    if not name or name.startswith(".") or not all(c.isalnum() or c in "._-" for c in name):
        raise InputError(f"name: got {name!r}; allowed are letters, digits, '.', '_' and '-'")
    weights = {key: tensor.detach().cpu().contiguous() for key, tensor in model.state_dict().items()}
    architecture = check_choice(card.get("architecture"), 'card["architecture"]', tuple(_ALL))
    _check_architecture(
        build(architecture, seed=0), weights, f"model: not of the architecture {architecture!r}"
    )
    content = safetensors.torch.save(weights)
    card = {**card, "sha256": hashlib.sha256(content).hexdigest(), "torch": torch.__version__.split("+")[0]}
    text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    target = _folder(folder)
    target.mkdir(parents=True, exist_ok=True)
    for path, written in ((f"{name}.safetensors", content), (f"{name}.json", text.encode())):
        with replacing(target / path) as partial:
            partial.write_bytes(written)
    return card


_REPAIR = "install the package again, or train the model again"


def _folder(folder: str | os.PathLike | None) -> Path:
    return SHIPPED if folder is None else Path(folder)


def _check_architecture(model: nn.Module, weights: dict[str, torch.Tensor], complaint: str) -> None:
    expected = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    given = {key: tuple(tensor.shape) for key, tensor in weights.items()}
    differing = sorted(key for key in expected.keys() | given.keys() if expected.get(key) != given.get(key))
    if differing:
        key = differing[0]
        raise InputError(
            f"{complaint}: {len(differing)} tensors differ, the first is {key!r}, "
            f"shape {given.get(key, 'missing')} given, {expected.get(key, 'none')} allowed"
        )
