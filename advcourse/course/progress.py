"""A progress bar for an attack: it moves with each pass through the model."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import nn
from tqdm.auto import tqdm


@contextmanager
def passes(model: nn.Module, expected: int, what: str = "attack") -> Iterator[None]:
    """Inside the block, a bar shows how many of the `expected` forward passes of `model` are done.

    Args:
        model: what is asked; it is the same again after the block.
        expected: passes in all; it may be more or fewer in the end.
        what: stands before the bar.
    """
    with tqdm(total=expected, desc=what, leave=False) as bar, each_pass(model, lambda: bar.update()):
        yield


@contextmanager
def each_pass(model: nn.Module, call: Callable[[], object]) -> Iterator[None]:
    """Inside the block, call `call` after each forward pass of `model`."""

    def after(*_):
        call()  # what a hook returns would take the place of the answer

    handle = model.register_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()
