"""Hugging Face storage: PyTorch's own classes, which work with our save and load."""

from torch.distributed.checkpoint import hf_storage as _stock
from torch.distributed.checkpoint.hf_storage import *  # noqa: F403

from ._share import share

__all__ = share(_stock, globals())
