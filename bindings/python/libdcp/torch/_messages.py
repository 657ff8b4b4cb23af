"""Messages between a trainer and its background process: objects whose tensors are handed over as
memory, not as bytes.

A message is one packet on a socket, with file descriptors. What was sent is there to be read even if
the sender dies the next moment, and neither side can be kept waiting by half a message.
"""

from __future__ import annotations

import collections
import copyreg
import io
import mmap
import os
import pickle
import socket
from typing import Any

import torch
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from ._engine.metadata import _INFO_ONLY
from ._staging_memory import Region, StagingMemory, region_of

_ENDED = b""
_MAX_PACKET = 4096  # bytes; sizes and a kind, the rest is in files
_MAX_FILES = 200  # of one message; the kernel allows 253


class Closed(Exception):
    """The other side is gone."""


def send(sock: socket.socket, message: Any) -> Any:
    """Sends any object that pickles; tensors in shared staging memory as they are, others copied into
    such memory. What it returns is to be kept until the other side has read the message. TimeoutError
    as the socket's."""
    packed = _Packed(message)
    sizes = [len(packed.pickled), *(region.size for region in packed.regions)]
    pickled = os.memfd_create("libdcp-message", os.MFD_CLOEXEC)
    try:
        _write_all(pickled, packed.pickled)
        files = [pickled, *(region.fd for region in packed.regions)]
        if len(files) > _MAX_FILES:
            raise ValueError(f"a state dict in {len(files)} blocks of shared memory")
        try:
            socket.send_fds(sock, [pickle.dumps(sizes)], files)
        except (BrokenPipeError, ConnectionError) as error:
            raise Closed() from error
    finally:
        os.close(pickled)
    return packed


def receive(sock: socket.socket) -> Any:
    """The next message; Closed when there will be none, TimeoutError as the socket's."""
    try:
        data, files, _, _ = socket.recv_fds(sock, _MAX_PACKET, _MAX_FILES)
    except ConnectionError as error:
        raise Closed() from error
    try:
        if data == _ENDED:
            raise Closed()
        sizes = pickle.loads(data)
        maps = [
            mmap.mmap(fd, size, flags=mmap.MAP_SHARED) if size else None
            for fd, size in zip(files, sizes)
        ]
    finally:
        for fd in files:
            os.close(fd)
    return _Unpickler(maps[0][:] if maps[0] is not None else b"", maps[1:]).load()


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


class _Packed:
    """A message as a pickle and the blocks of memory that it refers to."""

    def __init__(self, message: Any) -> None:
        self.regions: list[Region] = []
        self._message = message  # whose tensors keep the blocks lent
        self._copied: dict[int, tuple[torch.Tensor, Any]] = {}
        self._memory = StagingMemory(shared=True)
        self._memory.begin()
        buffer = io.BytesIO()
        with torch.no_grad():
            _Pickler(buffer, self).dump(message)
        self._memory.end()
        self.pickled = buffer.getvalue()

    def place(self, x: torch.Tensor) -> Any:
        """What stands for a tensor: block, part of it, and the view; None to pickle it."""
        if x.layout is not torch.strided or x.is_quantized or x.is_conj() or x.is_neg():
            return None
        if x.device.type == "meta" or not x.numel():
            return None
        storage = x.untyped_storage()
        begin = x.storage_offset() * x.element_size()
        region = region_of(storage)
        if region is None:
            x = self._copy(x, storage)
            storage, begin = x.untyped_storage(), x.storage_offset() * x.element_size()
            region = region_of(storage)
            assert region is not None
        part = region.part(begin, x.element_size())
        return (
            self._number(region),
            part,
            x.dtype,
            (begin - part[0]) // x.element_size(),
            tuple(x.size()),
            x.stride(),
        )

    def _copy(self, x: torch.Tensor, storage: Any) -> torch.Tensor:
        """Its storage is copied, once for all of its views."""
        known = self._copied.get(storage._cdata)
        if known is None:
            size = storage.nbytes()
            block, at = self._memory.take(size)
            copied, begin = block.storage(at, size)
            source = torch.empty(0, dtype=torch.uint8, device=x.device)
            target = torch.empty(0, dtype=torch.uint8)
            target.set_(copied, begin, (size,), (1,))
            target.copy_(source.set_(storage, 0, (size,), (1,)))
            known = self._copied[storage._cdata] = target, storage
        offset = known[0].storage_offset() // x.element_size() + x.storage_offset()
        view = torch.empty(0, dtype=x.dtype)
        return view.set_(known[0].untyped_storage(), offset, x.size(), x.stride())

    def _number(self, region: Region) -> int:
        for number, known in enumerate(self.regions):
            if known is region:
                return number
        self.regions.append(region)
        return len(self.regions) - 1


class _Pickler(pickle.Pickler):
    def __init__(self, file: Any, packed: _Packed) -> None:
        super().__init__(file, protocol=5)
        # Records that torch would pickle with code of its file system module.
        self.dispatch_table = collections.ChainMap(_INFO_ONLY, copyreg.dispatch_table)  # type: ignore[arg-type]
        self._packed = packed

    def persistent_id(self, obj: Any) -> Any:
        if type(obj) is torch.Tensor or type(obj) is torch.nn.Parameter:
            return self._packed.place(obj)
        return None

    def reducer_override(self, obj: Any) -> Any:
        """DTensors and their kin by the tensors that they are made of. What torch does depends on where
        those begin in their storages."""
        if isinstance(obj, torch.Tensor) and is_traceable_wrapper_subclass(obj):
            names, context = obj.__tensor_flatten__()
            inner = {name: getattr(obj, name) for name in names}
            return _unflattened, (type(obj), inner, context, tuple(obj.size()), obj.stride())
        return NotImplemented


def _unflattened(
    kind: Any, inner: dict[str, Any], context: Any, size: tuple[int, ...], stride: tuple[int, ...]
) -> Any:
    return kind.__tensor_unflatten__(inner, context, torch.Size(size), stride)


class _Unpickler(pickle.Unpickler):
    """Tensors are views of the memory that came; every part of it is a storage of its own."""

    def __init__(self, pickled: bytes, maps: list[Any]) -> None:
        super().__init__(io.BytesIO(pickled))
        self._maps = maps
        self._storages: dict[tuple[int, int], Any] = {}

    def persistent_load(self, pid: Any) -> Any:
        number, (begin, end), dtype, offset, size, stride = pid
        storage = self._storages.get((number, begin))
        if storage is None:
            part = torch.frombuffer(
                self._maps[number], dtype=torch.uint8, count=end - begin, offset=begin
            )
            storage = self._storages[number, begin] = part.untyped_storage()
        return torch.empty(0, dtype=dtype).set_(storage, offset, size, stride)
