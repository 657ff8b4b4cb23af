"""What a checkpoint says of itself: PyTorch's own types."""

from torch.distributed.checkpoint import metadata as _stock
from torch.distributed.checkpoint.metadata import *  # noqa: F403

from ._share import share

__all__ = share(_stock, globals())
