"""Saving."""

from __future__ import annotations

from typing import Any, Iterable, Mapping

from . import dcp_raw as raw
from ._communicator import Communicator, native_communicator
from ._collection import uncollected
from ._context import Context, context_for, milliseconds, set_handles
from ._future import Future
from ._plan_cache import PlanCache, native_plan_cache
from ._planner import SavePlanner, native_save_planner
from ._progress import ProgressCallback
from ._report import SaveReport
from ._run import blocking
from ._storage import Storage, Where, native_storage
from ._storage_roles import StorageWriter, native_storage_writer
from ._transform import TransformLike

DIALECTS = {
    "default": raw.DCP_DIALECT_DEFAULT,
    "torch-2.1": raw.DCP_DIALECT_TORCH_2_1,
}


def save_options(
    *,
    overwrite: bool,
    files: int,
    file_per_item: bool,
    transforms: list[str],
    durable: bool,
    flatten: bool,
    dialect: str,
    checkpoint_id: str | None,
    block_checksums: bool,
    timeout: float | None,
    communicator: Any = None,
    coordinator: int = 0,
    dedup_to_lowest_rank: bool = False,
    use_collectives: bool = True,
    planner: Any = None,
    storage_writer: Any = None,
    plan_cache: Any = None,
    cancel: Any = None,
) -> Any:
    if dialect not in DIALECTS:
        raise ValueError(f"dialect is one of {', '.join(DIALECTS)}, not {dialect!r}")
    options = raw.dcp_save_options()
    options.overwrite = int(bool(overwrite))
    options.files = int(files)
    options.file_per_item = int(bool(file_per_item))
    options.durable = int(bool(durable))
    options.flatten = int(bool(flatten))
    options.dialect = DIALECTS[dialect]
    options.block_checksums = int(bool(block_checksums))
    options.timeout_ms = milliseconds(timeout)
    if transforms:
        raw.set_transforms(options, transforms)
    if checkpoint_id is not None:
        raw.set_checkpoint_id(options, str(checkpoint_id))
    options.coordinator = int(coordinator)
    options.dedup_to_lowest_rank = int(bool(dedup_to_lowest_rank))
    options.use_collectives = int(bool(use_collectives))
    set_handles(
        options,
        communicator=communicator,
        planner=planner,
        storage_writer=storage_writer,
        plan_cache=plan_cache,
        cancel=cancel,
    )
    return options


def _location(storage: Any, writer: StorageWriter | None) -> str:
    return str(raw.dcp_storage_location(storage) if writer is None else writer.location())


class PlainTree(dict):  # type: ignore[type-arg]
    """A tree whose top level is known to have no objects that offer a state_dict()."""


def plain(tree: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Top-level values that offer a state_dict() (modules, optimizers) replaced by it."""
    if type(tree) is PlainTree:
        return tree
    if not isinstance(tree, Mapping):
        raise TypeError(f"a state dict is a mapping, not {type(tree).__name__}")
    if any(is_stateful(value) for value in tree.values()):
        return {
            key: value.state_dict() if is_stateful(value) else value for key, value in tree.items()
        }
    return tree


def is_stateful(value: Any) -> bool:
    return (
        callable(getattr(type(value), "state_dict", None))
        and callable(getattr(type(value), "load_state_dict", None))
        and not isinstance(value, Mapping)
    )


class _Refusal(Storage):
    """Stands for the storage of a rank that has nothing to save or load with, so that its part
    fails in the plan."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def make_root(self) -> None:
        raise self._error

    def create(self, path: str, expected_size: int) -> Any:
        raise self._error

    def open(self, path: str) -> tuple[Any, int]:
        raise self._error

    def list(self) -> Iterable[str]:
        raise self._error


def encoded(
    tree: Mapping[Any, Any], target: int, ranks: Any, storage: Any
) -> tuple[Mapping[Any, Any], Any, Any, Exception | None]:
    """(plain tree, state, storage, why it cannot be told or None). A tree that cannot be told ends the
    call; among ranks, it lets the call fail for all of them instead of leaving the others to wait:
    with this storage, and storage roles that refuse."""
    try:
        flat = plain(tree)
        with uncollected():
            return flat, raw.pydcp_state_dict(flat, target), storage, None
    except Exception as error:
        if ranks is None:
            raise
        refusing = native_storage(_Refusal(error))
        return {}, raw.pydcp_state_dict({}, target), refusing, error


def save(
    tree: Mapping[Any, Any],
    where: Where | None = None,
    *,
    overwrite: bool = True,
    files: int = 1,
    file_per_item: bool = False,
    transforms: Iterable[TransformLike] = (),
    durable: bool = True,
    flatten: bool = True,
    dialect: str = "default",
    checkpoint_id: str | None = None,
    block_checksums: bool = True,
    timeout: float | None = 600.0,
    communicator: Communicator | None = None,
    coordinator: int = 0,
    dedup_to_lowest_rank: bool = False,
    use_collectives: bool = True,
    planner: SavePlanner | None = None,
    storage_writer: StorageWriter | None = None,
    plan_cache: PlanCache | None = None,
    progress: ProgressCallback | None = None,
    context: Context | None = None,
) -> SaveReport:
    """Saves a nested dict and commits it. A reader finds the old checkpoint or the new one at every
    instant; after an error or Ctrl-C, the old one.

    tree: names to arrays (numpy, torch on the CPU, anything with DLPack on the CPU), plain values
        and nested dicts and lists of them; also Sharded, RawArray, Opaque, and at the top level
        objects with state_dict().
    where: a path, a file:// URL, or a Storage.
    overwrite: False makes an existing checkpoint AlreadyExistsError.
    files: how many data files; file_per_item writes one a tensor or object instead.
    transforms: names ("stream.zstd") or Transform objects, applied to every item.
    durable: when the call returns, the checkpoint survives a power cut.
    flatten: False keeps the top level's names and stores nested values as objects.
    dialect: "default" is read by torch 2.4 to 2.15, "torch-2.1" by every version.
    checkpoint_id: recorded in the metadata; the location if not given.
    block_checksums: lets slices be checked when they are read.
    timeout: seconds of silence of another rank before it counts as missing; None waits for ever.
    communicator: the ranks that save together, each with its part of the tree (Sharded) or the same;
        this process alone if not given. Every rank calls save with the same options.
    coordinator: the rank that plans and commits.
    dedup_to_lowest_rank: what several ranks hold is written by the lowest of them, not by the one
        with the least to write.
    use_collectives: False leaves plans and results on their ranks, each of which writes all it has
        and commits it as ``__{rank}.metadata``; none is put in place before all have written.
    planner: chooses what is written and what the items hold.
    storage_writer: stores it, in place of ``where``.
    plan_cache: a PlanCache that the saves of this family of checkpoints share, for many ranks whose
        layout stays.
    progress: called with a ProgressEvent about ten times a second.
    """
    context, names = context_for(context, progress, transforms)
    writer = native_storage_writer(storage_writer, where)
    storage = native_storage(where) if writer is None else None
    chosen = native_save_planner(planner, dedup_to_lowest_rank)
    ranks = native_communicator(communicator)
    cancel = raw.dcp_cancel_new()
    options = save_options(
        overwrite=overwrite,
        files=files,
        file_per_item=file_per_item,
        transforms=names,
        durable=durable,
        flatten=flatten,
        dialect=dialect,
        checkpoint_id=checkpoint_id,
        block_checksums=block_checksums,
        timeout=timeout,
        communicator=ranks,
        coordinator=coordinator,
        dedup_to_lowest_rank=dedup_to_lowest_rank,
        use_collectives=use_collectives,
        planner=chosen,
        storage_writer=writer,
        plan_cache=native_plan_cache(plan_cache),
        cancel=cancel,
    )
    _, state, used, refused = encoded(tree, 0, ranks, storage)
    if refused is not None:
        set_handles(options, planner=None, storage_writer=None)
    report = blocking(
        lambda: raw.dcp_save(context._native, used, state, options),
        lambda: raw.dcp_cancel_request(cancel),
    )
    return SaveReport.of(report, _location(storage, storage_writer))


def async_save(
    tree: Mapping[Any, Any],
    where: Where | None = None,
    *,
    overwrite: bool = True,
    files: int = 1,
    file_per_item: bool = False,
    transforms: Iterable[TransformLike] = (),
    durable: bool = True,
    flatten: bool = True,
    dialect: str = "default",
    checkpoint_id: str | None = None,
    block_checksums: bool = True,
    timeout: float | None = 600.0,
    communicator: Communicator | None = None,
    coordinator: int = 0,
    dedup_to_lowest_rank: bool = False,
    use_collectives: bool = True,
    planner: SavePlanner | None = None,
    storage_writer: StorageWriter | None = None,
    plan_cache: PlanCache | None = None,
    progress: ProgressCallback | None = None,
    context: Context | None = None,
) -> Future:
    """Copies every tensor, then saves in the background: the tree may change once this returns.
    Arguments as in :func:`save`. An interpreter that exits meanwhile waits for the save, ``timeout``
    seconds at most."""
    context, names = context_for(context, progress, transforms)
    writer = native_storage_writer(storage_writer, where)
    storage = native_storage(where) if writer is None else None
    chosen = native_save_planner(planner, dedup_to_lowest_rank)
    ranks = native_communicator(communicator)
    cancel = raw.dcp_cancel_new()
    options = save_options(
        overwrite=overwrite,
        files=files,
        file_per_item=file_per_item,
        transforms=names,
        durable=durable,
        flatten=flatten,
        dialect=dialect,
        checkpoint_id=checkpoint_id,
        block_checksums=block_checksums,
        timeout=timeout,
        communicator=ranks,
        coordinator=coordinator,
        dedup_to_lowest_rank=dedup_to_lowest_rank,
        use_collectives=use_collectives,
        planner=chosen,
        storage_writer=writer,
        plan_cache=native_plan_cache(plan_cache),
        cancel=cancel,
    )
    _, state, used, refused = encoded(tree, 0, ranks, storage)
    if refused is not None:
        set_handles(options, planner=None, storage_writer=None)
    native = blocking(
        lambda: raw.dcp_save_async(context._native, used, state, options),
        lambda: raw.dcp_cancel_request(cancel),
    )
    keep = (context, storage, where, options)
    return Future(native, _location(storage, storage_writer), timeout, keep)
