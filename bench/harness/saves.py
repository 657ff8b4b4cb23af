"""Durable saves of one layout by everyone: what B1, B2, B5 and B12 measure."""

from __future__ import annotations

import pathlib
from typing import Any, Callable

from . import files
from .alternate import Subject
from .layouts import Layout
from .series import Sample
from .session import Session

OURS_C, OURS_PYTHON = "ours-c", "ours-python"
DCP = ("dcp-1", "dcp-2", "dcp-4")  # the first is DCP's default
LABELS = {
    OURS_C: "libdcp, C",
    OURS_PYTHON: "libdcp, Python",
    "dcp": "DCP",
    "dcp-1": "DCP, thread_count 1 (its default)",
    "dcp-2": "DCP, thread_count 2",
    "dcp-4": "DCP, thread_count 4",
    "torch_save": "torch.save",
    "safetensors": "safetensors",
    "torchsnapshot": "torchsnapshot",
    "torch_checkpointing": "torch_checkpointing",
}
OTHERS = ("torch_save", "safetensors", "torchsnapshot", "torch_checkpointing")


def ours_saves(session: Session, layout: Layout, folder: pathlib.Path, **options: Any) -> Sample:
    return session.driver("save", session.settle, layout=layout.path, folder=folder, **options)


def worker_saves(
    session: Session, library: str, layout: Layout, folder: pathlib.Path, **options: Any
) -> Sample:
    return session.worker(
        library, "save", folder, session.settle, layout=str(layout.path), **options
    )


def limit_write(session: Session, nbytes: int) -> Sample:
    """O_DIRECT, synced. Of at least `nbytes`; the time is that of `nbytes`."""
    sample = session.driver("limit-write", session.settle, folder=session.folder, bytes=nbytes)
    sample.wall_s *= nbytes / sample.facts["bytes"]
    return sample


LIMIT_WRITE = "the disk (O_DIRECT write, synced)"


def save_subjects(
    session: Session, layout: Layout, others: tuple[str, ...] = OTHERS, limited: bool = True
) -> list[Subject]:
    """Each run saves into a folder that is not there, which is removed afterwards. The first
    checkpoint of each of ours is loaded and compared by PyTorch before that."""
    session.need_space(layout.nbytes * 2)

    def subject(name: str, kind: str, save: Callable[[pathlib.Path], Sample]) -> Subject:
        def run() -> Sample:
            folder = files.fresh(session.folder / "save" / name)
            try:
                sample = save(folder)
                if kind == "ours":
                    what = f"{layout.name} saved by {LABELS[name]}"
                    session.once(what, lambda: session.verify_by_stock(folder, layout, what))
            finally:
                files.remove(folder)
            return sample

        paired = limited and kind == "ours"
        limit = (lambda: limit_write(session, layout.nbytes)) if paired else None
        return Subject(name, LABELS[name], kind, run, limit)

    def dcp(threads: int) -> Callable[[pathlib.Path], Sample]:
        return lambda folder: worker_saves(session, "dcp", layout, folder, threads=threads)

    def other(name: str) -> Callable[[pathlib.Path], Sample]:
        return lambda folder: worker_saves(session, name, layout, folder)

    return [
        subject(OURS_C, "ours", lambda folder: ours_saves(session, layout, folder)),
        *[subject(name, "peer", dcp(int(name[-1]))) for name in DCP],
        subject(OURS_PYTHON, "ours", other("libdcp")),
        *[subject(name, "peer", other(name)) for name in others],
    ]
