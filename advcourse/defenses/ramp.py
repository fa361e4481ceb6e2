"""What adversarial training objectives share: checked settings, and a budget that grows at the start of training."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from advcourse.attacks import Attack
from advcourse.core.inputs import InputError, check_choice
from advcourse.training import SCHEDULES


@dataclass(frozen=True)
class Ramped:
    """An objective with a field `ramp`, the share of training over which its budget grows from 0; 0 for no ramp.

    An objective does not know how far training is, but a schedule does, before each step. So a ramp involves both:

        >>> fit(model, data, objective, schedule=objective.following("one-cycle"))

    The schedule passes the progress to the next loss call, which consumes it. No state is kept, so resuming is exact.
    """

    _told: list[float] = field(default_factory=list, init=False, repr=False, compare=False)

    def following(self, schedule: str | Callable[[float], float] = "one-cycle") -> Callable[[float], float]:
        """Return a schedule for `fit` that follows `schedule` and also tells this objective how far training is.

        Args:
            schedule: "one-cycle" (default), "constant", or a function as for `fit`.

        Raises:
            InputError: the name is unknown.
        """
        if not callable(schedule):
            schedule = SCHEDULES[check_choice(schedule, "schedule", tuple(SCHEDULES))]
        return partial(self._follow, schedule=schedule)

    def _follow(self, done, schedule):
        self._told[:] = [done]
        return schedule(done)

    def _growth(self):
        """Return the share of the full budget at this step."""
        if not self.ramp:
            return 1.0
        if not self._told:
            raise InputError(
                f"ramp: got {self.ramp:.4g}, but nothing tells the objective how far training is; allowed is ramp=0, "
                f'or fit(..., schedule=objective.following("one-cycle"))'
            )
        return min(1.0, self._told.pop() / self.ramp)


def take_checked(objective: object, attack: Attack, *names: str) -> None:
    """Set fields of the frozen `objective` to the values that its `attack` has checked, as Python's own numbers."""
    for name in names:
        object.__setattr__(objective, name, getattr(attack, name))
