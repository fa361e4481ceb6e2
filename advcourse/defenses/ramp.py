"""What objectives that attack the model as it learns share: checked settings, and a budget that grows at first."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from advcourse.attacks import Attack
from advcourse.core.inputs import InputError, check_choice
from advcourse.training import SCHEDULES


@dataclass(frozen=True)
class Ramped:
    """An objective with a field `ramp`, the share of training over which its budget grows from 0; 0 for no ramp.

    An objective is not told how far training is, but a schedule is, before each step. So a ramp goes into both:

        >>> fit(model, data, objective, schedule=objective.following("one-cycle"))

    What the schedule is told serves the next loss and is then forgotten: a resumed run is told the same as one that was never
    interrupted, and nothing stays behind.
    """

    _told: list[float] = field(default_factory=list, init=False, repr=False, compare=False)

    def following(self, schedule: str | Callable[[float], float] = "one-cycle") -> Callable[[float], float]:
        """The schedule for `fit`, "one-cycle", "constant" or a function, which also tells this objective how far training is.

        Raises:
            InputError: an unknown name.
        """
        if not callable(schedule):
            schedule = SCHEDULES[check_choice(schedule, "schedule", tuple(SCHEDULES))]
        return partial(self._follow, schedule=schedule)

    def _follow(self, done, schedule):
        self._told[:] = [done]
        return schedule(done)

    def _growth(self):
        """The share of the full budget at this step."""
        if not self.ramp:
            return 1.0
        if not self._told:
            raise InputError(
                f"ramp: got {self.ramp:.4g}, but nothing tells the objective how far training is; allowed is ramp=0, "
                f'or fit(..., schedule=objective.following("one-cycle"))'
            )
        return min(1.0, self._told.pop() / self.ramp)


def take_checked(objective: object, attack: Attack, *names: str) -> None:
    """Set fields of the frozen `objective` to those that its `attack` has checked, as Python's own numbers."""
    for name in names:
        object.__setattr__(objective, name, getattr(attack, name))
