"""Storage writers and storage readers: where the items of a save go, and come from."""

from __future__ import annotations

import concurrent.futures
from typing import Any, Callable, Iterable, Union

from . import dcp_raw as raw
from ._plan import (
    LoadPlan,
    LoadPlans,
    Metadata,
    ReadItem,
    SavePlan,
    SavePlans,
    WriteItem,
    settle_plan,
    settle_plans,
)
from ._planner import overridden

# What write_data gives at once, or when it has ended.
WriteOutcome = Union[bytes, bytearray, memoryview, None, "concurrent.futures.Future[Any]"]


class WriteRequest:
    """What a storage writer is to write. May be used, on any thread, until its future is done or the
    save has ended; later calls are InvalidArgumentError."""

    def __init__(self, lent: Any) -> None:
        self._lent = lent
        self.plan = SavePlan._of(raw.pydcp_request_plan(lent))

    def __len__(self) -> int:
        return len(self.plan)

    @property
    def items(self) -> list[WriteItem]:
        return self.plan.items

    @property
    def save_id(self) -> str:
        return raw.pydcp_request_save_id(self._lent)

    @property
    def storage_data(self) -> bytes:
        """As prepare_global_plan left it."""
        return self.plan.storage_data

    def value(self, item: int) -> Any:
        """What item number ``item`` holds: an array over the very memory that is saved, or an
        object."""
        return raw.pydcp_request_value(self._lent, item)

    def encode(self, item: int, write: Callable[[memoryview], Any] | None = None) -> bytes | None:
        """The item as torch's data files have it: as bytes, or in pieces given to ``write``, each
        valid during its call."""
        if write is not None:
            raw.pydcp_request_encode(self._lent, item, write)
            return None
        pieces: list[bytes] = []
        raw.pydcp_request_encode(self._lent, item, lambda piece: pieces.append(bytes(piece)))
        return b"".join(pieces)

    def still_here(self) -> None:
        """Still at work: this rank is to be waited for."""
        raw.pydcp_request_still_here(self._lent)


class ReadRequest:
    """What a storage reader is to read. Each item is to be given once: by ``decode``, ``commit`` or
    ``object``. Lifetime as of a WriteRequest; its methods are called one at a time."""

    def __init__(self, lent: Any) -> None:
        self._lent = lent
        self.plan = LoadPlan(raw.pydcp_request_plan(lent))

    def __len__(self) -> int:
        return len(self.plan)

    @property
    def items(self) -> list[ReadItem]:
        return self.plan.items

    @property
    def storage_data(self) -> bytes:
        """As prepare_global_plan left it."""
        return self.plan.storage_data

    def decode(self, item: int, data: Any) -> None:
        """Gives an item, or the chunk that holds it, as torch's data files have it: it is decoded,
        checked, cast and put where it goes."""
        raw.pydcp_request_decode(self._lent, item, data)

    def tensor(self, item: int) -> Any:
        """Where an item goes, as an array: fill it and ``commit`` it."""
        return raw.pydcp_request_tensor(self._lent, item)

    def commit(self, item: int) -> None:
        """The array that ``tensor`` gave is filled."""
        raw.pydcp_request_commit(self._lent, item)

    def object(self, item: int, value: Any) -> None:
        """Gives what was read for an item that is no tensor."""
        raw.pydcp_request_object(self._lent, item, value)

    def still_here(self) -> None:
        """Still at work: this rank is to be waited for."""
        raw.pydcp_request_still_here(self._lent)


class StorageWriter:
    """Stores what a save writes: upstream's StorageWriter. Subclass it and give it to
    :func:`libdcp.save` in place of ``where``.

    What a method raises fails the save on all ranks, in the step "plan" (``write_data`` and
    ``finish``: "write"); on its own rank it is the ``__cause__``. One writer serves one save at a
    time. Methods run on libdcp's threads, one at a time. Order of calls: ``validate_checkpoint_id``
    where there is one, ``reset``,
    ``set_up_storage_writer``, ``prepare_local_plan``, on the coordinator ``prepare_global_plan``,
    ``write_data``, on the coordinator ``finish``.
    """

    def location(self) -> str:
        """For messages, and the default checkpoint id."""
        return f"<{type(self).__name__}>"

    def validate_checkpoint_id(self, checkpoint_id: str) -> bool:
        """Whether this storage has such an id; False is InvalidArgumentError. A classmethod serves as
        well."""
        return True

    def reset(self, checkpoint_id: str | None = None) -> None:
        """A new save begins; ``checkpoint_id`` is the one it was given."""

    def set_up_storage_writer(
        self, is_coordinator: bool, rank: int, world_size: int, use_collectives: bool
    ) -> None:
        """Which part this rank has."""

    def prepare_local_plan(self, plan: SavePlan) -> Any:
        """May set ``plan.storage_data``. Returns the plan, or items."""
        return plan

    def prepare_global_plan(self, plans: SavePlans) -> Any:
        """On the coordinator: may set the storage data of each plan. Items stay."""
        return plans

    def write_data(self, request: WriteRequest) -> WriteOutcome:
        """Writes all items. Returns bytes for ``finish`` (None: none), or a
        ``concurrent.futures.Future`` of them, whose exception is the failure. Silence for the save's
        timeout is a failure too: see ``request.still_here``."""
        raise NotImplementedError(f"{type(self).__name__} has no write_data")

    def finish(self, metadata: Metadata, results: list[bytes]) -> None:
        """On the coordinator, without collectives on every rank: commits. ``results`` are what
        write_data gave, by rank. ``metadata.place`` says where items lie, ``metadata.encode`` gives
        the file."""
        raise NotImplementedError(f"{type(self).__name__} has no finish")

    def abandon(self) -> None:
        """After a failure, on every rank that wrote: what write_data left may go."""


class StorageReader:
    """Reads what a load asks for: upstream's StorageReader. As :class:`StorageWriter`; of
    ``read_data`` the step is "read". Order of calls: ``validate_checkpoint_id`` where there is
    one, ``reset``, ``read_metadata``,
    ``set_up_storage_reader``, ``prepare_local_plan``, on the coordinator ``prepare_global_plan``
    (override it in the classes of all ranks or of none), ``read_data``."""

    def location(self) -> str:
        """For messages."""
        return f"<{type(self).__name__}>"

    def validate_checkpoint_id(self, checkpoint_id: str) -> bool:
        """As :meth:`StorageWriter.validate_checkpoint_id`."""
        return True

    def reset(self, checkpoint_id: str | None = None) -> None:
        """A new load begins; ``checkpoint_id`` is the one it was given."""

    def read_metadata(self) -> Metadata | bytes:
        """On every rank: the metadata, or the bytes of a `.metadata` file. The object is the load's
        from here on."""
        raise NotImplementedError(f"{type(self).__name__} has no read_metadata")

    def set_up_storage_reader(
        self, metadata: Metadata, is_coordinator: bool, rank: int, world_size: int
    ) -> None:
        """Which part this rank has. ``metadata`` may be looked at in the methods that follow too."""

    def prepare_local_plan(self, plan: LoadPlan) -> Any:
        """May set ``plan.storage_data``. Returns the plan, or items."""
        return plan

    def prepare_global_plan(self, plans: LoadPlans) -> Any:
        """On the coordinator, with all ranks' plans."""
        return plans

    def read_data(self, request: ReadRequest) -> "concurrent.futures.Future[Any] | None":
        """Gives every item of the request. May return a ``concurrent.futures.Future`` of the end."""
        raise NotImplementedError(f"{type(self).__name__} has no read_data")


def _settle(outcome: Any, lent: Any, method: str) -> None:
    """The end of a request: now, or when a future is done."""
    if not isinstance(outcome, concurrent.futures.Future):
        raw.pydcp_request_succeed(lent, b"" if outcome is None else outcome)
        return

    def done(future: "concurrent.futures.Future[Any]") -> None:
        try:
            data = future.result()
            raw.pydcp_request_succeed(lent, b"" if data is None else data)
        except BaseException as error:  # cancelled, failed, or no bytes: all are the failure
            raw.pydcp_request_fail(lent, error, method)

    outcome.add_done_callback(done)


class _WriterCalls:
    """What the C half calls, with what the library lends."""

    def __init__(self, writer: StorageWriter) -> None:
        self._writer = writer

    def validate_checkpoint_id(self, checkpoint_id: str) -> bool:
        return self._writer.validate_checkpoint_id(checkpoint_id)

    def reset(self, checkpoint_id: str | None) -> None:
        self._writer.reset(checkpoint_id)

    def set_up_storage_writer(
        self, is_coordinator: int, rank: int, world_size: int, use_collectives: int
    ) -> None:
        self._writer.set_up_storage_writer(
            bool(is_coordinator), rank, world_size, bool(use_collectives)
        )

    def prepare_local_plan(self, lent: Any) -> None:
        plan = SavePlan._of(lent)
        settle_plan(plan, self._writer.prepare_local_plan(plan), "prepare_local_plan")

    def prepare_global_plan(self, lent: Any) -> None:
        plans = SavePlans(lent, False)
        settle_plans(plans, self._writer.prepare_global_plan(plans), "prepare_global_plan")

    def write_data(self, lent: Any) -> None:
        _settle(self._writer.write_data(WriteRequest(lent)), lent, "write_data")

    def finish(self, lent: Any, results: list[bytes]) -> None:
        self._writer.finish(Metadata(lent), results)

    def abandon(self) -> None:
        self._writer.abandon()


class _ReaderCalls:
    def __init__(self, reader: StorageReader) -> None:
        self._reader = reader

    def validate_checkpoint_id(self, checkpoint_id: str) -> bool:
        return self._reader.validate_checkpoint_id(checkpoint_id)

    def reset(self, checkpoint_id: str | None) -> None:
        self._reader.reset(checkpoint_id)

    def read_metadata(self) -> Any:
        metadata = self._reader.read_metadata()
        if not isinstance(metadata, Metadata):
            metadata = Metadata.decode(metadata)
        return metadata._lent

    def set_up_storage_reader(
        self, lent: Any, is_coordinator: int, rank: int, world_size: int
    ) -> None:
        self._reader.set_up_storage_reader(Metadata(lent), bool(is_coordinator), rank, world_size)

    def prepare_local_plan(self, lent: Any) -> None:
        plan = LoadPlan(lent)
        settle_plan(plan, self._reader.prepare_local_plan(plan), "prepare_local_plan")

    def prepare_global_plan(self, lent: Any) -> None:
        plans = LoadPlans(lent)
        settle_plans(plans, self._reader.prepare_global_plan(plans), "prepare_global_plan")

    def read_data(self, lent: Any) -> None:
        _settle(self._reader.read_data(ReadRequest(lent)), lent, "read_data")


class _RefusingCalls(_ReaderCalls):
    def __init__(self, reader: StorageReader, error: Exception) -> None:
        super().__init__(reader)
        self._error = error

    def read_metadata(self) -> Any:
        raise self._error


def _check(role: Any, base: type, argument: str, where: Any, required: Iterable[str]) -> None:
    if not isinstance(role, base):
        raise TypeError(f"{argument} is a libdcp.{base.__name__}, not {type(role).__name__}")
    if where is not None:
        raise TypeError(f"{argument} stands in place of where: give None for that")
    missing = set(required) - overridden(role, base, required)
    if missing:
        raise TypeError(f"{type(role).__name__} has no {' and no '.join(sorted(missing))}")


def native_storage_writer(writer: StorageWriter | None, where: Any) -> Any:
    """The handle, or None for the library's own, into `where`."""
    if writer is None:
        return None
    _check(writer, StorageWriter, "storage_writer", where, ("write_data", "finish"))
    names = overridden(
        writer,
        StorageWriter,
        (
            "validate_checkpoint_id",
            "reset",
            "set_up_storage_writer",
            "prepare_local_plan",
            "prepare_global_plan",
            "abandon",
        ),
    )
    return raw.pydcp_storage_writer(_WriterCalls(writer), str(writer.location()), names)


def native_storage_reader(reader: StorageReader | None, where: Any) -> Any:
    """The handle, or None for the library's own, from `where`."""
    if reader is None:
        return None
    _check(reader, StorageReader, "storage_reader", where, ("read_metadata", "read_data"))
    names = overridden(
        reader,
        StorageReader,
        (
            "validate_checkpoint_id",
            "reset",
            "set_up_storage_reader",
            "prepare_local_plan",
            "prepare_global_plan",
        ),
    )
    return raw.pydcp_storage_reader(_ReaderCalls(reader), str(reader.location()), names)


def refusing_reader(reader: StorageReader, error: Exception) -> Any:
    """Stands for the reader of a rank that has nothing to load into: fails in the plan, and plans
    globally where the other ranks' readers do."""
    names = overridden(reader, StorageReader, ("prepare_global_plan",))
    return raw.pydcp_storage_reader(_RefusingCalls(reader, error), str(reader.location()), names)
