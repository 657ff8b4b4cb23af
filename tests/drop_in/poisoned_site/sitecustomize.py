"""Poisons torch.distributed.checkpoint in every Python process that has this folder on its path; see
../poison.py."""

import importlib.util
import pathlib
import sys

_spec = importlib.util.spec_from_file_location(
    "libdcp_poison", pathlib.Path(__file__).resolve().parents[1] / "poison.py"
)
_poison = importlib.util.module_from_spec(_spec)
sys.modules["libdcp_poison"] = _poison
_spec.loader.exec_module(_poison)
_poison.install_when_imported()
