"""Where a saved chunk and a wanted one meet."""

from __future__ import annotations

from ._boxes import overlap, shared_region
from .metadata import ChunkStorageMetadata

__all__: list[str] = []


def _check_shard_metadata_pair_overlap(
    shard1: ChunkStorageMetadata, shard2: ChunkStorageMetadata
) -> bool:
    """Whether two chunks of one tensor overlap."""
    return overlap(shard1, shard2)


def _shards_get_overlap_region_wrt_saved_tensor(
    saved_shard: ChunkStorageMetadata, current_shard: ChunkStorageMetadata
) -> list[tuple[int, int, int, int]]:
    """For each dimension: its number, where the shared region starts in the saved chunk, where in
    the current one, and its length."""
    return [
        (dimension, in_saved, in_current, length)
        for dimension, (in_saved, in_current, length) in enumerate(
            shared_region(saved_shard, current_shard)
        )
    ]
