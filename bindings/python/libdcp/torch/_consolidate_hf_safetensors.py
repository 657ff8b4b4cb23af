"""PyTorch's own consolidation of safetensors files."""

from torch.distributed.checkpoint import _consolidate_hf_safetensors as _stock
from torch.distributed.checkpoint._consolidate_hf_safetensors import *  # noqa: F403

from ._share import share

__all__ = share(_stock, globals())
