"""torch's planners and storages in the engine's save and load: the engine agrees on the steps among
the ranks, carries plans and results, and tells every rank of every failure; what a step does is the
planner's and the storage's."""

from __future__ import annotations

import concurrent.futures
import inspect
import logging
import threading
from typing import Any, Callable, TypeVar

from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.planner import LoadPlanner, SavePlanner
from torch.distributed.checkpoint.storage import StorageReader, StorageWriter

from ..._communicator import Communicator
from ..._load import load_into
from ..._plan import LoadPlan as EngineLoadPlan
from ..._plan import LoadPlans as EngineLoadPlans
from ..._plan import Metadata as EngineMetadata
from ..._plan import SavePlan as EngineSavePlan
from ..._plan import SavePlans as EngineSavePlans
from ..._save import save as engine_save
from ..._storage_roles import ReadRequest, WriteRequest
from ..._storage_roles import StorageReader as EngineStorageReaderRole
from ..._storage_roles import StorageWriter as EngineStorageWriterRole
from . import metadata as metadata_files
from .caller import Caller
from .failures import as_checkpoint_exception, role_failures
from .planner_bridge import set_up_load, set_up_save
from .storage_roles import EngineStorageWriter, never

logger = logging.getLogger("libdcp.torch")

PULSE_S = 1.0  # how often a rank whose storage is at work says so

T = TypeVar("T")


def _takes_any(call: Callable[..., Any]) -> bool:
    """Whether a role takes the keywords that were added to it: upstream asks for ``**kwargs``."""
    return "kwargs" in inspect.signature(call).parameters


class _Role:
    """What both directions share."""

    def __init__(self, world_size: int) -> None:
        self._caller = Caller()
        self._alone = world_size == 1
        self._kept: dict[int, Any] = {}  # plans that need not travel

    def _run(self, call: Callable[..., T], *arguments: Any) -> T:
        with role_failures():
            return self._caller.run(call, *arguments)

    def _keep(self, plan: Any) -> bytes:
        """For a plan that stays on this rank: its number."""
        number = len(self._kept)
        self._kept[number] = plan
        return b"k%d" % number

    def _send(self, plan: Any) -> bytes:
        return self._keep(plan) if self._alone else b"p" + metadata_files.pack(plan)

    def _received(self, data: bytes) -> Any:
        if data[:1] == b"k":
            return self._kept[int(data[1:])]
        return metadata_files.unpack(data[1:])

    def _at_work(self, request: Any, work: Callable[[], T]) -> "concurrent.futures.Future[T]":
        """Runs it on a thread of its own, so that the engine can go on without it when it is to stop;
        until it has ended the other ranks hear that this one is at work."""
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        ended = threading.Event()

        def run() -> None:
            try:
                future.set_result(self._run(work))
            except BaseException as error:
                future.set_exception(error)
            finally:
                ended.set()

        def pulse() -> None:
            while not ended.wait(PULSE_S):
                try:
                    request.still_here()
                except Exception:  # the save or load has ended without it
                    return

        threading.Thread(target=run, name="libdcp-storage", daemon=True).start()
        threading.Thread(target=pulse, name="libdcp-pulse", daemon=True).start()
        return future


class TorchWriter(_Role, EngineStorageWriterRole):
    """One save by a torch planner and a torch storage writer. Afterwards ``metadata`` is, on the
    coordinator, what was committed."""

    def __init__(
        self, writer: StorageWriter, planner: SavePlanner, state_dict: Any, world_size: int
    ) -> None:
        super().__init__(world_size)
        self._writer = writer
        self._planner = planner
        self._state_dict = state_dict
        self.metadata: Metadata | None = None
        self.ended = threading.Event()

    def location(self) -> str:
        place = getattr(self._writer, "checkpoint_id", None)
        return str(place) if place else f"<{type(self._writer).__name__}>"

    def set_up_storage_writer(
        self, is_coordinator: bool, rank: int, world_size: int, use_collectives: bool
    ) -> None:
        self._is_coordinator = is_coordinator
        self._alone = self._alone or not use_collectives
        self._run(self._set_up, is_coordinator, rank, use_collectives)

    def _set_up(self, is_coordinator: bool, rank: int, use_collectives: bool) -> None:
        meta = self._writer.storage_meta()
        set_up_save(self._planner, self._state_dict, meta, is_coordinator)
        if _takes_any(self._writer.set_up_storage_writer):
            self._writer.set_up_storage_writer(
                is_coordinator, rank=rank, use_collectives=use_collectives
            )
        else:
            self._writer.set_up_storage_writer(is_coordinator)

    def prepare_local_plan(self, plan: EngineSavePlan) -> EngineSavePlan:
        local = self._run(
            lambda: self._writer.prepare_local_plan(self._planner.create_local_plan())
        )
        plan.storage_data = self._keep(local) if self._is_coordinator else self._send(local)
        return plan

    def prepare_global_plan(self, plans: EngineSavePlans) -> EngineSavePlans:
        for plan, planned in zip(plans, self._run(self._plan_globally, plans)):
            plan.storage_data = self._send(planned)
        return plans

    def _plan_globally(self, plans: EngineSavePlans) -> Any:
        local = [self._received(plan.storage_data) for plan in plans]
        planned, self.metadata = self._planner.create_global_plan(local)
        return _one_each(self._writer.prepare_global_plan(planned), len(plans))

    def write_data(self, request: WriteRequest) -> "concurrent.futures.Future[bytes]":
        central = self._received(request.storage_data)
        return self._at_work(request, lambda: self._write(central))

    def _write(self, central: Any) -> bytes:
        future = self._writer.write_data(self._planner.finish_plan(central), self._planner)
        future.wait()
        return self._send(future.value())

    def finish(self, metadata: EngineMetadata, results: list[bytes]) -> None:
        self._run(self._finish, results)

    def _finish(self, results: list[bytes]) -> None:
        assert self.metadata is not None
        self._writer.finish(
            metadata=self.metadata, results=[self._received(result) for result in results]
        )

    def abandon(self) -> None:
        if isinstance(self._writer, EngineStorageWriter):
            self._writer._abandon()


def _one_each(plans: Any, ranks: int) -> list[Any]:
    plans = list(plans)
    if len(plans) != ranks:
        raise ValueError(f"the global plan is for {len(plans)} ranks of {ranks}")
    return plans


class TorchReader(_Role, EngineStorageReaderRole):
    """One load by a torch planner and a torch storage reader."""

    def __init__(
        self,
        reader: StorageReader,
        planner: LoadPlanner,
        state_dict: Any,
        rank: int,
        world_size: int,
        coordinator: int,
    ) -> None:
        super().__init__(world_size)
        self._reader = reader
        self._planner = planner
        self._state_dict = state_dict
        self._rank = rank
        self._is_coordinator = rank == coordinator
        self._use_collectives = True

    def location(self) -> str:
        place = getattr(self._reader, "checkpoint_id", None)
        return str(place) if place else f"<{type(self._reader).__name__}>"

    def read_metadata(self) -> bytes:
        self._metadata = self._run(self._read_metadata)
        return metadata_files.encode(Metadata({}, storage_data={}))  # the engine reads nothing itself

    def _read_metadata(self) -> Metadata:
        """That of the whole checkpoint; else, of a save without collectives, this rank's."""
        try:
            return self._reader.read_metadata()
        except Exception as error:
            if not _takes_any(self._reader.read_metadata):
                raise
            failed = error
        logger.info("no metadata of all ranks (%s): looking for those of rank %d", failed, self._rank)
        self._use_collectives = False
        try:
            return self._reader.read_metadata(rank=self._rank)
        except Exception as error:
            raise AssertionError(
                f"metadata is None; global metadata read failed: {failed}; rank local metadata read "
                f"failed: {error}"
            ) from failed

    def set_up_storage_reader(
        self, metadata: EngineMetadata, is_coordinator: bool, rank: int, world_size: int
    ) -> None:
        self._run(self._set_up)

    def _set_up(self) -> None:
        set_up_load(self._planner, self._state_dict, self._metadata, self._is_coordinator)
        if _takes_any(self._reader.set_up_storage_reader):
            self._reader.set_up_storage_reader(
                self._metadata,
                self._is_coordinator,
                rank=self._rank,
                use_collectives=self._use_collectives,
            )
        else:
            self._reader.set_up_storage_reader(self._metadata, self._is_coordinator)

    def prepare_local_plan(self, plan: EngineLoadPlan) -> EngineLoadPlan:
        local = self._run(
            lambda: self._reader.prepare_local_plan(self._planner.create_local_plan())
        )
        plan.storage_data = self._keep(local) if self._is_coordinator else self._send(local)
        return plan

    def prepare_global_plan(self, plans: EngineLoadPlans) -> EngineLoadPlans:
        for plan, planned in zip(plans, self._run(self._plan_globally, plans)):
            plan.storage_data = self._send(planned)
        return plans

    def _plan_globally(self, plans: EngineLoadPlans) -> Any:
        local = [self._received(plan.storage_data) for plan in plans]
        planned = self._planner.create_global_plan(local)
        return _one_each(self._reader.prepare_global_plan(planned), len(plans))

    def read_data(self, request: ReadRequest) -> "concurrent.futures.Future[None]":
        central = self._received(request.storage_data)
        return self._at_work(request, lambda: self._read(central))

    def _read(self, central: Any) -> None:
        self._reader.read_data(self._planner.finish_plan(central), self._planner).wait()


def save(
    state_dict: Any,
    writer: StorageWriter,
    planner: SavePlanner,
    *,
    communicator: Communicator | None = None,
    coordinator: int = 0,
    use_collectives: bool = True,
    timeout: float | None = 600.0,
) -> Metadata:
    """Saves by a torch planner and a torch storage writer, on all ranks of ``communicator``. Returns
    the metadata, on every rank. A failure is torch's CheckpointException on every rank; without
    collectives what this rank's own roles raised comes out as it is, as upstream.

    state_dict: with state_dict() of Stateful objects already called.
    """
    rank = 0 if communicator is None else communicator.rank
    world_size = 1 if communicator is None else communicator.world_size
    role = TorchWriter(writer, planner, state_dict, world_size)
    concludes = not use_collectives and isinstance(writer, EngineStorageWriter)
    if isinstance(writer, EngineStorageWriter):
        writer._concludes, writer._stopped = False, role.ended.is_set
    try:
        with as_checkpoint_exception(rank, "write", raw=not use_collectives):
            engine_save(
                {},
                storage_writer=role,
                communicator=communicator,
                coordinator=coordinator,
                use_collectives=use_collectives,
                timeout=timeout,
            )
            if concludes:
                _conclude(writer, communicator, rank == coordinator, world_size, timeout)
            metadata = role.metadata
            if communicator is not None and world_size > 1 and use_collectives:
                told = metadata_files.pack(metadata) if rank == coordinator else b""
                heard = communicator.broadcast(told, coordinator, timeout)
                if rank != coordinator:
                    metadata = metadata_files.unpack(heard)
    finally:
        role.ended.set()
        if isinstance(writer, EngineStorageWriter):
            writer._concludes, writer._stopped = True, never
    assert metadata is not None
    return metadata


def _conclude(
    writer: Any,
    communicator: Communicator | None,
    is_coordinator: bool,
    world_size: int,
    timeout: float | None,
) -> None:
    if is_coordinator:
        writer._conclude(world_size)
    if communicator is not None:
        communicator.barrier(timeout)
    if not is_coordinator:
        writer._conclude(world_size)


def load(
    state_dict: Any,
    reader: StorageReader,
    planner: LoadPlanner,
    *,
    communicator: Communicator | None = None,
    coordinator: int = 0,
    timeout: float | None = 600.0,
) -> None:
    """Loads into ``state_dict`` by a torch planner and a torch storage reader, on all ranks of
    ``communicator``. A failure is torch's CheckpointException on every rank."""
    rank = 0 if communicator is None else communicator.rank
    world_size = 1 if communicator is None else communicator.world_size
    role = TorchReader(reader, planner, state_dict, rank, world_size, coordinator)
    with as_checkpoint_exception(rank, "read"):
        load_into(
            {},
            storage_reader=role,
            communicator=communicator,
            coordinator=coordinator,
            timeout=timeout,
        )
