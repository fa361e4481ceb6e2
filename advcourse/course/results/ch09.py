"""Chapter 09: ten people bare, with the controls, with frames made to dodge or to impersonate; and plain glasses."""

from typing import get_args

from advcourse.cases.faces import FrameAttack
from advcourse.course.results.frames import Readings, Wearing
from advcourse.course.results.untaught import Untaught

# Whom to impersonate was chosen on the training photographs: whom a short dodging attack made of the person most often, or,
# where it made nobody, whom the net gives the second largest logit on average.
PAIRS = (
    ("Sidney", "Cameron"),
    ("Morgan", "Dana"),
    ("Gale", "Blair"),
    ("Marley", "Charlie"),
    ("Cameron", "Glenn"),
    ("Ashley", "Dana"),
    ("Robin", "Charlie"),
    ("Lou", "Cameron"),
    ("Erin", "Sidney"),
    ("Eden", "Sasha"),
)
ATTACK = FrameAttack(steps=120, batch=10, sittings=4)

_PLAIN = (None, "black", "blue")

MEASURED = (
    *(Readings(name=wearing, pairs=PAIRS, wearing=wearing, attack=ATTACK) for wearing in get_args(Wearing)),
    *(Untaught(name=f"{colour or 'no'} glasses", colour=colour, taught=True) for colour in _PLAIN),
    *(Untaught(name=f"{colour or 'no'} glasses, never seen", colour=colour) for colour in _PLAIN),
)
