"""Copies of state dicts in the CPU's memory, one pass over the bytes."""

from __future__ import annotations

import copy
import gc
import threading
import types
import warnings
import weakref
from copyreg import dispatch_table
from typing import Any, Callable

import torch
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from ._bulk_copy import copy_all
from ._staging_memory import ALIGNMENT, StagingMemory

__all__ = ["StateDictStager"]

_ATOMIC = frozenset(
    {
        type(None),
        type(Ellipsis),
        type(NotImplemented),
        int,
        float,
        bool,
        complex,
        bytes,
        str,
        range,
        property,
        types.CodeType,
        types.BuiltinFunctionType,
        types.FunctionType,
        weakref.ref,
        torch.Size,
        torch.dtype,
        torch.device,
        torch.layout,
        torch.memory_format,
    }
)
_PLAIN_TENSORS: frozenset[type] = frozenset({torch.Tensor, torch.nn.Parameter, torch.nn.Buffer})


class StateDictStager:
    """Stages state dicts: the copy has the same structure, its tensors are on the CPU, tensors that
    shared memory share it again, and everything else is copied deeply.

    The memory is kept for the next state dict, which gets it once nothing refers to the copy before:
    a copy that is still being saved stays what it was.

    pin_memory: the memory is page-locked, for copies from a CUDA device; ignored with a warning where
        there is none.
    share_memory: other processes can map it. All tensors are views of few storages then, so that it
        takes few file descriptors.
    pin_memory_min_bytes: state dicts of fewer bytes are not pinned.
    """

    def __init__(
        self,
        pin_memory: bool = False,
        share_memory: bool = False,
        pin_memory_min_bytes: int = 5,
    ):
        if pin_memory and not torch.cuda.is_available():
            warnings.warn(
                "memory for staging is not pinned: that takes CUDA, which is not available",
                stacklevel=2,
            )
            pin_memory = False
        self.pin_memory = pin_memory
        self.share_memory = share_memory
        self.pin_memory_min_bytes = pin_memory_min_bytes
        self.staged_bytes = 0  # of the last state dict
        self._memory = StagingMemory(shared=share_memory, pinned=pin_memory)
        self._unpinned = StagingMemory(shared=share_memory) if pin_memory else self._memory
        self._lock = threading.Lock()

    def stage(self, state_dict: Any, non_blocking: bool = False) -> Any:
        """The copy. With ``non_blocking``, copies from a device are under way when it returns: the
        device is to be synchronized before anybody reads them."""
        return self.deepcopy_with_tensor_offload(state_dict, None, non_blocking=non_blocking)

    @torch.no_grad()
    def deepcopy_with_tensor_offload(
        self,
        x: Any,
        memo: Any = None,
        _nil: Any = [],  # noqa: B006
        non_blocking: bool = False,
    ) -> Any:
        """As :meth:`stage`, for any object; ``memo`` as for copy.deepcopy."""
        with self._lock:
            memory, expected = self._memory, 0
            if self.pin_memory:  # which costs all the memory that is taken, not what is used of it
                expected = _size_of(x)
                memory = memory if expected >= self.pin_memory_min_bytes else self._unpinned
            tensors = _Tensors(memory)
            copier = _Copier({} if memo is None else memo, tensors)
            memory.begin(expected)
            # Very many small objects are made, none of them garbage, while somebody waits.
            collects = gc.isenabled()
            gc.disable()
            try:
                staged = copier.copy(x)
                tensors.fill(non_blocking)
                self.staged_bytes = tensors.nbytes
                return staged
            finally:
                if collects:
                    gc.enable()
                memory.end()
                copier.forget(own_memo=memo is None)  # a cycle would keep the memory from being free

    def is_ready(self) -> bool:
        """Whether the next state dict finds memory of an earlier one."""
        return not self._lock.locked() and self._memory.is_ready()

    def close(self) -> None:
        """Lets go of the memory that is kept."""
        self._memory.close()
        self._unpinned.close()


def _size_of(x: Any) -> int:
    """Bytes of the tensors in plain containers."""
    if isinstance(x, torch.Tensor):
        local = getattr(x, "_local_tensor", x)
        if type(local) in _PLAIN_TENSORS and local.layout is torch.strided:
            return local.numel() * local.element_size() + ALIGNMENT
        return 0
    if isinstance(x, dict):
        return sum(map(_size_of, x.values()))
    if isinstance(x, (list, tuple)):
        return sum(map(_size_of, x))
    return 0


# ---- structure ----


class _Copier:
    """Copies what is not a tensor at once; tensors come out to be filled by their ``_Tensors``."""

    def __init__(self, memo: dict[int, Any], tensors: _Tensors) -> None:
        self._memo = memo
        self._tensors = tensors
        self._kinds: dict[type, Callable[[Any], Any]] = {
            dict: self._dict,
            list: self._list,
            tuple: self._tuple,
            types.MethodType: self._method,
            **dict.fromkeys(_PLAIN_TENSORS, self._tensor),
        }

    def copy(self, x: Any) -> Any:
        cls = type(x)
        if cls in _ATOMIC:
            return x
        y = self._memo.get(id(x), self)
        if y is not self:
            return y
        kind = self._kinds.get(cls)
        if kind is None:
            kind = self._kinds[cls] = self._kind_of(cls)
        y = kind(x)
        if y is not x:
            self._memo[id(x)] = y
            self._keep(x)
        return y

    def forget(self, own_memo: bool) -> None:
        self._kinds.clear()
        if own_memo:
            self._memo.clear()

    def _keep(self, x: Any) -> None:
        """So that no other object gets its id; where copy.deepcopy keeps them as well."""
        self._memo.setdefault(id(self._memo), []).append(x)

    def _kind_of(self, cls: type) -> Callable[[Any], Any]:
        if issubclass(cls, type):
            return lambda x: x
        if issubclass(cls, torch.Tensor):
            if _is_sharded(cls):
                return self._sharded_tensor
            return self._subclass
        if issubclass(cls, torch.distributed.ProcessGroup):
            return lambda x: x
        return self._other

    def _dict(self, x: dict[Any, Any]) -> dict[Any, Any]:
        y: dict[Any, Any] = {}
        self._memo[id(x)] = y
        copied = self.copy
        for key, value in x.items():
            y[copied(key)] = copied(value)
        return y

    def _list(self, x: list[Any]) -> list[Any]:
        y: list[Any] = []
        self._memo[id(x)] = y
        y.extend(map(self.copy, x))
        return y

    def _tuple(self, x: tuple[Any, ...]) -> tuple[Any, ...]:
        items = tuple(map(self.copy, x))
        seen: Any = self._memo.get(id(x))
        if seen is not None:  # it contains itself
            return seen  # type: ignore[no-any-return]
        if all(new is old for new, old in zip(items, x)):
            return x
        return items

    def _method(self, x: types.MethodType) -> types.MethodType:
        return types.MethodType(x.__func__, self.copy(x.__self__))

    def _other(self, x: Any) -> Any:
        own = getattr(x, "__deepcopy__", None)
        if own is not None:
            return own(self._memo)
        reduce = dispatch_table.get(type(x))
        reduced = reduce(x) if reduce is not None else x.__reduce_ex__(4)
        if isinstance(reduced, str):
            return x
        return copy._reconstruct(x, self._memo, *reduced, deepcopy=self._nested)  # type: ignore[attr-defined]

    def _nested(self, x: Any, _memo: Any) -> Any:
        return self.copy(x)

    def _tensor(self, x: torch.Tensor) -> torch.Tensor:
        y = self._tensors.add(x) if self._is_strided(x) else _detached(x)
        for name, value in getattr(x, "__dict__", {}).items():
            setattr(y, name, self.copy(value))
        return y

    @staticmethod
    def _is_strided(x: torch.Tensor) -> bool:
        """Elements in memory that is its own, as they are."""
        return (
            x.layout is torch.strided
            and x.device.type != "meta"
            and not (x.is_quantized or x.is_nested or x.is_conj() or x.is_neg())
        )

    def _subclass(self, x: torch.Tensor) -> torch.Tensor:
        if is_traceable_wrapper_subclass(x):
            return self._wrapper(x)
        if _is_fake(x):
            return x
        if not self._is_strided(x) or not x.untyped_storage().data_ptr():
            return _detached(x)
        y = self._tensors.add(x.as_subclass(torch.Tensor)).as_subclass(type(x))
        for name, value in x.__dict__.items():
            setattr(y, name, self.copy(value))
        return y

    def _wrapper(self, x: Any) -> Any:
        """DTensors and their kin: tensors made of tensors."""
        names, context = x.__tensor_flatten__()
        inner = {name: self.copy(getattr(x, name)) for name in names}
        return type(x).__tensor_unflatten__(inner, context, x.size(), x.stride())

    def _sharded_tensor(self, x: Any) -> Any:
        from torch.distributed._shard.sharded_tensor import Shard, ShardedTensor

        metadata = copy.deepcopy(x.metadata())
        for shard in metadata.shards_metadata:
            if shard.placement is not None and shard.placement.device().type != "cpu":
                rank = shard.placement.rank()
                shard.placement = type(shard.placement)(
                    "cpu" if rank is None else f"rank:{rank}/cpu"
                )
        metadata.tensor_properties.pin_memory = False
        own = {tuple(s.shard_offsets): s for s in metadata.shards_metadata}
        shards = [
            Shard(self.copy(shard.tensor), own[tuple(shard.metadata.shard_offsets)])
            for shard in x.local_shards()
        ]
        return ShardedTensor._init_from_local_shards_and_global_metadata(
            shards, metadata, process_group=x._process_group
        )


def _is_sharded(cls: type) -> bool:
    return any(
        base.__name__ == "ShardedTensor" and base.__module__.startswith("torch.distributed._shard")
        for base in cls.__mro__
    )


def _is_fake(x: torch.Tensor) -> bool:
    return any(base.__name__ == "FakeTensor" for base in type(x).__mro__)


def _detached(x: torch.Tensor) -> torch.Tensor:
    if x.device.type == "meta":
        return x
    return x.detach().to("cpu", copy=True)


# ---- bytes ----


class _Tensors:
    """Gives tensors their places, and copies all their bytes together."""

    def __init__(self, memory: StagingMemory) -> None:
        self._memory = memory
        self._storages: dict[int, tuple[Any, int]] = {}
        self._from: list[torch.Tensor] = []
        self._to: list[torch.Tensor] = []
        self.nbytes = 0

    def add(self, x: torch.Tensor) -> torch.Tensor:
        """What will be its copy."""
        shape = x.size()
        if not x.numel():
            return torch.empty_strided(shape, x.stride(), dtype=x.dtype)
        storage = x.untyped_storage()
        nbytes = x.numel() * x.element_size()
        whole = storage.nbytes()
        known = self._storages.get(storage._cdata)
        if known is not None or nbytes != whole or not x.is_contiguous():
            if 2 * nbytes >= whole or known is not None:
                return self._view(x, storage, whole, known)
            # The rest of a large tensor, of which this is a small part, stays behind.
        block, at = self._memory.take(nbytes)
        y = block.tensor(at, x.dtype, shape, None)
        if nbytes == whole:
            self._storages[storage._cdata] = y, 0
        self.nbytes += nbytes
        self._from.append(x)
        self._to.append(y)
        return y

    def _view(self, x: torch.Tensor, storage: Any, whole: int, known: Any) -> torch.Tensor:
        """Of a copy of all its storage, which others may be views of as well."""
        if known is None:
            block, at = self._memory.take(whole)
            copied, begin = block.storage(at, whole)
            self._from.append(_as_bytes(storage, 0, whole, x.device))
            self._to.append(_as_bytes(copied, begin, whole, torch.device("cpu")))
            self.nbytes += whole
            self._storages[storage._cdata] = copied, begin
        else:
            copied, begin = known
            if isinstance(copied, torch.Tensor):
                begin = copied.storage_offset() * copied.element_size()
                copied = copied.untyped_storage()
        offset = begin // x.element_size() + x.storage_offset()
        return torch.empty(0, dtype=x.dtype).set_(copied, offset, x.size(), x.stride())

    def fill(self, non_blocking: bool) -> None:
        copy_all(self._to, self._from, non_blocking)


def _as_bytes(storage: Any, begin: int, nbytes: int, device: torch.device) -> torch.Tensor:
    part = torch.empty(0, dtype=torch.uint8, device=device)
    return part.set_(storage, begin, (nbytes,), (1,))
