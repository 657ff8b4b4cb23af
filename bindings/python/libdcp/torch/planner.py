"""Plans, their items, and what a planner has to offer: PyTorch's own types."""

from torch.distributed.checkpoint import planner as _stock
from torch.distributed.checkpoint.planner import *  # noqa: F403

from ._share import share

__all__ = share(_stock, globals())
