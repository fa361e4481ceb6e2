"""Networks inside an objective, told apart in its text."""

from torch import nn

from advcourse.checkpoints import digest


def named(net: nn.Module) -> str:
    """The class of a network and the start of its weights' checksum: the text by which a checkpoint knows it again."""
    return f"{type(net).__name__} {digest(tuple(net.state_dict().values()))[:12]}"
