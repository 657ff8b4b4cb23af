"""PyTorch's own event log of checkpoint calls, the logger "dcp_logger"."""

from torch.distributed.checkpoint import logger as _stock
from torch.distributed.checkpoint.logger import *  # noqa: F403

from ._share import share

__all__ = share(_stock, globals())
