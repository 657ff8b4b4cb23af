"""torch.distributed.checkpoint."""

from __future__ import annotations

import logging
import warnings

import torch.distributed.checkpoint as dcp

from .calls import Calls
from .dcp_parts import PARTS
from .dcp_shards import make_shards

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

CALLS = Calls(dcp, syncs=False)
warm_up = CALLS.warm_up

WORKS = {**CALLS.works(), "make_shards": make_shards, **PARTS}
