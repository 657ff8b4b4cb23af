"""A checkpoint open for reading: a mapping of names to entries that are read when asked."""

from __future__ import annotations

import math
import operator
import threading
from typing import TYPE_CHECKING, Any, Iterable, Iterator, Mapping, NamedTuple

import numpy as np

from . import dcp_raw as raw
from ._context import Context, context_for, set_handles
from ._convert import dtype_number, dtype_of, numpy_objects
from ._errors import (
    CorruptError,
    Error,
    MismatchError,
    NoSuchEntryError,
    NotFoundError,
    ReplacedError,
    UnsupportedError,
)
from ._progress import ProgressCallback
from ._report import Damage, SaveReport, VerifyReport
from ._run import blocking
from ._save import save_options
from ._storage import Where, is_python, native_storage
from ._transform import TransformLike
from ._types import RawArray

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Callable

# Reads up to this size from files cannot take long enough to be worth a helper thread.
_SMALL = 4 << 20


class Chunk(NamedTuple):
    """One chunk of a tensor, or the one item of an object: where it lies in the global tensor, and in
    which file. ``file`` is None when the metadata does not say."""

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    file: str | None
    offset: int
    length: int
    transforms: str


class Entry:
    """One name of a checkpoint. Nothing is read until it is asked for; slices read only what they
    need: ``entry[0:10]``, ``entry[..., ::2]``, ``entry[3, -1]``."""

    __slots__ = (
        "_checkpoint", "_index", "name", "kind", "dtype_name", "_dtype_number", "shape", "nbytes",
        "stored_nbytes", "chunk_count",
    )  # fmt: skip

    name: str
    kind: str
    dtype_name: str | None
    shape: tuple[int, ...]
    nbytes: int
    stored_nbytes: int
    chunk_count: int

    def __init__(self, checkpoint: Checkpoint, index: int) -> None:
        self._checkpoint = checkpoint
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
        ) = raw.pydcp_entry(checkpoint._handle(), index)
        self.kind = "tensor" if kind == raw.DCP_ENTRY_TENSOR else "object"

    @property
    def is_tensor(self) -> bool:
        return self.kind == "tensor"

    @property
    def dtype(self) -> Any:
        """numpy's dtype, a libdcp.DType where numpy has none, None for objects."""
        return dtype_of(self._dtype_number, self.dtype_name)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def path(self) -> tuple[str | int, ...]:
        """The way from the root of the nested state dict."""
        value = raw.dcp_checkpoint_path(self._checkpoint._handle(), self._index)
        return raw.pydcp_decode(value)  # type: ignore[no-any-return]

    @property
    def chunks(self) -> tuple[Chunk, ...]:
        handle = self._checkpoint._handle()
        return tuple(
            Chunk(*raw.pydcp_chunk(handle, self._index, i)) for i in range(self.chunk_count)
        )

    def read(self, out: Any = None) -> Any:
        """The whole tensor in a fresh array, or in ``out`` (numpy or torch on the CPU, of this
        shape; another dtype is cast as torch casts); an object's value."""
        if not self.is_tensor:
            if out is not None:
                raise MismatchError(f"'{self.name}' is an object, not a tensor")
            handle, index = self._checkpoint._handle(), self._index
            value = self._checkpoint._run(
                lambda: raw.dcp_checkpoint_object(handle, index), self.nbytes
            )
            return raw.pydcp_decode(value)
        if out is not None:
            if not hasattr(out, "shape"):
                raise TypeError(f"out is an array or a tensor, not {type(out).__name__}")
            if tuple(out.shape) != self.shape:
                raise MismatchError(
                    f"'{self.name}' has shape {self.shape}, the array {tuple(out.shape)}"
                )
            self._fill(out, (0,) * self.ndim, (1,) * self.ndim)
            return out
        handle, index = self._checkpoint._handle(), self._index
        tensor = self._checkpoint._run(lambda: raw.dcp_checkpoint_tensor(handle, index), self.nbytes)
        return raw.pydcp_array(tensor)

    def __getitem__(self, key: Any) -> Any:
        """A slice by integers, slices with any step, and an ellipsis."""
        self._need_tensor()
        starts, steps, lengths, flips, squeeze = _parse(key, self.shape)
        array: Any
        if self._dtype_number in numpy_objects:
            array = np.empty(lengths, numpy_objects[self._dtype_number])
            if array.size:
                self._fill(array, starts, steps)
        else:
            if not self._dtype_number:
                raise UnsupportedError(f"'{self.name}' has dtype {self.dtype_name}, unknown here")
            array = RawArray.empty(lengths, self.dtype)
            if array.size:
                self._fill(array, starts, steps)
        view = tuple(
            0 if gone else slice(None, None, -1) if flip else slice(None)
            for flip, gone in zip(flips, squeeze)
        )
        return array[view] if any(flips) or any(squeeze) else array

    def _fill(self, array: Any, starts: tuple[int, ...], steps: tuple[int, ...]) -> None:
        """Reads the box at `starts` with `steps` that has the array's shape."""
        number = 0
        if isinstance(array, RawArray):
            array, number = array.raw, dtype_number(array.dtype)
        handle, index = self._checkpoint._handle(), self._index
        unverified = self._checkpoint._run(
            lambda: raw.pydcp_read(handle, index, starts, steps, array, number),
            math.prod(array.shape) * max(int(raw.dcp_dtype_size(self._dtype_number)), 1),
        )
        with self._checkpoint._lock:
            self._checkpoint._bytes_unverified += unverified

    def _need_tensor(self) -> None:
        if not self.is_tensor:
            raise TypeError(f"'{self.name}' is an object, not a tensor: use .read()")

    def map(self, chunk: int | None = None) -> Any:
        """A read-only array in the mapped file, no copy, nothing verified. ``chunk`` says which one
        of a tensor in several chunks. UnsupportedError, with the reason, where the bytes cannot be
        used in place. Another program that truncates the file makes the array invalid; saves of
        libdcp never do."""
        self._need_tensor()
        if chunk is None:
            if self.chunk_count != 1:
                raise UnsupportedError(
                    f"'{self.name}' is stored in {self.chunk_count} chunks: say which one to map, "
                    "or read() it"
                )
            chunk = 0
        handle = self._checkpoint._handle()
        return raw.pydcp_array(raw.dcp_checkpoint_map(handle, self._index, chunk))

    def item_bytes(self, chunk: int = 0) -> bytes:
        """The item as torch.save wrote it, transforms undone."""
        value = raw.dcp_checkpoint_item(self._checkpoint._handle(), self._index, chunk)
        return raw.pydcp_decode(value)  # type: ignore[no-any-return]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        self._need_tensor()
        if copy is False:
            raise ValueError("reading an entry makes a copy: use .map() for a view of the file")
        array = self.read()
        if isinstance(array, RawArray):
            return array.__array__()
        return array if dtype is None else array.astype(dtype, copy=False)

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: Any = None,
        copy: bool | None = None,
    ) -> Any:
        """Reads the tensor and hands it over: ``torch.from_dlpack(entry)``, bfloat16 included."""
        self._need_tensor()
        handle, index = self._checkpoint._handle(), self._index
        tensor = self._checkpoint._run(lambda: raw.dcp_checkpoint_tensor(handle, index), self.nbytes)
        return raw.pydcp_capsule(tensor, int(max_version is not None and max_version[0] >= 1))

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def __len__(self) -> int:
        self._need_tensor()
        if not self.shape:
            raise TypeError("len() of an unsized entry")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        if not self.is_tensor:
            return f"<libdcp.Entry {self.name!r}: object, {self.nbytes} bytes>"
        return (
            f"<libdcp.Entry {self.name!r}: {self.dtype_name} {self.shape}, "
            f"{self.chunk_count} chunks>"
        )


def _parse(
    key: Any, shape: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], list[bool], list[bool]]:
    """A numpy index as a box: starts, steps (>= 1) and lengths, the dimensions to flip afterwards,
    and those that integers take away."""
    parts = list(key) if isinstance(key, tuple) else [key]
    ellipses = sum(1 for part in parts if part is Ellipsis)
    if ellipses > 1:
        raise IndexError("an index can have one ellipsis only")
    if any(part is None for part in parts):
        raise IndexError("newaxis is not supported: index the array that is read")
    missing = len(shape) - (len(parts) - ellipses)
    if missing < 0:
        raise IndexError(f"{len(parts) - ellipses} indices for {len(shape)} dimensions")
    at = next((i for i, part in enumerate(parts) if part is Ellipsis), len(parts))
    parts[at : at + 1] = [slice(None)] * missing
    starts, steps, lengths, flips, squeeze = [], [], [], [], []
    for dimension, (part, size) in enumerate(zip(parts, shape)):
        if isinstance(part, slice):
            start, stop, step = part.indices(size)
            length = len(range(start, stop, step))
            flip = step < 0
            if flip:
                start, step = start + (length - 1) * step, -step
            if length == 0:
                start, step = 0, 1
            gone = False
        elif isinstance(part, (bool, np.bool_)) or not hasattr(part, "__index__") or (
            isinstance(part, np.ndarray) and part.ndim
        ):
            raise IndexError(
                f"entries are indexed by integers, slices and an ellipsis, not {type(part).__name__}"
            )
        else:
            start = operator.index(part)
            if not -size <= start < size:
                raise IndexError(
                    f"index {start} is out of bounds for dimension {dimension} of size {size}"
                )
            start %= size
            step, length, flip, gone = 1, 1, False, True
        starts.append(start)
        steps.append(step)
        lengths.append(length)
        flips.append(flip)
        squeeze.append(gone)
    return tuple(starts), tuple(steps), tuple(lengths), flips, squeeze


class Checkpoint(Mapping[str, Entry]):
    """A checkpoint open for reading: flat names to :class:`Entry`. Made by :func:`libdcp.open`.

    May be used by several threads. ``close()``, or leaving its ``with`` block, lets go of the files;
    arrays that were read or mapped stay valid.
    """

    def __init__(
        self,
        where: Where,
        *,
        verify: bool = True,
        transforms: Iterable[TransformLike] = (),
        progress: ProgressCallback | None = None,
        context: Context | None = None,
    ) -> None:
        self._context, _ = context_for(context, progress, transforms)
        self._storage = native_storage(where)
        self._verify = verify
        self._slow = is_python(where)
        self._native: Any = None
        self._closed = False
        self._names: list[str] | None = None
        self._lock = threading.Lock()
        self._bytes_unverified = 0
        self._save_id: str | None = None
        self._native = self._open()
        self._save_id = self.save_id

    def _open(self) -> Any:
        cancel = raw.dcp_cancel_new()
        options = raw.dcp_open_options()
        options.verify = int(bool(self._verify))
        set_handles(options, cancel=cancel)
        native = blocking(
            lambda: raw.dcp_checkpoint_open(self._context._native, self._storage, options),
            lambda: raw.dcp_cancel_request(cancel),
        )
        self._cancel = cancel
        return native

    def _handle(self) -> Any:
        if self._closed:
            raise ValueError("the checkpoint is closed")
        if self._native is None:  # a read was interrupted, which ended the handle
            fresh = self._open()
            if raw.dcp_checkpoint_property(fresh, raw.DCP_PROPERTY_SAVE_ID) != self._save_id:
                raise ReplacedError("the checkpoint was saved over while it was open: open it again")
            self._native = fresh
        return self._native

    def _run(self, call: Callable[[], Any], size: int) -> Any:
        """A read, interruptible when it may take long."""
        if size <= _SMALL and not self._slow:
            return call()

        def interrupt() -> None:
            raw.dcp_cancel_request(self._cancel)
            self._native = None

        return blocking(call, interrupt)

    # Mapping

    def __getitem__(self, name: str) -> Entry:
        if not isinstance(name, str):
            raise KeyError(name)
        try:
            index = raw.dcp_checkpoint_find(self._handle(), name)
        except NotFoundError as error:
            raise NoSuchEntryError(error.message, details=error.details) from None
        return Entry(self, index)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        try:
            raw.dcp_checkpoint_find(self._handle(), name)
        except NotFoundError:
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        if self._names is None:
            self._names = raw.pydcp_names(self._handle())
        return iter(self._names)

    def __len__(self) -> int:
        return int(raw.dcp_checkpoint_count(self._handle()))

    # What the metadata says

    def _property(self, which: int) -> str | None:
        return raw.dcp_checkpoint_property(self._handle(), which)

    @property
    def location(self) -> str:
        return raw.dcp_storage_location(self._storage)

    @property
    def checkpoint_id(self) -> str | None:
        return self._property(raw.DCP_PROPERTY_CHECKPOINT_ID)

    @property
    def save_id(self) -> str | None:
        return self._property(raw.DCP_PROPERTY_SAVE_ID)

    @property
    def version(self) -> str | None:
        return self._property(raw.DCP_PROPERTY_VERSION)

    @property
    def checksummed(self) -> bool:
        """Whether the metadata itself carries a checksum, which matched."""
        return self._property(raw.DCP_PROPERTY_CHECKSUMMED) == "1"

    @property
    def bytes_unverified(self) -> int:
        """How many bytes of slices, and of reads into arrays, had no checksum to check: files of
        PyTorch have one for whole items only."""
        return self._bytes_unverified

    @property
    def notes(self) -> list[str]:
        """What the metadata holds beside what is used: strays, unknown globals."""
        handle = self._handle()
        return [
            raw.dcp_checkpoint_note(handle, i)
            for i in range(raw.dcp_checkpoint_note_count(handle))
        ]

    # Everything at once

    def read_all(self, *, nested: bool = True) -> dict[str, Any]:
        """Everything, read now: nested by the saved paths, or by flat names."""
        handle = self._handle()
        value = self._run(
            lambda: raw.dcp_checkpoint_read_all(handle, int(bool(nested))), _SMALL + 1
        )
        return raw.pydcp_decode(value)  # type: ignore[no-any-return]

    def verify(
        self,
        *,
        raise_on_damage: bool = False,
        on_damage: Callable[[Damage], Any] | None = None,
    ) -> VerifyReport:
        """Reads every item and checks every checksum there is; goes on after damage."""
        handle = self._handle()
        cancel = raw.dcp_cancel_new()
        tell = None if on_damage is None else lambda fields: on_damage(Damage(*fields))
        items, unchecked, size, damage, notes, unreadable = blocking(
            lambda: raw.pydcp_verify(handle, tell, cancel),
            lambda: raw.dcp_cancel_request(cancel),
        )
        report = VerifyReport(
            items,
            unchecked,
            size,
            [Damage(*each) for each in damage],
            notes,
            [Damage(*each) for each in unreadable],
        )
        if raise_on_damage:
            report.raise_if_damaged()
        return report

    def copy_to(
        self,
        destination: Where,
        *,
        overwrite: bool = True,
        files: int = 1,
        file_per_item: bool = False,
        transforms: Iterable[TransformLike] = (),
        durable: bool = True,
        dialect: str = "default",
        checkpoint_id: str | None = None,
        block_checksums: bool = True,
        timeout: float | None = 600.0,
    ) -> SaveReport:
        """Saves it somewhere else with other options; streams, and checks every checksum."""
        _, names = context_for(self._context, None, transforms)
        storage = native_storage(destination)
        cancel = raw.dcp_cancel_new()
        options = save_options(
            overwrite=overwrite,
            files=files,
            file_per_item=file_per_item,
            transforms=names,
            durable=durable,
            flatten=True,
            dialect=dialect,
            checkpoint_id=checkpoint_id,
            block_checksums=block_checksums,
            timeout=timeout,
            cancel=cancel,
        )
        handle = self._handle()
        report = blocking(
            lambda: raw.dcp_checkpoint_copy(handle, storage, options),
            lambda: raw.dcp_cancel_request(cancel),
        )
        return SaveReport.of(report, raw.dcp_storage_location(storage))

    def close(self) -> None:
        self._closed = True
        self._native = None

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._closed:
            return f"<libdcp.Checkpoint {self.location!r}, closed>"
        return f"<libdcp.Checkpoint {self.location!r}: {len(self)} entries>"


def open_checkpoint(
    where: Where,
    *,
    verify: bool = True,
    transforms: Iterable[TransformLike] = (),
    progress: ProgressCallback | None = None,
    context: Context | None = None,
) -> Checkpoint:
    """Opens a checkpoint for reading. Only its metadata is read; NotFoundError when nothing is
    committed there.

    verify: check every checksum over what is read.
    transforms: Transform objects the files need besides the built-in ones.
    """
    return Checkpoint(
        where, verify=verify, transforms=transforms, progress=progress, context=context
    )


def verify_checkpoint(
    where: Where,
    *,
    raise_on_damage: bool = False,
    on_damage: Callable[[Damage], Any] | None = None,
    transforms: Iterable[TransformLike] = (),
    progress: ProgressCallback | None = None,
    context: Context | None = None,
) -> VerifyReport:
    """Reads every item and checks every checksum there is. Damage is reported, not raised, unless
    ``raise_on_damage``; metadata that cannot be read is damage too. Items behind a transform that
    is not known here stay unchecked, see ``VerifyReport.unreadable``. NotFoundError when there is
    no checkpoint."""
    try:
        checkpoint = Checkpoint(where, transforms=transforms, progress=progress, context=context)
    except CorruptError as error:
        if raise_on_damage:
            raise
        damage = _metadata_damage(error)
        if on_damage is not None:
            on_damage(damage)
        return VerifyReport(0, 0, 0, [damage], [])
    with checkpoint:
        return checkpoint.verify(raise_on_damage=raise_on_damage, on_damage=on_damage)


def _metadata_damage(error: Error) -> Damage:
    offset = error.details.get("offset", "0")
    return Damage(
        "", error.details.get("file", ".metadata"), int(offset) if offset.isdigit() else 0, error
    )


def copy_checkpoint(
    source: Where,
    destination: Where,
    *,
    overwrite: bool = True,
    files: int = 1,
    file_per_item: bool = False,
    transforms: Iterable[TransformLike] = (),
    durable: bool = True,
    dialect: str = "default",
    checkpoint_id: str | None = None,
    block_checksums: bool = True,
    timeout: float | None = 600.0,
    progress: ProgressCallback | None = None,
    context: Context | None = None,
) -> SaveReport:
    """Saves a checkpoint somewhere else, with other options: number of files, transforms, dialect.
    Memory stays within the context's budget and the largest object. Options as in
    :func:`libdcp.save`; Transform objects given serve both sides."""
    transforms = list(transforms) if not isinstance(transforms, str) else [transforms]
    with Checkpoint(
        source, transforms=transforms, progress=progress, context=context
    ) as checkpoint:
        return checkpoint.copy_to(
            destination,
            overwrite=overwrite,
            files=files,
            file_per_item=file_per_item,
            transforms=transforms,
            durable=durable,
            dialect=dialect,
            checkpoint_id=checkpoint_id,
            block_checksums=block_checksums,
            timeout=timeout,
        )
