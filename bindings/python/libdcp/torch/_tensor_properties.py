"""Properties of tensors, whichever of them this PyTorch knows."""

from __future__ import annotations

import dataclasses
from typing import Any

from .metadata import TensorProperties

_FIELDS = tuple(field.name for field in dataclasses.fields(TensorProperties))


def properties_of_shards(properties: Any) -> TensorProperties:
    """Those of a ShardedTensor, which are of another class, as a checkpoint has them."""
    return TensorProperties(**{name: getattr(properties, name) for name in _FIELDS})
