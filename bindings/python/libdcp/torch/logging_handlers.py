"""Where PyTorch's own event log goes."""

from torch.distributed.checkpoint import logging_handlers as _stock
from torch.distributed.checkpoint.logging_handlers import *  # noqa: F403

from ._share import share

__all__ = share(_stock, globals())
