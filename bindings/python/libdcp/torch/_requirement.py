"""Which PyTorch this package works with."""

from __future__ import annotations

import re

OLDEST = (2, 13)


def check() -> None:
    """ImportError where there is no PyTorch, or one that is too old."""
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"libdcp.torch needs torch {_text(OLDEST)} or later, which is not installed; libdcp itself "
            "works without it"
        ) from error
    found = re.match(r"(\d+)\.(\d+)", torch.__version__)
    if found is None or (int(found.group(1)), int(found.group(2))) < OLDEST:
        raise ImportError(
            f"libdcp.torch needs torch {_text(OLDEST)} or later, and found {torch.__version__}: update "
            "torch, or use libdcp, whose checkpoints torch.distributed.checkpoint reads and writes"
        )


def _text(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
