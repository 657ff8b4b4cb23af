"""Stateful: PyTorch's own protocol."""

from torch.distributed.checkpoint import stateful as _stock
from torch.distributed.checkpoint.stateful import *  # noqa: F403

from ._share import share

__all__ = share(_stock, globals())
