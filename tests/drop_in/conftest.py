"""DCP_PYTHON_DIR names the folder that holds the built package, when it is not installed where Python
finds it."""

import os
import pathlib
import sys

if "DCP_PYTHON_DIR" in os.environ:
    sys.path.insert(0, os.environ["DCP_PYTHON_DIR"])
sys.path.insert(0, str(pathlib.Path(__file__).parent))
