"""The checkpoint of many shards that B6 and B8 read. Making it takes minutes; it is kept."""

from __future__ import annotations

import dataclasses
import pathlib

from . import files
from .session import Session

NAME = "model.norm.weight"
ELEMENTS = 4096


@dataclasses.dataclass(frozen=True)
class Shards:
    folder: pathlib.Path
    chunks: int


def shards(session: Session) -> Shards:
    ranks, tensors = session.sizes.ranks, session.sizes.tensors
    folder = session.cache / f"shards-{ranks}x{tensors}"
    complete = session.cache / f"{folder.name}.complete"

    def make() -> Shards:
        if not complete.exists():
            session.tell(f"making a checkpoint of {ranks} ranks with {tensors} tensors")
            session.worker(
                "dcp",
                "make_shards",
                files.fresh(folder),
                ranks=ranks,
                tensors=tensors,
                name=NAME,
                elements=ELEMENTS,
            )
            session.settle()
            complete.touch()
        return Shards(folder, ranks * tensors + 1)

    return session.once("shards", make)
