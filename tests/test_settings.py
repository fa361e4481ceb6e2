"""Every setting of every attack and defense is checked and normalised, by its type: flags, whole numbers, numbers, words.

The tests read the constructors themselves, so a new setting is covered by being there. The truth that they check against is
Python's and numpy's own idea of what a number is.
"""

import dataclasses
import inspect
import numbers
from fractions import Fraction
from typing import get_args

import numpy as np
import pytest
import torch
from nets import conv, images
from torch import nn

from advcourse import attacks, defenses
from advcourse.core.errors import DoubtfulResultWarning
from advcourse.core.inputs import InputError
from advcourse.data import transformations
from advcourse.models import pixelcnn
from advcourse.training import fit

pytestmark = pytest.mark.filterwarnings("ignore::advcourse.core.errors.BudgetWarning")
MODEL = conv().eval()
DETECTOR = defenses.FeatureSqueezing(MODEL)
DETECTOR.calibrate(images(20), 0.1)
# What the constructors need, by name; there are too few images here for the 5000 patches of quilting.
GIVEN = {
    "model": MODEL,
    "attack": attacks.PGD(targeted=True),
    "source": MODEL,
    "images": images(6),
    "static": (MODEL,),
    "teacher": MODEL,
    "network": MODEL,
    "detector": DETECTOR,
    "radius": 0.25,
    "patches": 20,
    "nearest": 3,
    "pixelcnn": pixelcnn.PixelCNN(levels=2, channels=2, layers=2),
}


def constructors():
    """Name -> class, of all that is public in attacks, defenses and transformations and takes settings."""
    for module in (attacks, defenses, transformations):
        for name, cls in vars(module).items():
            if inspect.isclass(cls) and cls.__module__.startswith("advcourse") and not name.startswith("_"):
                if not issubclass(cls, Exception) and name not in (
                    "AttackResult",
                    "SubstituteResult",
                    "ThreatModel",
                    "Schedule",
                ):
                    yield name, cls


def settings():
    """(class, setting, its types) of all settings that are flags, numbers or words."""
    for _, cls in constructors():
        for name, parameter in inspect.signature(cls).parameters.items():
            parts = (parameter.annotation, *get_args(parameter.annotation))
            # The values of a `Literal` are words.
            kinds = {part if isinstance(part, type) else type(part) for part in parts}
            if kinds & {bool, int, float, str}:
                yield cls, name, kinds


SETTINGS = sorted(settings(), key=lambda setting: (setting[0].__name__, setting[1]))


def of_type(kind):
    chosen = [(cls, name) for cls, name, kinds in SETTINGS if kind in kinds]
    return pytest.mark.parametrize(
        "cls, name", chosen, ids=[f"{cls.__name__}.{name}" for cls, name in chosen]
    )


def make(cls, **changed):
    parameters = inspect.signature(cls).parameters
    return cls(**({name: value for name, value in GIVEN.items() if name in parameters} | changed))


def default(cls, name):
    return GIVEN.get(name, inspect.signature(cls).parameters[name].default)


def test_the_constructors_are_found():
    """Counted by hand: all attacks have settings, eleven of them words, and more than twenty defenses; else the tests below would
    test nothing.
    """
    found = {cls for cls, _, _ in SETTINGS}
    assert len([cls for cls, _, kinds in SETTINGS if str in kinds]) >= 11
    assert found >= set(attacks.REGISTRY.values())
    assert len(found - set(attacks.REGISTRY.values())) > 20


@of_type(bool)
def test_a_flag_is_true_or_false_and_nothing_else(cls, name):
    """The text "no" and the number 0 are no flags; numpy's True is one, and is kept as Python's."""
    for wrong in ("no", "False", 0, 1, None):
        with pytest.raises(InputError, match=rf"^{name}: got {wrong!r}; allowed are True and False"):
            make(cls, **{name: wrong})
    value = default(cls, name)
    kept = getattr(make(cls, **{name: np.bool_(value)}), name, value)
    assert kept is value


@of_type(int)
def test_whole_numbers_may_be_numpys_and_are_kept_as_pythons(cls, name):
    """`numbers.Integral` says that np.int64(3) is whole; True is no number, 2.5 and "3" are not whole."""
    for wrong in (True, "3", 2.5, np.float64(3), float("nan"), [3]):
        with pytest.raises(InputError, match=rf"^{name}: got .*; allowed is"):
            make(cls, **{name: wrong})
    value = default(cls, name)
    value = 3 if value is None else value
    kept = getattr(make(cls, **{name: np.int64(value)}), name, None)
    assert not isinstance(kept, numbers.Number) or (type(kept) is int and kept == value)


@of_type(float)
def test_numbers_are_finite_and_are_kept_as_pythons(cls, name):
    """`numbers.Real` says that np.float32(0.5) and Fraction(1, 2) are numbers; text, True, NaN and infinity are refused."""
    for wrong in (True, "0.1", float("nan"), float("inf"), np.float64("nan"), [0.1], 1j):
        with pytest.raises(InputError, match=rf"^{name}: got .*; allowed is"):
            make(cls, **{name: wrong})
    value = default(cls, name)
    value = 0.25 if value is None else value
    for same in (np.float32(value), np.float64(value), Fraction(value)):
        kept = getattr(make(cls, **{name: same}), name, None)
        assert not isinstance(kept, numbers.Number) or (type(kept) in (int, float) and kept == float(same))


@of_type(str)
def test_words_are_among_those_allowed(cls, name):
    """What is no word of the list is refused, an array too, whose comparison gives no single answer."""
    for wrong in ("", "no such word", 1, True, np.array([1, 2])):
        with pytest.raises(InputError, match=rf"^{name}: got .*; allowed are"):
            make(cls, **{name: wrong})


@pytest.mark.parametrize(
    "cls, name",
    [(cls, name) for cls, name, _ in SETTINGS if name.endswith("seed")],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_seed_is_one_that_every_generator_takes(cls, name):
    """torch's generators refuse 2**64 with an error of their own; the largest that is allowed works."""
    for wrong in (-1, 2**63, 2**64):
        with pytest.raises(InputError, match=rf"^{name}: got {wrong}; allowed is an integer >= 0"):
            make(cls, **{name: wrong})
    made = make(cls, **{name: 2**63 - 1})
    torch.Generator().manual_seed(2**63 - 1)
    if isinstance(made, attacks.Attack) and not made.targeted:
        made = dataclasses.replace(made, **({"steps": 1} if hasattr(made, "steps") else {}))
        assert made(MODEL, images(2), torch.tensor([0, 1])).shape == (2, 1, 8, 8)


def test_training_takes_numpys_numbers_and_no_other_flags():
    """A run with numpy's numbers has the losses of one with Python's."""
    x, y = images(8), torch.arange(8) % 5

    def loss(**settings):
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
        nn.init.zeros_(model[1].weight)
        nn.init.zeros_(model[1].bias)
        return fit(model, (x, y), device="cpu", **({"progress": False} | settings)).loss

    plain = loss(epochs=2, batch_size=4, lr=0.125, seed=3)
    assert plain == loss(epochs=np.int64(2), batch_size=np.int32(4), lr=np.float32(0.125), seed=np.uint8(3))
    for name, wrong in {
        "epochs": True,
        "batch_size": "8",
        "lr": np.nan,
        "seed": 2**64,
        "progress": "no",
    }.items():
        with pytest.raises(InputError, match=rf"^{name}: got"):
            loss(**{name: wrong})


def test_directions_can_be_no_more_than_an_image_has_values():
    """In 4 dimensions 4 directions are orthogonal, and the image itself makes five."""
    model, x, y = conv((1, 2, 2), 3).eval(), images(2, (1, 2, 2)), torch.tensor([0, 1])
    assert attacks.OptMargin(copies=5, steps=1)(model, x, y).shape == x.shape
    with pytest.raises(InputError, match=r"^copies: got 6; allowed are at most 5 for images of 4 values"):
        attacks.OptMargin(copies=6, steps=1)(model, x, y)


TOO_SHORT = {
    "steps of a hundredth": lambda: attacks.BIM(0.3, alpha=0.001, steps=10),
    "in L2": lambda: attacks.PGD(2.0, alpha=0.1, steps=10, norm="L2"),
    "with momentum": lambda: attacks.UMIFGSM(0.3, alpha=0.01, steps=10),
}
LONG_ENOUGH = {
    "default": attacks.PGD,
    "exactly": lambda: attacks.UMIFGSM(0.3, steps=7),
    "one step": attacks.FGSM,
    "random first": lambda: attacks.RFGSM(0.3, 0.1),
    "no budget": lambda: attacks.BIM(0.0, alpha=0.1),
    "steps of nothing": lambda: attacks.PGD(0.3, alpha=0.0, steps=1),
    "all of the range": lambda: attacks.FGSM(1.0),
    "far in L2": lambda: attacks.PGD(8.0, norm="L2"),
}


@pytest.mark.parametrize("make", TOO_SHORT.values(), ids=TOO_SHORT)
def test_steps_too_short_for_the_budget_are_warned_of(make):
    """The reach is steps * alpha: here less than eps."""
    with pytest.warns(DoubtfulResultWarning, match=r"^alpha: got steps that together reach \d+% of eps"):
        make()


@pytest.mark.parametrize("cls", [attacks.FGSM, attacks.PGD, attacks.UAP, attacks.LLC])
def test_a_budget_in_units_of_255_is_warned_of(cls):
    """In L-infinity 1 is the whole range of a pixel."""
    with pytest.warns(DoubtfulResultWarning, match=r"^eps: got more than 1, .* eps=8/255"):
        cls(eps=8)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("make", LONG_ENOUGH.values(), ids=LONG_ENOUGH)
def test_ordinary_settings_are_not_warned_of(make):
    """Steps that together reach the border, and lengths in a norm without a largest one."""
    make()
