"""Memory that staged copies live in, kept from one save to the next."""

from __future__ import annotations

import array
import bisect
import ctypes
import mmap
import os
import weakref
from contextlib import suppress
from typing import Any

import torch

ALIGNMENT = 64  # bytes, of every copy in a block
_GRAIN = 2 << 20  # bytes; blocks are whole multiples
_CACHED_SLACK = 64 << 20  # a block that is kept may be so much larger than what is asked for


class Block:
    """Memory of the CPU, lent to one staged state dict at a time. Nobody gives it back: it is free
    again once the last tensor in it is gone.

    Its pages cost nothing until they are written to, unless they are pinned.
    """

    def __init__(self, size: int, pinned: bool) -> None:
        self.size = max(_GRAIN, (size + _GRAIN - 1) // _GRAIN * _GRAIN)
        self._pinned = pinned

    @property
    def free(self) -> bool:
        raise NotImplementedError

    def lend(self) -> None:
        """To a state dict that is about to be staged; only while it is free."""
        raise NotImplementedError

    def settle(self) -> None:
        """The state dict is staged; from now on only its tensors hold the block."""
        raise NotImplementedError

    def tensor(self, at: int, dtype: torch.dtype, shape: Any, stride: Any) -> torch.Tensor:
        """Over the bytes from ``at`` on; row-major without a ``stride``."""
        raise NotImplementedError

    def storage(self, at: int, nbytes: int) -> tuple[Any, int]:
        """(storage, where in it the bytes begin)."""
        raise NotImplementedError

    def _pin(self, address: int) -> None:
        if not self._pinned:
            return
        from torch.cuda import _pin_memory_utils as pins

        pins.pin_memory(address, self.size)
        # Not when the interpreter exits: the device's context may be gone by then.
        weakref.finalize(self, pins.unpin_memory, address).atexit = False


class PrivateBlock(Block):
    """Every copy in it has a storage of its own."""

    def __init__(self, size: int, pinned: bool) -> None:
        super().__init__(size, pinned)
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
        self._map = mmap.mmap(-1, self.size, flags=flags)
        _ask_for_huge_pages(self._map)
        self._memory: Any = None  # held by every tensor in it
        self._lent: weakref.ref[Any] | None = None
        self._pin(ctypes.addressof(ctypes.c_char.from_buffer(self._map)))

    @property
    def free(self) -> bool:
        return self._lent is None or self._lent() is None

    def lend(self) -> None:
        self._memory = (ctypes.c_char * self.size).from_buffer(self._map)
        self._lent = weakref.ref(self._memory)

    def settle(self) -> None:
        self._memory = None

    def tensor(self, at: int, dtype: torch.dtype, shape: Any, stride: Any) -> torch.Tensor:
        count = shape.numel()
        y = torch.frombuffer(self._memory, dtype=dtype, count=count, offset=at)
        if stride is not None:
            return y.as_strided(shape, stride)
        return y if len(shape) == 1 else y.view(shape)

    def storage(self, at: int, nbytes: int) -> tuple[Any, int]:
        part = torch.frombuffer(self._memory, dtype=torch.uint8, count=nbytes, offset=at)
        return part.untyped_storage(), 0


def _ask_for_huge_pages(memory: mmap.mmap) -> None:
    """They are made in a fraction of the time; a system without them goes on as it is."""
    advice = getattr(mmap, "MADV_HUGEPAGE", None)
    if advice is not None:
        with suppress(OSError):
            memory.madvise(advice)


class Region:
    """Shared memory by its file, for other processes. It lives as long as the storage over it.

    begins, ends: of the copies in it, in order.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        # In memory and without a name: gone with its users, and not bounded as /dev/shm is.
        self.fd = os.memfd_create("libdcp-staging", os.MFD_CLOEXEC)
        weakref.finalize(self, os.close, self.fd).atexit = False
        os.ftruncate(self.fd, size)
        self.begins = array.array("q")
        self.ends = array.array("q")

    def clear(self) -> None:
        del self.begins[:], self.ends[:]

    def add(self, begin: int, nbytes: int) -> None:
        self.begins.append(begin)
        self.ends.append(begin + nbytes)

    def part(self, begin: int, nbytes: int) -> tuple[int, int]:
        """Of which copy the bytes are: where that begins and ends."""
        found = bisect.bisect_right(self.begins, begin) - 1
        if found >= 0 and begin + nbytes <= self.ends[found]:
            return self.begins[found], self.ends[found]
        return 0, self.size


class SharedBlock(Block):
    """Other processes can map it. Its tensors are views of one storage."""

    def __init__(self, size: int, pinned: bool) -> None:
        super().__init__(size, pinned)
        self._region = Region(self.size)
        storage = torch.UntypedStorage._new_shared_fd_cpu(self._region.fd, self.size)
        storage._libdcp_region = self._region
        self._storage: Any = storage
        self._own_uses = self._uses()
        self._bases: dict[torch.dtype, torch.Tensor] = {}
        self._pin(storage.data_ptr())

    def _uses(self) -> int:
        return int(torch._C._storage_Use_Count(self._storage._cdata))

    @property
    def free(self) -> bool:
        return self._uses() <= self._own_uses

    def lend(self) -> None:
        self._region.clear()

    def settle(self) -> None:
        self._bases.clear()

    def tensor(self, at: int, dtype: torch.dtype, shape: Any, stride: Any) -> torch.Tensor:
        base = self._bases.get(dtype)
        if base is None:
            base = self._bases[dtype] = torch.empty(0, dtype=dtype)
            base.set_(self._storage)
        item = base.element_size()
        self._region.add(at, shape.numel() * item)
        strides = row_major(shape) if stride is None else stride
        return base.as_strided(shape, strides, at // item)

    def storage(self, at: int, nbytes: int) -> tuple[Any, int]:
        self._region.add(at, nbytes)
        return self._storage, at


class StagingMemory:
    """Blocks, and the end of what is used of the last one. What is free of them after a state dict
    was staged without it goes."""

    def __init__(self, shared: bool = False, pinned: bool = False) -> None:
        self._kind = SharedBlock if shared else PrivateBlock
        self._pinned = pinned
        self._blocks: list[Block] = []
        self._lent: list[Block] = []
        self._used = 0  # of the last block that is lent
        self._total = 0  # of all that are lent

    def begin(self, expected: int = 0) -> None:
        """A state dict is to be staged, of ``expected`` bytes where that is known."""
        self._lent, self._used, self._total = [], 0, expected

    def take(self, nbytes: int) -> tuple[Block, int]:
        """A block, and where in it there are so many bytes."""
        if self._lent:
            block, at = self._lent[-1], self._used
            if at + nbytes <= block.size:
                self._used = at + (nbytes + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
                return block, at
        block = self._block(nbytes)
        block.lend()
        self._lent.append(block)
        self._total += block.size
        self._used = (nbytes + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
        return block, 0

    def _block(self, nbytes: int) -> Block:
        wanted = max(nbytes, self._total)  # few blocks, however much it becomes
        for block in self._blocks:
            if nbytes <= block.size <= 2 * wanted + _CACHED_SLACK and block.free:
                if not any(block is lent for lent in self._lent):
                    return block
        self._blocks = [block for block in self._blocks if block in self._lent or not block.free]
        block = self._kind(wanted, self._pinned)
        self._blocks.append(block)
        return block

    def end(self) -> None:
        """It is staged, or could not be."""
        lent, self._lent = self._lent, []
        self._blocks = [block for block in self._blocks if block in lent or not block.free]
        for block in lent:
            block.settle()

    def is_ready(self) -> bool:
        """Whether there is memory of an earlier state dict that nobody uses."""
        return any(block.free for block in self._blocks)

    def close(self) -> None:
        """Lets go of all; what is in use lives on as long as its tensors."""
        self._blocks = []


def region_of(storage: Any) -> Region | None:
    """Of a storage in a block that other processes can map."""
    return getattr(storage, "_libdcp_region", None)


def row_major(shape: Any) -> tuple[int, ...]:
    if len(shape) == 1:
        return (1,)
    strides = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        strides[i] = strides[i + 1] * max(shape[i + 1], 1)
    return tuple(strides)
