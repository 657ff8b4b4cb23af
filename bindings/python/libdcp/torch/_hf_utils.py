"""PyTorch's own helpers for safetensors files."""

from torch.distributed.checkpoint import _hf_utils as _stock
from torch.distributed.checkpoint._hf_utils import *  # noqa: F403

from ._share import share

__all__ = share(_stock, globals())
