"""PyTorch's own transport of state dicts between process groups."""

from torch.distributed.checkpoint import _pg_transport as _stock
from torch.distributed.checkpoint._pg_transport import *  # noqa: F403

from ._share import share

__all__ = share(_stock, globals())
