"""The random numbers of randomised defenses."""

import torch

from advcourse.core import inputs


def check_seed(seed: int | None, name: str = "seed") -> int | None:
    """Raise `InputError` unless `seed` is None or a whole number from 0 to 2**63 - 1."""
    return seed if seed is None else inputs.check_seed(seed, name)


def generator(seed: int | None) -> torch.Generator:
    """Return a generator for one forward pass, on the CPU so that draws are the same on every device.

    With None it is seeded by one draw from the global random state, so that passes differ, and all of them are determined by
    `randomness.seeded`, as in every attack. With a number, every pass draws the same. That is no longer a defense but a check:
    an attack must succeed as it does on an undefended model.
    """
    fresh = int(torch.randint(2**62, ())) if seed is None else seed
    return torch.Generator().manual_seed(fresh)
