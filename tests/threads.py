"""Computing with one thread: with several, a sum may end in another digit."""

from contextlib import contextmanager

import torch


@contextmanager
def single_threaded():
    """Inside the block torch computes with one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
