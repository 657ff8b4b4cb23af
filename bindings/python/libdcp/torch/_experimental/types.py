"""Who saves, and what."""

from torch.distributed.checkpoint._experimental.types import STATE_DICT, RankInfo

__all__ = ["STATE_DICT", "RankInfo"]
