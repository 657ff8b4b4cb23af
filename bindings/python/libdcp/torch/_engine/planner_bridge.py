"""torch's planners in the engine: the items of a torch plan, written and read by a libdcp save and
load whose planner asks a torch planner for what each item holds, and where it goes."""

from __future__ import annotations

import inspect
import io
import threading
import warnings
from typing import Any, Callable, Mapping, Sequence

import torch
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta
from torch.distributed.checkpoint.planner import (
    LoadPlanner,
    ReadItem,
    SavePlanner,
    WriteItem,
    WriteItemType,
)

from ... import dcp_raw as raw
from ..._plan import ReadItem as EngineReadItem
from ..._plan import WriteItem as EngineWriteItem
from ..._planner import LoadPlanner as EngineLoadPlanner
from ..._planner import SavePlanner as EngineSavePlanner
from ..._types import Opaque
from .caller import Caller


def set_up_save(
    planner: SavePlanner, state_dict: Any, storage_meta: StorageMeta | None, is_coordinator: bool
) -> None:
    """Planners from before ``storage_meta`` are set up without it, and warned of."""
    if "storage_meta" in inspect.signature(planner.set_up_planner).parameters:
        planner.set_up_planner(
            state_dict=state_dict, storage_meta=storage_meta, is_coordinator=is_coordinator
        )
        return
    warnings.warn(
        f"{type(planner).__name__}.set_up_planner has no argument storage_meta, which save planners "
        "have now: add it",
        stacklevel=2,
    )
    planner.set_up_planner(state_dict, is_coordinator)  # type: ignore[arg-type]


def set_up_load(
    planner: LoadPlanner, state_dict: Any, metadata: Metadata, is_coordinator: bool
) -> None:
    planner.set_up_planner(state_dict, metadata, is_coordinator)


# ---- saving ----


class DiffersFromPlan(Exception):
    """An item holds something that its plan does not tell of."""


def _known_dtype(dtype: torch.dtype) -> bool:
    return bool(raw.dcp_dtype_from_name(str(dtype).removeprefix("torch.")))


def _is_plain(tensor: torch.Tensor) -> bool:
    """Whether it is memory of this machine that the engine can look at."""
    return (
        type(tensor) is torch.Tensor
        and tensor.layout is torch.strided
        and tensor.device.type == "cpu"
        and not tensor.is_quantized
        and _known_dtype(tensor.dtype)
    )


def _held(item: WriteItem, data: Any) -> Any:
    """What a planner resolved, as it is to be stored: an Opaque of the very bytes, or a tensor."""
    if item.type == WriteItemType.BYTE_IO:
        if not isinstance(data, io.BytesIO):
            raise AssertionError(
                f"a planner resolves '{item.index.fqn}' to an io.BytesIO, not {type(data).__name__}"
            )
        return Opaque("", data.getbuffer())  # type: ignore[arg-type]
    if not isinstance(data, torch.Tensor):
        raise AssertionError(
            f"a planner resolves '{item.index.fqn}' to a torch.Tensor, not {type(data).__name__}"
        )
    tensor = data.detach().cpu()
    if type(tensor) is torch.Tensor and (tensor.is_conj() or tensor.is_neg()):
        tensor = tensor.resolve_conj().resolve_neg()
    return tensor


def _pickled(tensor: torch.Tensor) -> Opaque:
    """A tensor that only torch can write: quantized, sparse, of a subclass."""
    stored = io.BytesIO()
    torch.save(tensor, stored)
    return Opaque("", stored.getbuffer())  # type: ignore[arg-type]


def _engine_item(number: int, dtype: torch.dtype | None, sizes: Sequence[int]) -> EngineWriteItem:
    if dtype is None:
        return EngineWriteItem(str(number))
    return EngineWriteItem(str(number), "tensor", str(dtype).removeprefix("torch."), tuple(sizes))


class PlannedItems(EngineSavePlanner):
    """Writes the items of a torch plan, each under its number in the plan.

    ``resolve`` is called when an item's turn comes, by one thread at a time unless ``parallel``. What
    it gives has to be of the item's dtype and sizes, else DiffersFromPlan.
    """

    def __init__(
        self,
        items: Sequence[WriteItem],
        resolve: Callable[[WriteItem], Any],
        caller: Caller,
        parallel: bool,
    ) -> None:
        self._items = items
        self._resolve = resolve
        self._caller = caller
        self._lock = None if parallel else threading.Lock()

    def create_local_plan(self) -> list[EngineWriteItem]:
        return [self._planned(number, item) for number, item in enumerate(self._items)]

    @staticmethod
    def _planned(number: int, item: WriteItem) -> EngineWriteItem:
        if item.type == WriteItemType.BYTE_IO:
            return _engine_item(number, None, ())
        if item.tensor_data is None:
            raise AssertionError(f"the plan says nothing of the tensor '{item.index.fqn}'")
        dtype = item.tensor_data.properties.dtype
        if not _known_dtype(dtype):
            raise DiffersFromPlan(item.index.fqn)
        return _engine_item(number, dtype, item.tensor_data.chunk.sizes)

    def resolve_data(self, item: EngineWriteItem) -> Any:
        if self._lock is None:
            return self._caller.run(self._data, item)
        with self._lock:
            return self._caller.run(self._data, item)

    def _data(self, item: EngineWriteItem) -> Any:
        planned = self._items[int(item.name)]
        held = _held(planned, self._resolve(planned))
        if isinstance(held, Opaque):
            return held
        assert planned.tensor_data is not None
        if (
            not _is_plain(held)
            or held.dtype != planned.tensor_data.properties.dtype
            or tuple(held.shape) != item.sizes
        ):
            raise DiffersFromPlan(planned.index.fqn)
        return held


class ResolvedItems(EngineSavePlanner):
    """The same for planners whose items hold something else than their plans tell, which upstream
    allows: everything is resolved beforehand, and written as what it is."""

    def __init__(self, items: Sequence[WriteItem], resolve: Callable[[WriteItem], Any]) -> None:
        self._held = []
        for item in items:
            held = _held(item, resolve(item))
            if isinstance(held, torch.Tensor) and not _is_plain(held):
                held = _pickled(held)
            self._held.append(held)

    def create_local_plan(self) -> list[EngineWriteItem]:
        return [
            _engine_item(number, None, ())
            if isinstance(held, Opaque)
            else _engine_item(number, held.dtype, held.shape)
            for number, held in enumerate(self._held)
        ]

    def resolve_data(self, item: EngineWriteItem) -> Any:
        return self._held[int(item.name)]


# ---- loading ----


class PlannedReads(EngineLoadPlanner):
    """Reads the tensors of a torch plan, each from the entry that has its number in the plan, into
    what the torch planner resolves them to."""

    def __init__(
        self,
        items: Mapping[int, ReadItem],
        dtypes: Mapping[int, torch.dtype],
        planner: LoadPlanner,
        caller: Caller,
    ) -> None:
        """dtypes: the stored ones."""
        self._items = items
        self._dtypes = dtypes
        self._planner = planner
        self._caller = caller
        self._targets: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}  # staging, target
        self._done: set[int] = set()

    def left(self) -> dict[int, ReadItem]:
        """What has not been read."""
        return {number: item for number, item in self._items.items() if number not in self._done}

    def create_local_plan(self) -> list[EngineReadItem]:
        return [
            EngineReadItem(
                str(number),
                "tensor",
                0,
                tuple(item.storage_offsets),
                (0,) * len(item.lengths),
                tuple(item.lengths),
            )
            for number, item in self._items.items()
        ]

    def resolve_tensor(self, item: EngineReadItem, found: Any) -> Any:
        number = int(item.name)
        target = self._caller.run(self._resolve, self._items[number])
        place = target
        if not _can_be_filled(target):
            place = torch.empty(target.shape, dtype=self._dtypes[number])
        self._targets[number] = (place, target)
        return place

    def _resolve(self, item: ReadItem) -> torch.Tensor:
        target = self._planner.resolve_tensor(item).detach()
        check_sizes(item, target)
        return target

    def commit_tensor(self, item: EngineReadItem, tensor: Any) -> None:
        number = int(item.name)
        place, target = self._targets.pop(number)
        self._done.add(number)
        self._caller.run(self._commit, self._items[number], place, target)

    def _commit(self, item: ReadItem, place: torch.Tensor, target: torch.Tensor) -> None:
        if place is not target:
            target.copy_(place)
        self._planner.commit_tensor(item, target)


def check_sizes(item: ReadItem, target: torch.Tensor) -> None:
    if tuple(target.shape) != tuple(item.lengths):
        raise AssertionError(
            f"req {item.storage_index} mismatch sizes {target.size()} vs {torch.Size(item.lengths)}"
        )


def _can_be_filled(target: torch.Tensor) -> bool:
    return (
        _is_plain(target)
        and not target.is_conj()
        and not target.is_neg()
        and not target.is_inference()
        and all(stride for size, stride in zip(target.shape, target.stride()) if size > 1)
    )

