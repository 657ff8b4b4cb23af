"""Whether the chunks of a checkpoint make up its tensors."""

from __future__ import annotations

import math
from typing import Iterator

from ._boxes import Entered, inside, overlap, span
from .metadata import BytesStorageMetadata, Metadata, TensorStorageMetadata


def problems(metadata: Metadata, ranks: int) -> Iterator[str]:
    """What is wrong, one line each: chunks out of bounds or overlapping, and, where there are
    several ranks, tensors whose chunks do not fill them."""
    for key, entry in metadata.state_dict_metadata.items():
        if not isinstance(entry, BytesStorageMetadata) and len(entry.size) > 0:
            yield from _of_tensor(key, entry, ranks)


def _of_tensor(key: str, entry: TensorStorageMetadata, ranks: int) -> Iterator[str]:
    for chunk in entry.chunks:
        if not inside(chunk, entry.size):
            yield f"key:{key} has out of bounds chunk: tensor-size:{entry.size} chunk: {chunk}"
    if len(entry.chunks) > 1:
        yield from _overlaps(key, entry)
    filled = sum(math.prod(chunk.sizes) for chunk in entry.chunks)
    volume = math.prod(entry.size)
    if ranks > 1 and filled != volume:
        yield f"key:{key} invalid fill tensor-volume: {volume} chunks-volume: {filled}"


def _overlaps(key: str, entry: TensorStorageMetadata) -> Iterator[str]:
    chunks = entry.chunks
    dimension = entry.size.index(max(entry.size))
    here = Entered()
    for number in sorted(
        range(len(chunks)),
        key=lambda i: (chunks[i].offsets[dimension], tuple(chunks[i].offsets)),
    ):
        start, end = span(chunks[number], dimension)
        here.leave_before(start)
        for other in here:
            if overlap(chunks[number], chunks[other]):
                yield f"key:{key} has overlapping chunks: {chunks[number]} {chunks[other]}"
        here.enter(end, number)
