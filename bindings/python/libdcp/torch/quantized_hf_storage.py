"""Quantized Hugging Face storage: PyTorch's own reader."""

from torch.distributed.checkpoint import quantized_hf_storage as _stock
from torch.distributed.checkpoint.quantized_hf_storage import *  # noqa: F403

from ._share import share

__all__ = share(_stock, globals())
