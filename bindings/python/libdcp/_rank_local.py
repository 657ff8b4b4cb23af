"""Rank-local checkpoints: one file a rank, that torch.load reads."""

from __future__ import annotations

import collections.abc
import dataclasses
import itertools
import sys
from typing import Any, Callable, TypeVar

import numpy as np

from . import dcp_raw as raw
from ._barrier import BarrierConfig, create_barrier_from_config, native_barrier
from ._context import Context
from ._convert import numpy_dtypes
from ._errors import MismatchError, StateMismatchError
from ._future import Future
from ._run import blocking
from ._save import plain
from ._storage import Where, native_storage
from ._types import RawArray

T = TypeVar("T")


class CommitHook:
    """What happens around the commit of a rank-local save. Subclass it.

    Both are called on the thread that writes, with the ``path`` of the checkpoint and the extra
    arguments of the save: plain values and arrays, as they would come out of a checkpoint. What a
    hook raises ends the save, and is ``__cause__`` of its error.
    """

    def pre_commit(self, path: str, **kwargs: Any) -> None:
        """This rank's file is there and durable; the others' may not be."""

    def post_commit(self, path: str, **kwargs: Any) -> None:
        """Every rank has come to the barrier."""


def _native_hook(hook: Any) -> Any:
    if hook is None:
        return None
    for name in ("pre_commit", "post_commit"):
        if not callable(getattr(hook, name, None)):
            raise TypeError(f"commit_hook is a libdcp.CommitHook; {type(hook).__name__} has no {name}()")
    return raw.pydcp_commit_hook(hook)


def _writer_options(
    rank: int,
    world_size: int,
    barrier: Any,
    commit_hook: Any,
    barrier_timeout: float | None,
    durable: bool,
) -> Any:
    options = raw.dcp_rank_writer_options()
    options.rank = int(rank)
    options.world_size = int(world_size)
    options.durable = int(bool(durable))
    options.barrier_timeout_secs = -1.0 if barrier_timeout is None else max(0.0, barrier_timeout)
    handles = native_barrier(barrier), _native_hook(commit_hook)
    if handles[0] is not None:
        options.barrier = handles[0]
    if handles[1] is not None:
        options.commit_hook = handles[1]
    return options, handles  # the handles must live until the options are used


def _state(state_dict: Any) -> Any:
    if isinstance(state_dict, collections.abc.Mapping):
        state_dict = plain(state_dict)
    return raw.pydcp_encode_state(state_dict, 0)


def _extra(kwargs: dict[str, Any]) -> Any:
    return raw.pydcp_encode(kwargs) if kwargs else None


def _with_cancel(call: Callable[[Any], T]) -> T:
    cancel = raw.dcp_cancel_new()
    return blocking(lambda: call(cancel), lambda: raw.dcp_cancel_request(cancel))


class RankWriter:
    """Writes ``checkpoint_{rank}.pt``, in this order: the file, durable; ``pre_commit``; the barrier;
    ``post_commit``. The first that fails is the error (``details["step"]`` says which), and nothing
    after it is done. An older file stays until the new one is whole.

    rank, world_size: of this process.
    barrier: a Barrier, or anything with execute_barrier(); ranks do not wait for each other if not
        given.
    commit_hook: a CommitHook.
    barrier_timeout: seconds for all ranks to come, None without end. It holds whatever the barrier
        does. Ranks that did not come are in the error's ``failures``.
    durable: the file survives a power cut before pre_commit is called.
    """

    def __init__(
        self,
        rank: int = 0,
        world_size: int = 1,
        *,
        barrier: Any = None,
        commit_hook: Any = None,
        barrier_timeout: float | None = 600.0,
        durable: bool = True,
        context: Context | None = None,
    ) -> None:
        options, _handles = _writer_options(
            rank, world_size, barrier, commit_hook, barrier_timeout, durable
        )
        self._barrier = barrier  # which may hold what it needs: a store's server
        self._native = raw.dcp_rank_writer_new(context._native if context else None, options)

    def write(self, path: Where, state_dict: Any, **kwargs: Any) -> None:
        """Saves any value that a checkpoint can hold; usually a dict. ``kwargs`` are for the hook."""
        storage, state, extra = native_storage(path), _state(state_dict), _extra(kwargs)
        _with_cancel(
            lambda cancel: raw.dcp_rank_writer_write(self._native, storage, state, extra, cancel)
        )

    def close(self) -> None:
        """Lets go of barrier and hook; writes then fail. Again and again."""
        raw.dcp_rank_writer_close(self._native)
        self._barrier = None

    def __enter__(self) -> "RankWriter":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


# ---- reading ----


def _is_filled(target: Any) -> bool:
    """Whether it is memory that a load writes to."""
    if isinstance(target, np.ndarray):
        return target.dtype.newbyteorder("=") in numpy_dtypes
    return isinstance(target, RawArray) or hasattr(type(target), "__dlpack__")


def _merged(target: Any, read: Any) -> Any:
    """The target with the values of `read`, which has the same keys in the same order."""
    if target is None or _is_filled(target):
        return read if target is None else target
    if isinstance(target, collections.abc.Mapping) and isinstance(read, dict):
        for key, value in zip(list(target), read.values()):
            target[key] = _merged(target[key], value)  # type: ignore[index]
        return target
    if isinstance(target, list) and isinstance(read, list):
        return [_merged(old, new) for old, new in itertools.zip_longest(target, read)]
    if type(target) in (bool, int, float, str, bytes) and target == read:
        return target
    return read


def _read(call: Callable[[Any], Any], state_dict: Any) -> tuple[Any, list[str]]:
    target = None if state_dict is None else raw.pydcp_encode_state(state_dict, 1)
    try:
        state, missing = blocking(lambda: call(target), lambda: None)
    except MismatchError as error:
        raise StateMismatchError(error.message, details=error.details) from None
    read = raw.pydcp_decode(state)
    return _merged(state_dict, read), raw.pydcp_decode(missing)


class RankReader:
    """Reads the file of a rank, as libdcp or PyTorch's CheckpointWriter wrote it."""

    def __init__(self, rank: int = 0, world_size: int = 1) -> None:
        self._native = raw.dcp_rank_reader_new(rank, world_size)

    def read(self, path: Where, state_dict: Any = None) -> tuple[Any, list[str]]:
        """(state, missing keys). Without ``state_dict`` the whole file, arrays as numpy's. Else only
        what ``state_dict`` has: its arrays are filled in place, whatever their strides, None takes
        what is there, other values are set, and what the file lacks stays as it was and is in the
        missing keys ("model.weight"). The same dict comes back; lists in it are new ones.

        NotFoundError without a file; StateMismatchError (a RuntimeError) for a value of another type,
        or an array of another size or dtype."""
        storage = native_storage(path)
        return _read(
            lambda target: raw.dcp_rank_reader_read(self._native, storage, target), state_dict
        )


# ---- checkpointers ----


class Checkpointer:
    """A rank's writer and reader in one; arguments as for :class:`RankWriter`."""

    _asynchronous = False

    def __init__(
        self,
        rank: int = 0,
        world_size: int = 1,
        *,
        barrier: Any = None,
        commit_hook: Any = None,
        barrier_timeout: float | None = 600.0,
        durable: bool = True,
        context: Context | None = None,
    ) -> None:
        writer, _handles = _writer_options(
            rank, world_size, barrier, commit_hook, barrier_timeout, durable
        )
        options = raw.dcp_checkpointer_options()
        options.asynchronous = int(self._asynchronous)
        # What an interpreter that exits gives a save that is under way: it also writes.
        self._patience = None if barrier_timeout is None else max(barrier_timeout, 600.0)
        self._barrier = barrier  # as in RankWriter
        native = context._native if context else None
        self._native = raw.dcp_checkpointer_new(native, writer, options)

    def _save(self, storage: Any, state_dict: Any, kwargs: dict[str, Any]) -> Any:
        state, extra = _state(state_dict), _extra(kwargs)
        return _with_cancel(
            lambda cancel: raw.dcp_checkpointer_save(self._native, storage, state, extra, cancel)
        )

    def save(self, path: Where, state_dict: Any, **kwargs: Any) -> Any:
        """As :meth:`RankWriter.write`."""
        self._save(native_storage(path), state_dict, kwargs)

    def load(self, path: Where, state_dict: Any = None, *, strict: bool = False) -> Any:
        """As :meth:`RankReader.read`, without the missing keys: ``strict`` makes them
        StateMismatchError (a RuntimeError)."""
        storage = native_storage(path)
        return _read(
            lambda target: raw.dcp_checkpointer_load(
                self._native, storage, target, int(bool(strict))
            ),
            state_dict,
        )[0]

    def close(self) -> None:
        """Saves then fail, loads do not. Again and again."""
        raw.dcp_checkpointer_close(self._native, -1)
        self._barrier = None

    def __enter__(self) -> "Checkpointer":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


class AsyncCheckpointer(Checkpointer):
    """Saves in the background, one at a time. The barrier is executed there, so that nothing else may
    use its communicator meanwhile.

    A save that failed raises its error once more: from the next save, which then saves nothing, or
    from close()."""

    _asynchronous = True

    def save(self, path: Where, state_dict: Any, **kwargs: Any) -> Future:
        """Waits for the save before, copies every array, and writes in the background: the state may
        change once this returns."""
        storage = native_storage(path)
        native = self._save(storage, state_dict, kwargs)
        return Future(
            native, raw.dcp_storage_location(storage), self._patience, (self, storage, path)
        )

    def release_staging(self) -> None:
        """Gives back the memory of the copies, which is kept for the next save."""
        raw.dcp_checkpointer_release_staging(self._native)

    def close(self, timeout: float | None = None) -> None:
        """Waits for the save under way; libdcp.TimeoutError after ``timeout`` seconds, and it goes on.
        Its error, if it failed and no save has told so. Again and again."""
        wait = -1 if timeout is None else max(0, int(timeout * 1000))
        blocking(lambda: raw.dcp_checkpointer_close(self._native, wait), lambda: None)
        self._barrier = None


# ---- builders, as upstream's ----


@dataclasses.dataclass
class RankInfo:
    global_rank: int
    global_world_size: int


@dataclasses.dataclass
class CheckpointWriterConfig:
    write_barrier_timeout_secs: float = 600


@dataclasses.dataclass
class CheckpointerConfig:
    writer_config: CheckpointWriterConfig = dataclasses.field(
        default_factory=CheckpointWriterConfig
    )
    barrier_config: BarrierConfig = dataclasses.field(default_factory=BarrierConfig)


def _default_rank_info() -> RankInfo:
    """That of torch's default process group when this process has one, else one rank."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return RankInfo(distributed.get_rank(), distributed.get_world_size())
    return RankInfo(0, 1)


C = TypeVar("C", bound=Checkpointer)


def _make(
    kind: type[C], config: CheckpointerConfig | None, rank_info: RankInfo | None, commit_hook: Any
) -> C:
    config = config or CheckpointerConfig()
    rank_info = rank_info or _default_rank_info()
    return kind(
        rank_info.global_rank,
        rank_info.global_world_size,
        barrier=create_barrier_from_config(config.barrier_config),
        commit_hook=commit_hook,
        barrier_timeout=config.writer_config.write_barrier_timeout_secs,
    )


def make_sync_checkpointer(
    config: CheckpointerConfig | None = None,
    rank_info: RankInfo | None = None,
    commit_hook: Any = None,
) -> Checkpointer:
    """A Checkpointer with the barrier that ``config`` names. ``rank_info`` is torch's when
    torch.distributed is in use, else one rank."""
    return _make(Checkpointer, config, rank_info, commit_hook)


def make_async_checkpointer(
    config: CheckpointerConfig | None = None,
    rank_info: RankInfo | None = None,
    commit_hook: Any = None,
) -> AsyncCheckpointer:
    """As :func:`make_sync_checkpointer`. It saves on a thread, where upstream starts a process; with
    the barrier and hook that it is given, where upstream's has none."""
    return _make(AsyncCheckpointer, config, rank_info, commit_hook)
