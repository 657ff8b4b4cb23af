"""State dicts of torch as the trees that libdcp saves and loads into. Tensors stay where they are;
only those beyond the host's memory are copied."""

from __future__ import annotations

import collections
import io
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.distributed._shard.sharded_tensor import ShardedTensor
from torch.distributed.checkpoint.stateful import Stateful
from torch.distributed.tensor import DTensor

from ... import dcp_raw as raw
from ..._collection import uncollected
from ..._save import PlainTree
from ..._types import Opaque
from .shards import PROTOCOL, has_hooks, has_protocol, sharded

# What the engine takes apart by itself, and builds again as it was.
_PLAIN = frozenset(
    {type(None), bool, int, float, complex, str, bytes, bytearray, torch.Size, torch.dtype}
    | {torch.device, torch.layout, torch.memory_format}
)
_PLAIN_TENSORS = (torch.Tensor, torch.nn.Parameter)
_DICTS = (dict, collections.OrderedDict)
_PLAIN_CONTAINERS = frozenset({list, tuple, dict, set, frozenset})
_SCALARS = (np.bool_, np.number)
_MAX_DEPTH = 900


class Prepared(NamedTuple):
    """A tree for libdcp. ``copied``: pairs of a tensor of the state dict that is not in the host's
    memory, and what stands for it in the tree. ``shared``: tensors of the tree that are the state
    dict's own memory."""

    tree: dict[str, Any]
    copied: list[tuple[torch.Tensor, torch.Tensor]]
    shared: int


class Unsaid(Mapping):  # type: ignore[type-arg]
    """Stands for a state dict that could not be told, so that the call fails in the plan on all
    ranks, with this error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getitem__(self, key: Any) -> Any:
        raise self._error

    def __iter__(self) -> Any:
        raise self._error

    def __len__(self) -> int:
        raise self._error


# No class of these, nor what derives from it, is Stateful by itself.
_NEVER_STATEFUL = frozenset(
    {torch.Tensor, torch.nn.Parameter, DTensor, ShardedTensor, dict, list, tuple} | _PLAIN
)


def plain(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the top level, with what Stateful objects say in their places."""
    result = dict(state_dict)
    for key in stateful_keys(result):
        result[key] = result[key].state_dict()
    return result


def stateful_keys(state_dict: Mapping[str, Any]) -> list[str]:
    """Where the top level has Stateful objects, in its order."""
    kinds = set(map(type, state_dict.values())) - _NEVER_STATEFUL
    if not kinds:
        return []
    return [
        key
        for key, value in state_dict.items()
        if type(value) in kinds and _is_stateful(value)
    ]


def _is_stateful(value: Any) -> bool:
    return isinstance(value, Stateful)


def to_engine(state_dict: Mapping[str, Any], *, flatten: bool = True) -> Prepared:
    """What libdcp.save takes. ``flatten`` False keeps nested values as objects."""
    return _Conversion(False, flatten).of(state_dict)


def targets(state_dict: Mapping[str, Any], *, flatten: bool = True) -> Prepared:
    """What libdcp.load_into takes: the state dict's own memory, and host memory for tensors that are
    elsewhere, to be copied by :func:`copy_back`. Tensors on the meta device get memory first, in the
    state dict itself."""
    return _Conversion(True, flatten).of(state_dict)


def copy_back(prepared: Prepared) -> None:
    """After a load: into the tensors that are not in the host's memory."""
    with torch.no_grad():
        for tensor, copy in prepared.copied:
            tensor.copy_(copy, non_blocking=True)
    devices = {tensor.device for tensor, _ in prepared.copied if tensor.device.type == "cuda"}
    for device in devices:
        torch.cuda.synchronize(device)


class _Conversion:
    def __init__(self, target: bool, flatten: bool) -> None:
        self._target = target
        self._flatten = flatten
        self._copied: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._shared = 0

    def of(self, state_dict: Mapping[str, Any]) -> Prepared:
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"a state dict is a mapping, not {type(state_dict).__name__}")
        with uncollected():
            if self._flatten:
                tree = self._mapping(state_dict, 0)
            else:
                tree = PlainTree(
                    (str(key), self._whole(self._material(state_dict, key, value)))
                    for key, value in state_dict.items()
                )
        return Prepared(tree, self._copied, self._shared)

    def _mapping(self, mapping: Mapping[Any, Any], depth: int) -> dict[Any, Any]:
        if depth > _MAX_DEPTH:
            raise ValueError("the state dict is nested too deeply, or contains itself")
        if type(mapping) in _DICTS and raw.pydcp_only_plain_tensors(
            mapping, _PLAIN_TENSORS, "global_offsets"
        ):
            self._shared += len(mapping)
            return PlainTree(mapping) if depth == 0 else dict(mapping)
        result: dict[Any, Any] = {} if depth else PlainTree()
        shared = 0
        (tensor, parameter), plain_types = _PLAIN_TENSORS, _PLAIN
        for at, value in mapping.items():
            key = at if type(at) is str or type(at) is int else str(at)
            kind = type(value)
            if kind is tensor or kind is parameter:
                if value.is_cpu and not hasattr(value, "global_offsets"):
                    shared += 1
                else:
                    value = self._tensor(self._material(mapping, at, value))
            elif kind not in plain_types:
                value = self._other(self._material(mapping, at, value), depth)
            result[key] = value
        self._shared += shared
        return result

    def _one(self, value: Any, depth: int) -> Any:
        if isinstance(value, torch.Tensor):
            return self._tensor(value)
        return value if type(value) in _PLAIN else self._other(value, depth)

    def _other(self, value: Any, depth: int) -> Any:
        """Neither a tensor of torch's own classes nor a scalar."""
        if isinstance(value, Mapping):
            return self._mapping(value, depth + 1)
        if isinstance(value, torch.Tensor) or has_hooks(value):
            return self._tensor(value)
        if isinstance(value, list) and is_nested(value):
            return [
                self._one(self._material(value, at, item), depth + 1)
                for at, item in enumerate(value)
            ]
        return self._object(value)

    def _material(self, container: Any, at: Any, value: Any) -> Any:
        """A target on the meta device is replaced in its container."""
        if self._target and isinstance(value, torch.Tensor) and is_meta(value):
            value = container[at] = with_memory(value)
        return value

    def _whole(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor) or has_hooks(value):
            return self._tensor(value)
        return self._object(value)

    def _object(self, value: Any) -> Any:
        if self._target:
            return None
        return value if is_plain(value) else Opaque(_global_of(value), pickled(value))

    def _tensor(self, value: Any) -> Any:
        kind = type(value)
        if (
            isinstance(value, (DTensor, ShardedTensor))
            or has_hooks(value)
            or (hasattr(value, "global_offsets") and has_protocol(value))
        ):
            return sharded(value, self._target, self._memory)
        if kind.__name__ == "AsyncCollectiveTensor" and hasattr(value, "wait"):
            value = value.wait()
        return self._memory(value)

    def _memory(self, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.is_cpu:
            self._shared += 1
            return tensor
        if tensor.is_meta:
            raise ValueError("a tensor on the meta device has no values")
        if self._target:
            copy = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
        else:
            copy = tensor.detach().to("cpu").requires_grad_(tensor.requires_grad)
        self._copied.append((tensor, copy))
        return copy


def is_nested(values: list[Any]) -> bool:
    """Whether a list is taken apart when state dicts are flattened: somewhere in it there is a tensor
    or a mapping."""
    for value in values:
        if isinstance(value, (torch.Tensor, Mapping)):
            return True
        if isinstance(value, list) and is_nested(value):
            return True
    return False


def is_plain(value: Any, depth: int = 0) -> bool:
    """Whether an object is made of what the engine writes itself, in torch.save's form."""
    kind = type(value)
    if kind in _PLAIN:
        return True
    if kind not in _PLAIN_CONTAINERS:
        return isinstance(value, _SCALARS)
    if depth > 100:
        return False
    if kind is dict:
        return all(is_plain(k, depth + 1) and is_plain(v, depth + 1) for k, v in value.items())
    return all(is_plain(item, depth + 1) for item in value)


def pickled(value: Any) -> bytes:
    """As torch.save writes it."""
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def _global_of(value: Any) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


# ---- back ----


def set_value(state_dict: Any, path: tuple[str | int, ...], value: Any) -> None:
    """Puts a value where a path of the flattened names leads: text stands for any key that reads like
    it; what is missing is made."""
    node = state_dict
    for step, following in zip(path[:-1], path[1:]):
        step = _key_in(node, step)
        if isinstance(node, Mapping):
            if step not in node:
                node[step] = [] if type(following) is int else {}  # type: ignore[index]
        else:
            _extend(node, step)
            if node[step] is None:
                node[step] = [] if type(following) is int else {}
        node = node[step]
    last = _key_in(node, path[-1])
    if isinstance(node, list):
        _extend(node, last)
    node[last] = value


def _extend(values: Any, index: Any) -> None:
    while len(values) <= index:
        values.append(None)


def _key_in(node: Any, step: str | int) -> Any:
    if not isinstance(node, Mapping) or step in node:
        return step
    for key in node:
        if type(key) is not str and str(key) == str(step):
            return key
    return step


def _device() -> torch.device:
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        return torch.device("cpu")
    kind = dist.distributed_c10d._get_pg_default_device().type
    if kind == "cpu":
        return torch.device("cpu")
    return torch.device(kind, torch.get_device_module(kind).current_device())


def is_meta(value: torch.Tensor) -> bool:
    if isinstance(value, DTensor):
        return value._local_tensor.is_meta
    device = getattr(value, "device", None)
    return device is not None and device.type == "meta"


def with_memory(value: torch.Tensor) -> torch.Tensor:
    """One like it, with memory on the device of the process group."""
    if isinstance(value, ShardedTensor):
        raise RuntimeError("a ShardedTensor on the meta device cannot be loaded into")
    if isinstance(value, DTensor):
        local = torch.empty_like(value._local_tensor, device=_device())
        return DTensor.from_local(
            local,
            device_mesh=value.device_mesh,
            placements=value.placements,
            run_check=False,
            shape=value.size(),
            stride=value.stride(),
        )
    made = torch.empty_like(value, device=_device())
    if hasattr(value, "global_offsets") and has_protocol(value):
        for name in PROTOCOL:
            setattr(made, name, getattr(value, name))
    return made
