"""PyTorch's helpers for tests of checkpoints (Rot13Example and others), as they are and as a program has
them that has changed its import to libdcp.torch."""

import importlib.util
import pathlib
import types

NAME = "torch.testing._internal.distributed.checkpoint_utils"
STOCK = "torch.distributed.checkpoint"


def helpers(module):
    """The module over `module`: STOCK, or "libdcp.torch"."""
    source = pathlib.Path(importlib.util.find_spec(NAME).origin).read_text()
    made = types.ModuleType(f"checkpoint_utils_over_{module.replace('.', '_')}")
    exec(compile(source.replace(STOCK, module), made.__name__, "exec"), made.__dict__)
    return made
