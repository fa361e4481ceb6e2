"""Small networks, and the trained models that ship with the package: `load(name)` returns a model in eval mode."""

from advcourse.models.autoencoder import AutoEncoder
from advcourse.models.game_nets import CartPolePlayer, CatchPlayer
from advcourse.models.nets import FacesCNN, MnistCNN, MnistMLP, MnistSmall, MnistWide, Normalise, SignsCNN
from advcourse.models.pixelcnn import PixelCNN, bits_per_pixel
from advcourse.models.sound_nets import DigitHearer, Spectrogram
from advcourse.models.store import ARCHITECTURES, PARTS, PHOTO_NET, build, card, load, names, save
from advcourse.models.word_nets import BagOfEmbeddings, GatedReader, WordReader

__all__ = [
    "ARCHITECTURES",
    "PARTS",
    "PHOTO_NET",
    "AutoEncoder",
    "BagOfEmbeddings",
    "CartPolePlayer",
    "CatchPlayer",
    "DigitHearer",
    "FacesCNN",
    "GatedReader",
    "MnistCNN",
    "MnistMLP",
    "MnistSmall",
    "MnistWide",
    "Normalise",
    "PixelCNN",
    "SignsCNN",
    "Spectrogram",
    "WordReader",
    "bits_per_pixel",
    "build",
    "card",
    "load",
    "names",
    "save",
]
