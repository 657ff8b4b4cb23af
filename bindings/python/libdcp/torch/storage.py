"""What a storage writer and a storage reader have to offer: PyTorch's own types."""

from torch.distributed.checkpoint import storage as _stock
from torch.distributed.checkpoint.storage import *  # noqa: F403

from ._share import share

__all__ = share(_stock, globals())
