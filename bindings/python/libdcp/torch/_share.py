"""Names of a module of PyTorch's, offered under a module of ours."""

from __future__ import annotations

from types import ModuleType
from typing import Any


def share(stock: ModuleType, into: dict[str, Any]) -> list[str]:
    """Puts every name of ``stock`` that ``into`` (a module's ``globals()``) lacks into it, private
    ones too: they are the same objects. Returns what belongs in ``__all__``."""
    for name, value in vars(stock).items():
        if not name.startswith("__"):
            into.setdefault(name, value)
    listed = getattr(stock, "__all__", None)
    if listed is None:
        listed = [name for name in vars(stock) if not name.startswith("_")]
    return list(listed)
