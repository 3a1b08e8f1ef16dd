"""Tensors that lie in a file, without a copy of it in memory."""

import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from darkroom.weights.header import opened, refuse

SMALL = 1 << 16
"""Bytes below which a tensor is read: maps come in pages, and a process may have only so many."""


class MappedFile:
    """A file whose tensors are mapped one by one.

    A map lives as long as its tensor and what shares memory with it. So loading that converts tensor by
    tensor holds the pages of one at a time, and no map is larger than a tensor (Linux refuses one larger than
    the whole memory). Pages are private: what is written to a tensor stays in this process and never reaches
    the file. A file that another program cuts short under a living map ends this process (SIGBUS).
    """

    def __init__(self, path: Path | str, file: BinaryIO | None = None) -> None:
        self.path = path
        self.file = file or opened(path)
        self.size = os.fstat(self.file.fileno()).st_size

    def tensor(self, start: int, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """The tensor whose first byte is ``start``."""
        count = torch.Size(shape).numel()
        if not count:
            return torch.empty(tuple(shape), dtype=dtype)
        return self.bytes(start, count * dtype.itemsize, dtype.itemsize).view(dtype).view(tuple(shape))

    def bytes(self, start: int, length: int, align: int = 1) -> Tensor:
        """``length`` bytes, (length,) uint8, at an address that ``align`` divides."""
        if start + length > os.fstat(self.file.fileno()).st_size:
            refuse(self.path, "it became shorter while it was read")
        if length < SMALL or start % align:
            return self._read(start, length)
        first = start - start % mmap.ALLOCATIONGRANULARITY
        pages = mmap.mmap(self.file.fileno(), start + length - first, access=mmap.ACCESS_COPY, offset=first)
        return torch.frombuffer(pages, dtype=torch.uint8, count=length, offset=start - first)

    def _read(self, start: int, length: int) -> Tensor:
        data, done = bytearray(length), 0
        while done < length:
            got = os.preadv(self.file.fileno(), [memoryview(data)[done:]], start + done)
            if not got:
                refuse(self.path, "it became shorter while it was read")
            done += got
        return torch.frombuffer(data, dtype=torch.uint8)

    def close(self) -> None:
        """Give the file back; tensors that were handed out stay."""
        self.file.close()
