"""What the fields of an attack may be, as they declare it: against sentences, values and signatures written by hand."""

from __future__ import annotations  # types as texts, as in files of users who ask for that

import inspect
import pickle
from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np
import pytest
from drawn_attacks import values_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advcourse.attacks import FGSM, PGD, Attack
from advcourse.attacks.hyperparameters import allowed, number
from advcourse.core.identity import identity
from advcourse.core.inputs import InputError


@dataclass(frozen=True)
class Declared(Attack):
    """An attack whose fields have names that no other attack has."""

    share: float = number(0.5, low=0, high=1, exclusive_low=True)
    whole: int = number(3, low=-2)
    perhaps: int | None = number(None, high=7)
    free: float = 1.5
    unset: float = None  # which type checkers refuse, and many write
    flag: bool = True
    word: Literal["near", "far"] = "far"
    anything: tuple = ()
    named: Literal["auto"] | float = number(0.5, low=0)
    foreign: np.float32 = number(1.0, low=0)
    kind = "budgeted"
    norm = "L2"


REFUSED = [
    ("share", 0, "share: got 0; allowed is a number > 0 and <= 1"),
    ("share", 1.5, "share: got 1.5; allowed is a number > 0 and <= 1"),
    ("share", None, "share: got None; allowed is a number > 0 and <= 1"),
    ("whole", 2.5, "whole: got 2.5; allowed is an integer >= -2"),
    ("whole", -3, "whole: got -3; allowed is an integer >= -2"),
    ("perhaps", 8, "perhaps: got 8; allowed is an integer <= 7"),
    ("unset", "1", "unset: got '1'; allowed is a number"),
    ("free", "1", "free: got '1'; allowed is a number"),
    ("free", 1e300, "free: got 1e+300; allowed are numbers up to 1e+12"),
    ("whole", 2**70, "whole: got 1.18e+21; allowed are numbers up to 1e+12"),
    ("whole", 10**400, "whole: got a number of 401 digits; allowed are numbers up to 1e+12"),
    ("named", -1, "named: got -1; allowed is a number >= 0"),
    ("foreign", -2, "foreign: got -2; allowed is a number >= 0"),
    ("foreign", "junk", "foreign: got 'junk'; allowed is a number >= 0"),
    ("flag", "no", "flag: got 'no'; allowed are True and False"),
    ("word", "here", "word: got 'here'; allowed are 'near', 'far'"),
]


@pytest.mark.parametrize("name, value, sentence", REFUSED)
def test_what_a_field_may_not_be_is_refused(name, value, sentence):
    """The sentences are written by hand, from the declarations above."""
    with pytest.raises(InputError) as error:
        Declared(**{name: value})
    assert str(error.value) == sentence


def test_the_ends_of_a_range_are_allowed():
    """By hand: 1 is the highest share, -2 the lowest whole number, 7 the highest of `perhaps`, which may be None."""
    made = Declared(share=1, whole=-2, perhaps=7, free=-1e9, word="near", anything=("a",), named="auto")
    assert made.named == "auto"
    assert (made.share, made.whole, made.perhaps, made.free, made.anything) == (1, -2, 7, -1e9, ("a",))
    assert replace(made, perhaps=None).perhaps is None


def test_a_declared_field_is_an_ordinary_one():
    """Against a dataclass with plain defaults: signature, class attribute, `repr`, `replace`, `pickle` and identity."""
    assert str(inspect.signature(PGD).parameters["eps"]) == "eps: float = 0.3" and PGD.eps == 0.3
    made = Declared()
    text = (
        "Declared(share=0.5, whole=3, perhaps=None, free=1.5, unset=None, flag=True, word='far', anything=(), "
        "named=0.5, foreign=1.0)"
    )
    assert repr(made) == text and eval(text) == made
    assert replace(made, whole=4) == Declared(whole=4) and pickle.loads(pickle.dumps(made)) == made
    assert identity(made) == identity(Declared(0.5)) != identity(Declared(whole=4))


def test_a_type_that_only_the_class_body_can_name_is_no_obstacle():
    """Checks a class made in a function, whose types are texts: one is imported there, and all the other fields keep theirs."""
    from decimal import Decimal

    @dataclass(frozen=True)
    class Local(Declared):
        price: Decimal = None
        rate: Decimal = number(0.5, low=0)
        again: int = number(1, low=1)

    assert Local(price="any", rate=0.2).again == 1
    with pytest.raises(InputError, match="rate: got -1"):
        Local(rate=-1)
    with pytest.raises(InputError, match="again: got 0"):
        Local(again=0)


def test_a_subclass_takes_over_the_declarations():
    """By hand: a new default is a new declaration, and what is not declared again is as it was."""

    @dataclass(frozen=True)
    class Stronger(FGSM):
        targeted: bool = True

    assert Stronger().targeted and allowed(Stronger)["eps"] == allowed(FGSM)["eps"]
    with pytest.raises(InputError, match="eps: got -1; allowed is a number >= 0"):
        Stronger(eps=-1)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
@given(data=st.data())
def test_the_tests_draw_what_the_declaration_allows(data):
    """The class itself takes every value that is drawn for it; by hand: none is beyond its range, and few steps are drawn."""
    defaults = {field.name: field.default for field in fields(Declared)}
    drawn = {name: data.draw(values_of(one, defaults[name])) for name, one in allowed(Declared).items()}
    made = Declared(**drawn)
    assert 0 < made.share <= 1 and -2 <= made.whole <= 1 and (made.perhaps is None or made.perhaps <= 7)
    assert made.word in ("near", "far") and made.anything == ()
