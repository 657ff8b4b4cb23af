"""Plans and metadata, as planners, storage writers and storage readers see them."""

from __future__ import annotations

import collections.abc
from dataclasses import dataclass, field
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Generic,
    Iterable,
    Iterator,
    Sequence,
    TypeVar,
    Union,
)

from . import dcp_raw as raw
from ._convert import dtype_number, dtype_of
from ._errors import NoSuchEntryError

if TYPE_CHECKING:
    from ._checkpoint import Chunk

_WRITE_KINDS = {
    raw.DCP_WRITE_TENSOR: "tensor",
    raw.DCP_WRITE_SHARD: "shard",
    raw.DCP_WRITE_BYTES: "object",
}
_WRITE_NUMBERS = {name: number for number, name in _WRITE_KINDS.items()}
_READ_KINDS = {raw.DCP_ENTRY_TENSOR: "tensor", raw.DCP_ENTRY_OBJECT: "object"}
_READ_NUMBERS = {name: number for number, name in _READ_KINDS.items()}


def _number(kinds: dict[str, int], kind: str) -> int:
    if kind not in kinds:
        raise ValueError(f"kind is one of {', '.join(kinds)}, not {kind!r}")
    return kinds[kind]


@dataclass(frozen=True)
class WriteItem:
    """One item of a save plan: upstream's WriteItem.

    kind: "tensor" is a whole tensor, "shard" a chunk of one that ranks share, "object" the rest.
    dtype: numpy's, a libdcp.DType, or a name. None for objects, which have no sizes either.
    global_shape: of the whole tensor; offsets and sizes: the chunk in it, the whole if not given.
    source: which item of its rank's own local plan this is; None for one that was added. It tells
        what the item holds, so change names with ``dataclasses.replace``.
    """

    name: str
    kind: str = "object"
    dtype: Any = None
    global_shape: tuple[int, ...] = ()
    offsets: tuple[int, ...] | None = None
    sizes: tuple[int, ...] | None = None
    requires_grad: bool = False
    source: int | None = None
    _rank: int | None = field(default=None, repr=False, compare=False)  # whose local plan

    def __post_init__(self) -> None:
        shape = tuple(self.global_shape)
        object.__setattr__(self, "global_shape", shape)
        offsets = (0,) * len(shape) if self.offsets is None else tuple(self.offsets)
        object.__setattr__(self, "offsets", offsets)
        object.__setattr__(self, "sizes", shape if self.sizes is None else tuple(self.sizes))

    @classmethod
    def _of(cls, fields: Any, rank: int | None) -> WriteItem:
        kind, name, dtype, shape, offsets, sizes, requires_grad, source = fields
        return cls(
            name,
            _WRITE_KINDS[kind],
            dtype_of(dtype, raw.dcp_dtype_name(dtype)) if dtype else None,
            shape,
            offsets,
            sizes,
            requires_grad,
            None if source < 0 else source,
            rank,
        )

    def _fields(self, rank: int | None) -> tuple[Any, ...]:
        # A number of another rank's plan means nothing in this one.
        moved = rank is not None and self._rank is not None and self._rank != rank
        return (
            _number(_WRITE_NUMBERS, self.kind),
            self.name,
            0 if self.dtype is None else dtype_number(self.dtype),
            self.global_shape,
            self.offsets,
            self.sizes,
            self.requires_grad,
            -1 if self.source is None or moved else self.source,
        )


@dataclass(frozen=True)
class ReadItem:
    """One item of a load plan: upstream's ReadItem.

    name: of the checkpoint's entry; chunk: the number of its chunk.
    storage_offsets: in the chunk; dest_offsets: in the target; lengths: of the box that is read.
    target: which part of its rank's tree it is for, in the tree's order (chunks of a Sharded count
        one by one); None when resolve_tensor or load_bytes tells.
    """

    name: str
    kind: str = "object"
    chunk: int = 0
    storage_offsets: tuple[int, ...] = ()
    dest_offsets: tuple[int, ...] = ()
    lengths: tuple[int, ...] = ()
    target: int | None = None

    @classmethod
    def _of(cls, fields: Any, rank: int | None) -> ReadItem:
        kind, name, chunk, storage_offsets, dest_offsets, lengths, target = fields
        return cls(
            name,
            _READ_KINDS[kind],
            chunk,
            storage_offsets,
            dest_offsets,
            lengths,
            None if target < 0 else target,
        )

    def _fields(self, rank: int | None) -> tuple[Any, ...]:
        return (
            _number(_READ_NUMBERS, self.kind),
            self.name,
            self.chunk,
            tuple(self.storage_offsets),
            tuple(self.dest_offsets),
            tuple(self.lengths),
            -1 if self.target is None else self.target,
        )


Item = TypeVar("Item", WriteItem, ReadItem)


class Plan(collections.abc.Sequence, Generic[Item]):  # type: ignore[type-arg]
    """What one rank is to write or read, in this order. One that a method was given is on loan until
    that method returns; what is to be kept is copied: ``list(plan)``."""

    _item: Any

    def __init__(self, lent: Any, rank: int | None = None) -> None:
        self._lent = lent
        self._rank = rank

    def __len__(self) -> int:
        return int(raw.pydcp_plan_count(self._lent))

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        count = len(self)
        if not -count <= index < count:
            raise IndexError(f"item {index} of a plan of {count}")
        return self._item._of(raw.pydcp_plan_item(self._lent, index % count), self._rank)

    def __iter__(self) -> Iterator[Item]:
        for index in range(len(self)):
            yield self[index]

    @property
    def items(self) -> list[Item]:
        """All of them, to keep."""
        return list(self)

    def add(self, item: Item) -> None:
        """At the end."""
        raw.pydcp_plan_add(self._lent, item._fields(self._rank))

    def remove(self, which: Union[int, Item]) -> None:
        """By number or by value."""
        if not isinstance(which, int):
            which = self.index(which)
        elif which < 0:
            which += len(self)
        raw.pydcp_plan_remove(self._lent, which)

    def clear(self) -> None:
        for index in reversed(range(len(self))):
            raw.pydcp_plan_remove(self._lent, index)

    def replace(self, items: Iterable[Item]) -> None:
        """These items in place of those there are."""
        items = list(items)
        self.clear()
        for item in items:
            self.add(item)

    @property
    def storage_data(self) -> bytes:
        """What the storage has to say of the plan, from prepare_local_plan to prepare_global_plan,
        and from there to write_data or read_data."""
        return raw.pydcp_plan_data(self._lent)

    @storage_data.setter
    def storage_data(self, data: Any) -> None:
        raw.pydcp_plan_set_data(self._lent, data)

    def __repr__(self) -> str:
        return f"<libdcp.{type(self).__name__} of {len(self)} items>"


class SavePlan(Plan[WriteItem]):
    """What one rank is to write; ``SavePlan(items)`` is one of your own."""

    _item = WriteItem

    def __init__(self, items: Iterable[WriteItem] = ()) -> None:
        super().__init__(raw.pydcp_plan_new())
        self._paths: dict[str, tuple[str | int, ...]] = {}
        for item in items:
            self.add(item)

    @classmethod
    def _of(cls, lent: Any, rank: int | None = None) -> SavePlan:
        plan = cls.__new__(cls)
        Plan.__init__(plan, lent, rank)
        plan._paths = {}
        return plan

    def set_path(self, name: str, path: Sequence[str | int]) -> None:
        """Where ``name`` stands in the nested state dict, for those who load it nested."""
        raw.pydcp_plan_set_path(self._lent, name, tuple(path))
        self._paths[name] = tuple(path)


class LoadPlan(Plan[ReadItem]):
    """What one rank is to read."""

    _item = ReadItem


AnyPlan = TypeVar("AnyPlan", SavePlan, LoadPlan)


class Plans(list):  # type: ignore[type-arg]
    """All ranks' plans, by rank."""

    def __init__(self, lent: Any, make: Callable[[Any, int], Any]) -> None:
        count = int(raw.pydcp_plan_count(lent))
        super().__init__(make(raw.pydcp_plans_at(lent, rank), rank) for rank in range(count))
        self._lent = lent


class SavePlans(Plans):
    """All ranks' save plans, by rank."""

    def __init__(self, lent: Any, to_lowest_rank: bool) -> None:
        super().__init__(lent, SavePlan._of)
        self._to_lowest_rank = to_lowest_rank

    def dedup(self, to_lowest_rank: bool | None = None) -> None:
        """Leaves what several ranks hold to one of them: the one with the least to write so far, as
        upstream, or the lowest; as the save was told when not given."""
        lowest = self._to_lowest_rank if to_lowest_rank is None else to_lowest_rank
        raw.pydcp_plans_dedup(self._lent, int(bool(lowest)))


class LoadPlans(Plans):
    """All ranks' load plans, by rank."""

    def __init__(self, lent: Any) -> None:
        super().__init__(lent, LoadPlan)


def settle_plan(plan: Any, result: Any, method: str) -> None:
    """What a method returned, put into the plan it was given: that very plan, or items."""
    if isinstance(result, Plan) and result._lent is plan._lent:
        return
    if result is None:
        raise TypeError(f"{method} returned None: it returns the plan, or its items")
    _check_items(plan, result, method)
    items = list(result)
    if isinstance(result, Plan):
        plan.storage_data = result.storage_data
    plan.replace(items)
    for name, path in getattr(result, "_paths", {}).items():
        plan.set_path(name, path)


def settle_plans(plans: Plans, result: Any, method: str) -> None:
    """The same for the plans of all ranks."""
    if result is plans:
        return
    if result is None or len(result) != len(plans):
        raise TypeError(f"{method} returns one plan, or its items, for each of {len(plans)} ranks")
    for given in result:
        _check_items(plans[0], given, method)
    # All are read before any is changed: items may go from rank to rank.
    taken = [
        None if isinstance(given, Plan) and given._lent is plan._lent else list(given)
        for plan, given in zip(plans, result)
    ]
    for plan, items in zip(plans, taken):
        if items is not None:
            plan.replace(items)


def _check_items(plan: Any, given: Any, method: str) -> None:
    if isinstance(given, (str, bytes)) or not hasattr(given, "__iter__"):
        raise TypeError(f"{method} returns plans, or items, not {type(given).__name__}")
    if isinstance(given, Plan) and given._item is not plan._item:
        raise TypeError(f"{method} returned a {type(given).__name__}")


class MetadataEntry:
    """One name of a checkpoint, as its metadata tells of it."""

    name: str
    kind: str
    dtype_name: str | None
    shape: tuple[int, ...]
    nbytes: int
    stored_nbytes: int
    chunk_count: int

    def __init__(self, lent: Any, index: int) -> None:
        self._lent = lent
        self._index = index
        (
            kind,
            self.name,
            self.dtype_name,
            self._dtype_number,
            self.shape,
            self.nbytes,
            self.stored_nbytes,
            self.chunk_count,
        ) = raw.pydcp_metadata_entry(lent, index)
        self.kind = _READ_KINDS[kind]

    @property
    def dtype(self) -> Any:
        """numpy's dtype, a libdcp.DType where numpy has none, None for objects."""
        return dtype_of(self._dtype_number, self.dtype_name)

    @property
    def chunks(self) -> tuple[Chunk, ...]:
        """Of a tensor its chunks, of an object its one item; ``file`` is None where nothing is said
        of where it lies."""
        from ._checkpoint import Chunk

        return tuple(
            Chunk(*raw.pydcp_metadata_chunk(self._lent, self._index, i))
            for i in range(self.chunk_count)
        )

    def __repr__(self) -> str:
        return f"<libdcp.MetadataEntry {self.name!r}: {self.kind}>"


class Metadata:
    """What `.metadata` says: entries, chunks, and where they lie. One that a method was given is on
    loan: planners and storage readers may look at it in their later methods too, others until the
    method returns."""

    def __init__(self, lent: Any) -> None:
        self._lent = lent
        self._numbers: dict[str, int] = {}

    @classmethod
    def decode(cls, data: Any) -> Metadata:
        """From the bytes of a `.metadata` file."""
        return cls(raw.pydcp_metadata_decode(data))

    @classmethod
    def of_plan(cls, plan: SavePlan) -> Metadata:
        """Of one rank's plan by itself, with nothing said of where the items lie: upstream's default
        local metadata."""
        return cls(raw.pydcp_metadata_of_plan(plan._lent))

    def encode(self, dialect: str = "default") -> bytes:
        """The bytes of a `.metadata` file that torch reads; dialects as in :func:`libdcp.save`."""
        from ._save import DIALECTS

        if dialect not in DIALECTS:
            raise ValueError(f"dialect is one of {', '.join(DIALECTS)}, not {dialect!r}")
        return raw.pydcp_metadata_encode(self._lent, DIALECTS[dialect])

    def place(self, rank: int, item: int, file: str, offset: int, length: int) -> None:
        """In a storage writer's ``finish``, or of metadata made of a plan (rank 0's): item number
        ``item`` of the plan of ``rank`` lies in ``file`` at ``offset``, ``length`` bytes."""
        raw.pydcp_metadata_place(self._lent, rank, item, file, offset, length)

    def __len__(self) -> int:
        return int(raw.pydcp_metadata_count(self._lent))

    @property
    def entries(self) -> list[MetadataEntry]:
        return [MetadataEntry(self._lent, index) for index in range(len(self))]

    @property
    def chunks(self) -> dict[str, tuple[Chunk, ...]]:
        """Of all entries, by name."""
        return {entry.name: entry.chunks for entry in self.entries}

    def _by_name(self) -> dict[str, int]:
        if not self._numbers:
            self._numbers = {entry.name: number for number, entry in enumerate(self.entries)}
        return self._numbers

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name())

    def __contains__(self, name: object) -> bool:
        return name in self._by_name()

    def __getitem__(self, name: str) -> MetadataEntry:
        number = self._by_name().get(name)
        if number is None:
            raise NoSuchEntryError(f"the metadata has no entry '{name}'")
        return MetadataEntry(self._lent, number)

    def __repr__(self) -> str:
        return f"<libdcp.Metadata of {len(self)} entries>"
