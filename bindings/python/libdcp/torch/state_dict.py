"""State dicts of models and optimizers, and back: PyTorch's own helpers."""

from torch.distributed.checkpoint import state_dict as _stock
from torch.distributed.checkpoint.state_dict import *  # noqa: F403

from ._share import share

__all__ = share(_stock, globals())
