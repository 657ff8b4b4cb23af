"""Saves straight from the state dict to the engine."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import Metadata

from ... import _save as engine
from ..._communicator import Communicator
from ..._errors import Error, TimeoutError
from ..._plan_cache import PlanCache
from ..._report import SaveReport
from .. import _background as background
from .._async_executor import described
from .._background import SaveFuture
from ..default_planner import DefaultSavePlanner
from . import storage_bridge
from .failures import RoleFailure, as_checkpoint_exception
from .fast import is_default_save_planner, is_for_torch, is_own_writer
from .groups import Group, Lane, alone, timeout
from .log import Operation, logger
from .saved import saved_metadata
from .state import Prepared, Unsaid, to_engine


class Call(NamedTuple):
    """What a save is told. ``communicator`` None: this rank is alone."""

    writer: Any
    planner: Any
    communicator: Communicator | None
    coordinator: int
    use_collectives: bool
    group: Group | None

    @property
    def rank(self) -> int:
        return 0 if self.communicator is None else self.communicator.rank

    def is_direct(self) -> bool:
        return is_own_writer(self.writer) and is_default_save_planner(self.planner)


def save(state_dict: Mapping[str, Any], call: Call) -> Metadata:
    """Saves and commits. ``state_dict``: Stateful objects said theirs already."""
    operation = Operation("save", getattr(call.writer, "checkpoint_id", None), call.rank)
    try:
        if call.is_direct():
            try:
                with as_checkpoint_exception(call.rank, "write", raw=not call.use_collectives):
                    prepared = _prepared(state_dict, call)
                    report = engine.save(**_arguments(prepared, call, operation))
                operation.succeeded(report.bytes, report.items)
                return _metadata(call, report)
            except CheckpointException as error:
                if not is_for_torch(error):
                    raise
                logger.debug("some tensors are left to torch.save: %s", error)
        metadata = storage_bridge.save(
            state_dict,
            call.writer,
            call.planner if call.planner is not None else DefaultSavePlanner(),
            communicator=call.communicator or alone(),
            coordinator=call.coordinator,
            use_collectives=call.use_collectives,
            timeout=timeout(),
        )
        operation.succeeded(0, len(metadata.state_dict_metadata))
        return metadata
    except BaseException as error:
        _gone(call, error)
        operation.failed(error)
        raise


def begin(state_dict: Mapping[str, Any], call: Call, lane: Lane | None) -> SaveFuture:
    """Copies the tensors and saves in the background: the state dict may change once this returns. The
    future fails as :func:`save` does. The lane is given back at the end.

    Tensors that only torch can write fail it on all ranks; one that is alone looks for them first
    (:func:`holds_tensors_for_torch`)."""
    began = time.monotonic()
    operation = Operation("async_save", getattr(call.writer, "checkpoint_id", None), call.rank)
    future = background.begin(described(None, call.writer))

    def ended(report: SaveReport | None, error: BaseException | None) -> None:
        if error is not None:
            _gone(call, error)
        if lane is not None:
            lane.end()
        if report is None or error is not None:
            assert error is not None
            operation.failed(error)
            background.settle(future, None, error)
        else:
            operation.succeeded(report.bytes, report.items)
            background.settle(future, _metadata(call, report), None)

    def done(native: Any) -> None:
        try:
            with as_checkpoint_exception(call.rank, "write", raw=not call.use_collectives):
                report = native.result()
        except BaseException as error:
            ended(None, error)
        else:
            ended(report, None)

    try:
        with as_checkpoint_exception(call.rank, "write", raw=not call.use_collectives):
            prepared = _prepared(state_dict, call)
            native = engine.async_save(**_arguments(prepared, call, operation))
    except (Exception, CheckpointException) as error:
        ended(None, error)
    except BaseException as error:
        ended(None, error)
        raise
    else:
        native.add_done_callback(done)
    future.blocked(time.monotonic() - began)
    return future


def _prepared(state_dict: Mapping[str, Any], call: Call) -> Prepared:
    """A state dict that cannot be told fails the save on all ranks: the others wait for this one."""
    flatten = getattr(call.planner, "flatten_state_dict", True)
    try:
        call.writer._warn_if_overwriting(call.use_collectives)
        return to_engine(state_dict, flatten=flatten)
    except Exception as error:
        return Prepared(Unsaid(RoleFailure(error)), [], 0)  # type: ignore[arg-type]


def _arguments(prepared: Prepared, call: Call, operation: Operation) -> dict[str, Any]:
    planner, writer = call.planner, call.writer
    return {
        **writer._save_options(),
        "tree": prepared.tree,
        "where": writer._where(),
        "flatten": getattr(planner, "flatten_state_dict", True),
        "dedup_to_lowest_rank": getattr(planner, "dedup_save_to_lowest_rank", False),
        "plan_cache": _plan_cache(call),
        "checkpoint_id": str(writer.checkpoint_id),
        "communicator": call.communicator or alone(),
        "coordinator": call.coordinator,
        "use_collectives": call.use_collectives,
        "timeout": timeout(),
        "context": operation.context(),
    }


def _metadata(call: Call, report: SaveReport) -> Metadata:
    call.writer.save_id = report.save_id
    name = ".metadata" if call.use_collectives else f"__{call.rank}.metadata"
    return saved_metadata(call.writer._where(), name, report.save_id)


def _gone(call: Call, error: BaseException) -> None:
    """After ranks went missing the group gets a communicator that those never heard of."""
    if call.group is None or call.communicator is None:
        return
    if not isinstance(error, Error) and not _names_missing(error):
        return
    call.group.forget(call.communicator)


def _names_missing(error: BaseException) -> bool:
    cause = error.__cause__ or error.__context__
    return isinstance(cause, Error) and any(
        isinstance(failure.error, TimeoutError) for failure in cause.failures.values()
    )


# ---- plan caches: by planner class, as upstream, but apart for each group and lane ----

_caches: "weakref.WeakKeyDictionary[Communicator, dict[str, PlanCache]]" = (
    weakref.WeakKeyDictionary()
)
_caches_lock = threading.Lock()


def _plan_cache(call: Call) -> PlanCache | None:
    if not getattr(call.planner, "_enable_plan_caching", False):
        return None
    if call.communicator is None:
        return None  # nothing travels
    key = f"{call.planner._cached_plans_key}/{call.coordinator}"
    with _caches_lock:
        caches = _caches.setdefault(call.communicator, {})
        if key not in caches:
            caches[key] = PlanCache()
        return caches[key]
