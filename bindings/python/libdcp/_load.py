"""Loading: everything, or into what the caller has."""

from __future__ import annotations

from typing import Any, Iterable, Mapping

from . import dcp_raw as raw
from ._checkpoint import Checkpoint
from ._communicator import Communicator, native_communicator
from ._context import Context, context_for, milliseconds, set_handles
from ._errors import NoSuchEntryError
from ._planner import LoadPlanner, native_load_planner
from ._progress import ProgressCallback
from ._report import LoadReport
from ._run import blocking
from ._save import encoded, is_stateful
from ._storage import Where, native_storage
from ._storage_roles import StorageReader, native_storage_reader, refusing_reader
from ._transform import TransformLike


def load(
    where: Where,
    *,
    keys: Iterable[str] | None = None,
    nested: bool = True,
    verify: bool = True,
    transforms: Iterable[TransformLike] = (),
    progress: ProgressCallback | None = None,
    context: Context | None = None,
) -> dict[str, Any]:
    """The whole checkpoint as a nested dict of numpy arrays and plain values; nothing has to be
    known of it beforehand.

    keys: only these flat names, and those below them ("model" takes "model.weight").
    nested: False gives flat names as they are stored.
    verify: check every checksum over what is read.
    transforms: Transform objects the files need besides the built-in ones.
    """
    with Checkpoint(
        where, verify=verify, transforms=transforms, progress=progress, context=context
    ) as checkpoint:
        if keys is None:
            return checkpoint.read_all(nested=nested)
        return _load_some(checkpoint, list(keys), nested)


def _load_some(checkpoint: Checkpoint, keys: list[str], nested: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    chosen: list[str] = []
    for key in keys:
        below = key + "."
        names = [name for name in checkpoint if name == key or name.startswith(below)]
        if not names:
            raise NoSuchEntryError(f"the checkpoint has no entry '{key}', and none below it")
        chosen += [name for name in names if name not in chosen]
    for name in chosen:
        entry = checkpoint[name]
        if nested:
            _grow(found, entry.path, entry.read())
        else:
            found[name] = entry.read()
    return _as_lists(found) if nested else found


class _Items(dict):  # type: ignore[type-arg]
    """A list that is being put together, by index."""


def _grow(root: dict[Any, Any], path: tuple[str | int, ...], value: Any) -> None:
    at = root
    for step, following in zip(path[:-1], path[1:]):
        at = at.setdefault(step, _Items() if isinstance(following, int) else {})
    at[path[-1]] = value


def _as_lists(node: Any) -> Any:
    """Lists of the entries that were asked for, in order; places of others are left out."""
    if isinstance(node, _Items):
        return [_as_lists(node[index]) for index in sorted(node)]
    if type(node) is dict:
        return {key: _as_lists(value) for key, value in node.items()}
    return node


def load_into(
    tree: Mapping[Any, Any],
    where: Where | None = None,
    *,
    partial: bool = False,
    cast: bool = True,
    verify: bool = True,
    flatten: bool = True,
    timeout: float | None = 600.0,
    communicator: Communicator | None = None,
    coordinator: int = 0,
    planner: LoadPlanner | None = None,
    storage_reader: StorageReader | None = None,
    checkpoint_id: str | None = None,
    transforms: Iterable[TransformLike] = (),
    progress: ProgressCallback | None = None,
    context: Context | None = None,
) -> LoadReport:
    """Fills the arrays of ``tree`` in place (numpy, torch on the CPU, DLPack, Sharded, RawArray) and
    sets its other values. After an error arrays may be partly filled.

    partial: leave what the checkpoint lacks as it is, and report it.
    cast: False makes another dtype in the checkpoint MismatchError.
    flatten: as it was when saved.
    communicator: the ranks that load together: what fails on one fails on all, and names it.
    coordinator: the rank that failures are told to.
    planner: chooses what is read and where it goes.
    storage_reader: reads it, in place of ``where``.
    checkpoint_id: what the storage reader is reset with.
    """
    report, objects, target = load_state(
        tree,
        where,
        partial=partial,
        cast=cast,
        verify=verify,
        flatten=flatten,
        timeout=timeout,
        communicator=communicator,
        coordinator=coordinator,
        planner=planner,
        storage_reader=storage_reader,
        checkpoint_id=checkpoint_id,
        transforms=transforms,
        progress=progress,
        context=context,
    )
    for name, path, value in objects:
        _set(target, path if flatten else (path[0] if path else name,), value)
    if target is not tree:
        for key, value in tree.items():
            if is_stateful(value):
                value.load_state_dict(target[key])
            elif value is not target[key]:
                tree[key] = target[key]  # type: ignore[index]
    return report


def load_state(
    tree: Mapping[Any, Any],
    where: Where | None,
    *,
    partial: bool,
    cast: bool,
    verify: bool,
    flatten: bool,
    timeout: float | None,
    communicator: Communicator | None,
    coordinator: int,
    planner: LoadPlanner | None,
    storage_reader: StorageReader | None,
    checkpoint_id: str | None,
    transforms: Iterable[TransformLike],
    progress: ProgressCallback | None,
    context: Context | None,
) -> tuple[LoadReport, list[tuple[str, tuple[str | int, ...], Any]], Mapping[Any, Any]]:
    """Fills the arrays. What else was asked for comes back as (name, path, value), with the tree that
    the paths are for: top-level objects replaced by what their state_dict() gave."""
    context, _ = context_for(context, progress, transforms)
    reader = native_storage_reader(storage_reader, where)
    storage = native_storage(where) if reader is None else None
    cancel = raw.dcp_cancel_new()
    options = raw.dcp_load_options()
    options.allow_partial = int(bool(partial))
    options.allow_cast = int(bool(cast))
    options.verify = int(bool(verify))
    options.flatten = int(bool(flatten))
    options.timeout_ms = milliseconds(timeout)
    options.coordinator = int(coordinator)
    if checkpoint_id is not None:
        raw.set_load_checkpoint_id(options, str(checkpoint_id))
    ranks = native_communicator(communicator)
    target, state, used, refused = encoded(tree, 1, ranks, storage)
    if refused is not None and storage_reader is not None:
        reader = refusing_reader(storage_reader, refused)
    set_handles(
        options,
        communicator=ranks,
        planner=native_load_planner(planner, target),
        storage_reader=reader,
        cancel=cancel,
    )
    report = blocking(
        lambda: raw.dcp_load(context._native, used, state, options),
        lambda: raw.dcp_cancel_request(cancel),
    )
    *fields, objects = raw.pydcp_load_report(report)
    return LoadReport(*fields), objects, target


def _step(node: Any, step: str | int) -> Any:
    """The key of `node` that a path element stands for: keys were made text when flattened."""
    if not isinstance(node, Mapping) or step in node:
        return step
    for key in node:
        if str(key) == str(step):
            return key
    return step


def _set(tree: Any, path: tuple[str | int, ...], value: Any) -> None:
    node = tree
    for step in path[:-1]:
        node = node[_step(node, step)]
    node[_step(node, path[-1])] = value
