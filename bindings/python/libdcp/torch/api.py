"""CheckpointException: PyTorch's own, which carries what each rank failed with."""

from torch.distributed.checkpoint import api as _stock
from torch.distributed.checkpoint.api import *  # noqa: F403

from ._share import share

__all__ = share(_stock, globals())
