"""libdcp.torch, imported in the place of torch.distributed.checkpoint."""

from __future__ import annotations

import logging
import warnings

import libdcp.torch as dcp

from .calls import Calls

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

CALLS = Calls(dcp, syncs=True)
warm_up = CALLS.warm_up

WORKS = CALLS.works()
