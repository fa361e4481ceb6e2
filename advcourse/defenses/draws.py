"""The random numbers of defenses that draw."""

import torch

from advcourse.core import inputs


def check_seed(seed: int | None, name: str = "seed") -> int | None:
    """Raise `InputError` unless `seed` is None or a whole number from 0 to 2**63 - 1."""
    return seed if seed is None else inputs.check_seed(seed, name)


def generator(seed: int | None) -> torch.Generator:
    """A generator on the CPU for one forward pass, so that draws are the same on every device.

    None: a fresh one, seeded by one draw from the global random state, so each pass differs from the last, and all of them
    follow from `randomness.seeded`, as in every attack. A number: the same draws in every pass. That is no defense any more but
    a check: an attack must get through it as through an undefended model.
    """
    fresh = int(torch.randint(2**62, ())) if seed is None else seed
    return torch.Generator().manual_seed(fresh)
