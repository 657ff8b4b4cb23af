"""Loads into memory that is there, by everyone: what B3, B4, B5 and B12 measure."""

from __future__ import annotations

import pathlib
from typing import Any, Callable, Iterable

from . import files
from .alternate import Subject
from .layouts import Layout
from .processes import Failed
from .saves import LABELS, OTHERS, OURS_C, OURS_PYTHON, ours_saves, worker_saves
from .series import Sample
from .session import Session

OURS_C_STOCK = "ours-c-stock"
MMAP = "torch_load_mmap"


def saved_by(session: Session, library: str, layout: Layout) -> pathlib.Path:
    """A folder that `library` ("ours": libdcp, from C) saved the layout into, until released."""

    def make() -> pathlib.Path:
        folder = files.fresh(session.folder / "files" / layout.name / library)
        session.need_space(layout.nbytes * 2)
        session.tell(f"files for loads: {layout.name} saved by {library}")
        if library == "ours":
            ours_saves(session, layout, folder)
            session.verify_by_stock(folder, layout, f"{layout.name} saved for loads")
        else:
            worker_saves(session, library, layout, folder)
        return folder

    return session.once(_key(layout, library), make)


def _key(layout: Layout, library: str) -> str:
    return f"saved {layout.name} {library}"


def release(session: Session, layout: Layout, libraries: Iterable[str]) -> None:
    """Removes what saved_by made; it is made again when asked for."""
    for library in libraries:
        files.remove(session.folder / "files" / layout.name / library)
        session.forget(_key(layout, library))


def limit_read(session: Session, folder: pathlib.Path) -> Sample:
    return session.driver("limit-read", session.settle, folder=folder)


def _fails(reason: str) -> Callable[[], Sample]:
    def run() -> Sample:
        raise Failed(reason)

    return run


LIMIT_READ = "the disk (O_DIRECT read of the same files)"


def limit_copy(session: Session, nbytes: int, threads: int) -> Sample:
    return session.driver("limit-copy", bytes=nbytes, threads=threads)


def load_subjects(
    session: Session,
    layout: Layout,
    cold: bool,
    others: tuple[str, ...] = OTHERS,
    limit: Callable[[pathlib.Path], Sample] | None = None,
) -> list[Subject]:
    """Cold: nothing of the files is in the page cache; else all of them are. Every run compares
    what it loaded. Ours are paired with `limit` of the folder they load."""

    def ready(folder: pathlib.Path) -> Callable[[], None]:
        return lambda: (session.make_cold if cold else files.make_warm)(folder)

    def ours(name: str, label: str, library: str) -> Subject:
        folder = saved_by(session, library, layout)

        def run() -> Sample:
            if name == OURS_PYTHON:
                return worker("libdcp", folder)
            return session.driver("load", ready(folder), layout=layout.path, folder=folder)

        paired = (lambda: limit(folder)) if limit else None
        return Subject(name, label, "ours", run, paired)

    def worker(library: str, folder: pathlib.Path, **options: Any) -> Sample:
        return session.worker(
            library, "load", folder, ready(folder), layout=str(layout.path), **options
        )

    def peer(name: str, label: str, library: str, **options: Any) -> Subject:
        try:
            folder = saved_by(session, library, layout)
        except Failed as failure:
            return Subject(name, label, "peer", _fails(str(failure)))
        return Subject(name, label, "peer", lambda: worker(library, folder, **options))

    subjects = [
        ours(OURS_C, LABELS[OURS_C], "ours"),
        peer("dcp", "DCP", "dcp"),
        ours(OURS_PYTHON, LABELS[OURS_PYTHON], "ours"),
        ours(OURS_C_STOCK, "libdcp, C, of DCP's files", "dcp"),
    ]
    labels = {**LABELS, "torch_save": "torch.load + copy", "safetensors": "safetensors + copy"}
    for library in others:
        subjects.append(peer(library, labels[library], library))
        if library == "torch_save":
            subjects.append(peer(MMAP, "torch.load, mmap + copy", library, mmap=True))
    return subjects
