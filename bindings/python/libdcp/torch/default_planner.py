"""The planners that save and load use when they are given none, for others to build on."""

from __future__ import annotations

import dataclasses
import io
import logging
from typing import Any

import torch
from torch.distributed._shard._utils import narrow_tensor_by_index
from torch.distributed.tensor import DTensor

from ._boxes import inside, overlap
from ._dedup_save_plans import dedup_save_plans
from ._engine.objects import load_object
from ._nested_dict import FLATTEN_MAPPING, flatten_by_rule, flatten_state_dict
from ._sharded_tensor_utils import _flatten_sharded_tensors
from ._traverse import set_element
from ._validate import problems
from .metadata import (
    STATE_DICT_TYPE,
    STORAGE_TYPES,
    BytesStorageMetadata,
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    StorageMeta,
    TensorStorageMetadata,
)
from .planner import (
    LoadPlan,
    LoadPlanner,
    ReadItem,
    SavePlan,
    SavePlanner,
    WriteItem,
    WriteItemType,
)
from .planner_helpers import (
    _compare_save_plans,
    _contains_usable_plan,
    _create_default_metadata_only_plan,
    _create_read_items,
    _create_write_items,
    _init_state_dict,
    _merge_delta_local_plans,
)
from .protocol import _is_checkpointable_tensor
from .utils import find_state_dict_object

logger: logging.Logger = logging.getLogger(__name__)

__all__ = [
    "DefaultSavePlanner",
    "DefaultLoadPlanner",
    "create_default_local_load_plan",
    "create_default_global_load_plan",
    "create_default_local_save_plan",
    "create_default_global_save_plan",
]

_LONGEST_SUMMARY = 500  # characters of what a refused plan is refused for


class DefaultSavePlanner(SavePlanner):
    """Writes tensors and objects as they are, each by one of the ranks that hold it.

    flatten_state_dict: values in nested containers become entries of their own.
    flatten_sharded_tensors: ShardedTensors of ShardedTensors become plain ones.
    dedup_replicated_tensors: has no effect; replicas are always written once.
    dedup_save_to_lowest_rank: the lowest rank that holds an item writes it, not the least loaded.
    enable_plan_caching: plans that did not change since the last save of a planner of this class
        are not sent again. The class keeps them, so checkpoints of several families need classes
        of their own.
    """

    mappings: FLATTEN_MAPPING

    def __init__(
        self,
        flatten_state_dict: bool = True,
        flatten_sharded_tensors: bool = True,
        dedup_replicated_tensors: bool | None = None,
        dedup_save_to_lowest_rank: bool = False,
        enable_plan_caching: bool = False,
    ) -> None:
        if dedup_replicated_tensors is not None:
            logger.warning(
                "DefaultSavePlanner's `dedup_replicated_tensors` argument is being "
                "deprecated, and no longer has any effect. Please remove this argument "
                "from your call."
            )
        self.flatten_state_dict = flatten_state_dict
        self.flatten_sharded_tensors = flatten_sharded_tensors
        self.dedup_save_to_lowest_rank = dedup_save_to_lowest_rank
        self.mappings = {}
        self._enable_plan_caching = enable_plan_caching
        self._cached_plans_key: str = type(self).__name__
        self._pending_local_plan: SavePlan | None = None

    def set_up_planner(
        self,
        state_dict: STATE_DICT_TYPE,
        storage_meta: StorageMeta | None = None,
        is_coordinator: bool = False,
    ) -> None:
        """Takes the state dict, flattened as told."""
        if self.flatten_state_dict:
            state_dict, self.mappings = flatten_state_dict(state_dict)
        if self.flatten_sharded_tensors:
            state_dict = _flatten_sharded_tensors(state_dict)
        self.state_dict = state_dict
        self.is_coordinator = is_coordinator

    def create_local_plan(self) -> SavePlan:
        """What this rank holds; with plan caching an unusable plan where nothing changed."""
        plan = create_default_local_save_plan(self.state_dict, self.is_coordinator)
        if self.flatten_state_dict:
            plan = dataclasses.replace(plan, planner_data=self.mappings)
        self.plan = plan
        if not self._enable_plan_caching:
            return plan
        cached = SavePlanner._cached_save_plan.get(self._cached_plans_key)
        if cached is not None and _unchanged(plan, cached):
            logger.info("No change in the local plan. Skipping sending the plan to the coordinator")
            return SavePlan([], usable=False)
        # It counts as what was last sent only once the whole plan stands.
        self._pending_local_plan = plan
        return plan

    def create_global_plan(self, all_plans: list[SavePlan]) -> tuple[list[SavePlan], Metadata]:
        """What each rank is to write, and what `.metadata` is to say. ValueError where the chunks
        do not make up the tensors."""
        if self._enable_plan_caching:
            told, self.global_plan, self.metadata = self._create_global_plan_with_caching(all_plans)
        else:
            self.global_plan, self.metadata = self._create_global_plan(all_plans)
            told = self.global_plan
        return told, self.metadata

    def finish_plan(self, new_plan: SavePlan) -> SavePlan:
        """The plan that this rank writes by."""
        if self._enable_plan_caching:
            new_plan = self._finish_plan_with_caching(new_plan)
            pending = getattr(self, "_pending_local_plan", None)
            if pending is not None:
                SavePlanner._cached_save_plan[self._cached_plans_key] = pending
                self._pending_local_plan = None
        self.plan = new_plan
        return new_plan

    def resolve_data(self, write_item: WriteItem) -> torch.Tensor | io.BytesIO:
        """What is to be written for the item."""
        found = self.lookup_object(write_item.index)
        data: torch.Tensor | io.BytesIO = self.transform_object(write_item, found)
        return data

    def lookup_object(self, index: MetadataIndex) -> Any:
        """What the state dict has there; to be overridden."""
        return find_state_dict_object(self.state_dict, index)

    def transform_object(self, write_item: WriteItem, object: Any) -> Any:
        """What is written of it, an object pickled into a stream; to be overridden."""
        if write_item.type != WriteItemType.BYTE_IO:
            return object
        stream = io.BytesIO()
        torch.save(object, stream)
        return stream

    def _dedup_save_plans(self, all_plans: list[SavePlan]) -> list[SavePlan]:
        return dedup_save_plans(all_plans, self.dedup_save_to_lowest_rank)

    def _create_global_plan(self, all_plans: list[SavePlan]) -> tuple[list[SavePlan], Metadata]:
        global_plan, metadata = create_default_global_save_plan(self._dedup_save_plans(all_plans))
        if self.flatten_state_dict:
            paths: dict[str, Any] = {}
            for plan in reversed(global_plan):
                paths.update(plan.planner_data)  # where ranks differ the lowest one's counts
            metadata = dataclasses.replace(metadata, planner_data=paths)
        errors = _validate_global_plan(global_plan, metadata)
        if errors:
            summary = "; ".join(errors)
            if len(summary) > _LONGEST_SUMMARY:
                summary = f"{summary[:_LONGEST_SUMMARY]}... (truncated)"
            raise ValueError(f"Failed to validate global plan: {summary}")
        return global_plan, metadata

    def _create_global_plan_with_caching(
        self, all_plans: list[SavePlan]
    ) -> tuple[list[SavePlan], list[SavePlan], Metadata]:
        """What the ranks are told (an unusable plan where theirs stays), the whole plan, and the
        metadata. The cache changes only once the new plan stands."""
        key = self._cached_plans_key
        cached_plans = SavePlanner._cached_all_plans.get(key)
        cached_global = SavePlanner._cached_global_plan.get(key)
        if cached_plans is not None and cached_global is not None:
            if not _contains_usable_plan(all_plans):
                told = [SavePlan([], usable=False)] * len(all_plans)
                return told, cached_global, SavePlanner._cached_metadata[key]
            all_plans = _merge_delta_local_plans(cached_plans, all_plans)
        for rank, plan in enumerate(all_plans):
            if not plan.usable:
                raise RuntimeError(
                    f"rank {rank} sent word that its save plan is the last one, which the "
                    "coordinator does not have: clear the plan caches of SavePlanner on every rank"
                )
        global_plan, metadata = self._create_global_plan(all_plans)
        told = global_plan
        if cached_plans is not None and cached_global is not None:
            told = [
                SavePlan([], usable=False) if _unchanged(new, old) else new
                for new, old in zip(global_plan, cached_global)
            ]
        SavePlanner._cached_all_plans[key] = all_plans
        SavePlanner._cached_global_plan[key] = global_plan
        SavePlanner._cached_metadata[key] = metadata
        return told, global_plan, metadata

    def _finish_plan_with_caching(self, new_plan: SavePlan) -> SavePlan:
        final_plans = SavePlanner._cached_final_save_plan
        if new_plan.usable:
            final_plans[self._cached_plans_key] = new_plan
        return final_plans[self._cached_plans_key]


def _unchanged(plan: SavePlan, before: SavePlan) -> bool:
    """Whether a plan can stand in for another: unlike for _compare_save_plans, dtypes and paths
    count."""
    return (
        _compare_save_plans(plan, before)
        and plan.planner_data == before.planner_data
        and all(
            one.tensor_data is None
            or other.tensor_data is None
            or one.tensor_data.properties.dtype == other.tensor_data.properties.dtype
            for one, other in zip(plan.items, before.items)
        )
    )


class DefaultLoadPlanner(LoadPlanner):
    """Loads in place, with resharding.

    flatten_state_dict: values in nested containers are looked for as entries of their own, by the
        rule before PyTorch 2.4 where the checkpoint has them by that one.
    flatten_sharded_tensors: ShardedTensors of ShardedTensors become plain ones.
    allow_partial_load: keys that the checkpoint lacks are left alone; RuntimeError otherwise.
    """

    original_state_dict: STATE_DICT_TYPE
    mappings: FLATTEN_MAPPING
    _allow_objects: bool | None = None  # what the call says that loads with it

    def __init__(
        self,
        flatten_state_dict: bool = True,
        flatten_sharded_tensors: bool = True,
        allow_partial_load: bool = False,
    ) -> None:
        self.flatten_state_dict = flatten_state_dict
        self.flatten_sharded_tensors = flatten_sharded_tensors
        self.allow_partial_load = allow_partial_load
        self.original_state_dict = {}
        self.mappings = {}

    def set_up_planner(
        self,
        state_dict: STATE_DICT_TYPE,
        metadata: Metadata | None = None,
        is_coordinator: bool = False,
    ) -> None:
        """Takes the state dict, flattened as told; tensors on the meta device get memory first."""
        _init_state_dict(state_dict)
        self.original_state_dict = state_dict
        if self.flatten_sharded_tensors:
            state_dict = _flatten_sharded_tensors(state_dict)
        if self.flatten_state_dict:
            state_dict, self.mappings = flatten_state_dict(state_dict)
        self.state_dict = state_dict
        self.metadata = metadata
        self.is_coordinator = is_coordinator

    def create_local_plan(self) -> LoadPlan:
        """What this rank has to read."""
        if self.metadata is None:
            raise AssertionError("self.metadata is not None")
        if self.flatten_state_dict:
            self._flatten_as_saved(self.metadata)
        return create_default_local_load_plan(
            self.state_dict, self.metadata, not self.allow_partial_load
        )

    def _flatten_as_saved(self, metadata: Metadata) -> None:
        """Names by the rule before PyTorch 2.4 when that finds more of the checkpoint's entries."""
        not_found = set(metadata.state_dict_metadata) - set(self.state_dict)
        if not not_found:
            return
        state_dict, mappings = flatten_by_rule(self.original_state_dict, before_2_4=True)
        if not not_found.isdisjoint(state_dict):
            self.state_dict, self.mappings = state_dict, mappings

    def create_global_plan(self, global_plan: list[LoadPlan]) -> list[LoadPlan]:
        """The ranks' plans as they are."""
        return create_default_global_load_plan(global_plan)

    def finish_plan(self, new_plan: LoadPlan) -> LoadPlan:
        """The plan that this rank reads by."""
        return new_plan

    def load_bytes(self, read_item: ReadItem, value: io.BytesIO) -> None:
        """Puts the object in the stream into the state dict. ObjectNotLoadedError for one of a
        class that does not load by itself: see ``allow_objects`` of :func:`libdcp.torch.load`."""
        name = read_item.dest_index.fqn
        loaded = load_object(value, name, self._allow_objects)
        if self.flatten_state_dict:
            set_element(self.original_state_dict, self.mappings[name], loaded)
        else:
            self.state_dict[name] = loaded
            # Which is another dict where ShardedTensors were flattened.
            self.original_state_dict[name] = loaded

    def resolve_tensor(self, read_item: ReadItem) -> torch.Tensor:
        """Where what is read is to go."""
        tensor = self.lookup_tensor(read_item.dest_index)
        return self.transform_tensor(read_item, tensor)

    def commit_tensor(self, read_item: ReadItem, tensor: torch.Tensor) -> None:
        """Nothing to do: what was resolved was a view."""

    def lookup_tensor(self, index: MetadataIndex) -> torch.Tensor:
        """The tensor that the state dict has there; to be overridden."""
        tensor: torch.Tensor = find_state_dict_object(self.state_dict, index)
        return tensor

    def transform_tensor(self, read_item: ReadItem, tensor: torch.Tensor) -> torch.Tensor:
        """The part of it that is read; to be overridden."""
        part: torch.Tensor = narrow_tensor_by_index(
            tensor, read_item.dest_offsets, read_item.lengths
        )
        return part


class _EmptyStateDictLoadPlanner(DefaultLoadPlanner):
    """Fills an empty dict with what the checkpoint has, whole tensors on the CPU, on each rank that
    loads with it.

    keys: names of entries, or of what they are nested in; None for all.
    """

    def __init__(self, keys: Any = None, *args: Any, **kwargs: Any) -> None:
        self.keys = keys
        super().__init__(*args, **kwargs)

    def _should_include_key(self, key: str, metadata: Metadata) -> bool:
        if self.keys is None or key in self.keys:
            return True
        path = (metadata.planner_data or {}).get(key, ())
        return any(".".join(map(str, path[: n + 1])) in self.keys for n in range(len(path)))

    def set_up_planner(
        self,
        state_dict: STATE_DICT_TYPE,
        metadata: Metadata | None = None,
        is_coordinator: bool = False,
    ) -> None:
        if state_dict:
            raise AssertionError("not state_dict")
        if metadata is None:
            raise AssertionError("metadata is not None")
        paths = metadata.planner_data or {}
        values: dict[str, Any] = {}
        for key, entry in metadata.state_dict_metadata.items():
            if self._should_include_key(key, metadata):
                values[key] = entry
                if isinstance(entry, TensorStorageMetadata):
                    values[key] = torch.empty(entry.size, dtype=entry.properties.dtype)
                set_element(state_dict, paths.get(key, (key,)), values[key])
        super().set_up_planner(state_dict, metadata, is_coordinator)
        if self.flatten_state_dict:
            # Flattening need not give these names: of a list only some may have been asked for.
            self.state_dict = values
            self.mappings = {key: paths.get(key, (key,)) for key in values}

    def _flatten_as_saved(self, metadata: Metadata) -> None:
        """The names are the checkpoint's already."""


def _takes_part(value: Any) -> bool:
    """Not in the case of a DTensor of a mesh that this rank is not in."""
    return not isinstance(value, DTensor) or value.device_mesh.get_coordinate() is not None


def create_default_local_load_plan(
    state_dict: dict[str, Any], metadata: Metadata, strict: bool = True
) -> LoadPlan:
    """What has to be read for a flat state dict. RuntimeError for a key that the checkpoint lacks,
    unless ``strict`` is False, ValueError where a tensor has another shape or is none."""
    items: list[ReadItem] = []
    for fqn, value in state_dict.items():
        entry = metadata.state_dict_metadata.get(fqn)
        if entry is None:
            if strict:
                raise RuntimeError(f"Missing key in checkpoint state_dict: {fqn}.")
            continue
        if isinstance(entry, TensorStorageMetadata):
            size = _size_of(value)
            if size is not None and entry.size != size:
                raise ValueError(
                    f"Size mismatch between saved {entry.size} and current: {size} for {fqn}"
                )
        if _takes_part(value):
            items += _create_read_items(fqn, entry, value)
    return LoadPlan(items)


def _size_of(value: Any) -> Any:
    """The global one; None for what has none."""
    if _is_checkpointable_tensor(value):
        return torch.Size(value.global_shape)
    size = getattr(value, "size", None)
    return size() if callable(size) else None


def create_default_global_load_plan(
    all_plans: list[LoadPlan],
) -> list[LoadPlan]:
    """The plans as they are: loading needs no agreement."""
    return all_plans


def create_default_local_save_plan(state_dict: dict[str, Any], is_coordinator: bool) -> SavePlan:
    """What this rank holds of a flat state dict; replicas and objects too, whichever rank it is."""
    items: list[WriteItem] = []
    for fqn, value in state_dict.items():
        if _takes_part(value):
            items += _create_write_items(fqn, value)
    return SavePlan(items)


def create_default_global_save_plan(
    all_plans: list[SavePlan],
    rewrite_index_hints: bool = True,
) -> tuple[list[SavePlan], Metadata]:
    """The metadata of all plans, chunks in the order of plans and items. With
    ``rewrite_index_hints``, items say which of their tensor's chunks they are."""
    entries: dict[str, STORAGE_TYPES] = {}
    plans = []
    for plan in all_plans:
        items = []
        for item in plan.items:
            number = _enter(item, entries)
            if number is not None and rewrite_index_hints:
                item = dataclasses.replace(
                    item, index=dataclasses.replace(item.index, index=number)
                )
            items.append(item)
        plans.append(dataclasses.replace(plan, items=items))
    return plans, Metadata(entries)


def _enter(item: WriteItem, entries: dict[str, STORAGE_TYPES]) -> int | None:
    """Adds the item to the metadata. Returns the number of its chunk, None for an object."""
    name = item.index.fqn
    if item.type != WriteItemType.SHARD and name in entries:
        raise AssertionError(f"'{name}' is written twice, and not as shards of one tensor")
    if item.type == WriteItemType.BYTE_IO:
        entries[name] = BytesStorageMetadata()
        return None
    data = item.tensor_data
    if data is None:
        raise AssertionError(f"the item of tensor '{name}' has no tensor data")
    if data.chunk is None:
        raise AssertionError(f"Cannot create MD for tensor without bounds. FQN: {name}")
    entry = entries.setdefault(
        name, TensorStorageMetadata(properties=data.properties, size=data.size, chunks=[])
    )
    if not isinstance(entry, TensorStorageMetadata):
        raise AssertionError(f"'{name}' is written as an object and as a tensor")
    entry.chunks.append(data.chunk)
    return len(entry.chunks) - 1


def _create_default_local_metadata(state_dict: STATE_DICT_TYPE) -> Metadata:
    """What `.metadata` would say had this flat state dict been saved, as far as this rank knows."""
    _, metadata = create_default_global_save_plan([_create_default_metadata_only_plan(state_dict)])
    return metadata


def _check_box_overlap(box0: ChunkStorageMetadata, box1: ChunkStorageMetadata) -> bool:
    """Whether two boxes overlap."""
    return overlap(box0, box1)


def _check_box_bounds(outer_box_size: torch.Size, inner_box: ChunkStorageMetadata) -> bool:
    """Whether the box lies in a tensor of that size."""
    return inside(inner_box, outer_box_size)


def _validate_global_plan(global_plan: list[SavePlan], metadata: Metadata) -> list[str]:
    """What is wrong with the chunks, one line each; nothing where all is well."""
    errors = list(problems(metadata, len(global_plan)))
    for error in errors:
        logger.warning(error)
    return errors
