"""GGUF files: weights in blocks of few bits, as the tools around ggml write them.

The header is read here (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), with every count checked
against the bytes that are left. Numbers in blocks are worked out when they are asked for, as float32.
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import torch
from torch import Tensor

from darkroom.errors import DarkroomError
from darkroom.weights.blocks import FORMATS, Format
from darkroom.weights.header import (
    MAX_DIMENSIONS,
    MAX_HEADER,
    Header,
    TensorInfo,
    name_trouble,
    shape_trouble,
    shown,
)
from darkroom.weights.mapped import MappedFile

ORIGINAL_SHAPE = "comfy.gguf.orig_shape."
"""Under this and a tensor's name ComfyUI-GGUF keeps the shape of a tensor that it had to reshape."""
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TEXT, ARRAY = 8, 9
MAX_TEXT = 2000
"""Characters of a text that is kept as metadata."""
MAX_KEPT = 16
"""Entries of an array that is kept; longer ones are vocabularies."""
MAX_NESTING = 4
CHUNK = 1 << 17
"""Numbers that are worked out at a time: they stay in the cache."""


PLAIN: Mapping[int, torch.dtype] = {
    0: torch.float32,
    1: torch.float16,
    24: torch.int8,
    25: torch.int16,
    26: torch.int32,
    27: torch.int64,
    28: torch.float64,
    30: torch.bfloat16,
}
"""The types that are not in blocks, by the number that ggml gives them."""
KINDS: Mapping[int, torch.dtype | Format] = {**PLAIN, **FORMATS}


@dataclass(frozen=True)
class Stored:
    """A tensor in the file: ``sides`` is its shape there, ``start`` counts from where the data begin."""

    kind: torch.dtype | Format
    sides: tuple[int, ...]
    start: int

    @property
    def nbytes(self) -> int:
        """Bytes in the file."""
        count = math.prod(self.sides)
        if isinstance(self.kind, Format):
            return count // self.kind.block * self.kind.nbytes
        return count * self.kind.itemsize


class GgufFile:
    """The tensors of one GGUF file."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._mapped = MappedFile(path, file)
        cursor = Cursor(path, file, self._mapped.size)
        tensors, kept = cursor.counts()
        values = dict(cursor.entry() for _ in range(kept))
        self._stored = cursor.tensors(tensors)
        self._begin = cursor.aligned(values.get("general.alignment", 32))
        self._check_places(cursor)
        self.header = Header(
            {name: self._info(name, stored, values, cursor) for name, stored in self._stored.items()},
            {key: str(value) for key, value in values.items() if isinstance(value, str | int | float)},
            str(path),
        )

    def tensor(self, name: str) -> Tensor:
        """A map of plain numbers; quantised ones are worked out, in float32."""
        info, stored = self.header.tensors[name], self._stored[name]
        start = self._begin + stored.start
        if isinstance(stored.kind, Format):
            return unpacked(self._mapped.bytes(start, stored.nbytes), stored.kind).view(info.shape)
        return self._mapped.tensor(start, info.shape, info.dtype)

    def _info(self, name: str, stored: Stored, values: Mapping[str, Any], cursor: "Cursor") -> TensorInfo:
        dtype = torch.float32 if isinstance(stored.kind, Format) else stored.kind
        info = TensorInfo(dtype, stored.sides)
        shape = values.get(ORIGINAL_SHAPE + name)
        if shape is None:
            return info
        if shape_trouble(shape) or math.prod(shape) != info.elements:
            cursor.refuse(f"the original shape of {shown(name)} does not fit it")
        return TensorInfo(info.dtype, tuple(shape))

    def _check_places(self, cursor: "Cursor") -> None:
        """No tensor overlaps another or reaches beyond the file."""
        last = 0
        for name, stored in sorted(self._stored.items(), key=lambda one: (one[1].start, one[1].nbytes)):
            if stored.start < last:
                cursor.refuse(f"the tensor {shown(name)} overlaps another")
            last = stored.start + stored.nbytes
        if self._begin + last > self._mapped.size:
            cursor.refuse(f"it is cut short, {self._begin + last - self._mapped.size:,} bytes are missing")


class Cursor:
    """Reads the header from front to back."""

    def __init__(self, path: Path, file: BinaryIO, size: int) -> None:
        self.path, self._file, self._left = path, file, min(size, MAX_HEADER)
        file.seek(0)

    def refuse(self, wrong: str) -> NoReturn:
        """Raise the DarkroomError for a file that says wrong things."""
        raise DarkroomError(
            f"'{self.path}' is a damaged GGUF file: {wrong}; get the file again from where it came."
        )

    def take(self, length: int) -> bytes:
        """The next bytes; refuses to go beyond the file's end."""
        if length > self._left:
            self.refuse("its header claims more than the file has")
        self._left -= length
        return self._file.read(length)

    def number(self, code: str) -> Any:
        """The next number, by its code in ``struct``."""
        return struct.unpack(f"<{code}", self.take(struct.calcsize(f"<{code}")))[0]

    def text(self) -> str:
        """The next text: a length and that many bytes."""
        try:
            return self.take(self.number("Q")).decode()
        except UnicodeDecodeError:
            self.refuse("a text in its header is not UTF-8")

    def counts(self) -> tuple[int, int]:
        """Tensors and entries of metadata, from the first bytes."""
        if self.take(4) != b"GGUF":
            self.refuse("it does not begin with GGUF")
        if (version := self.number("I")) not in (2, 3):
            self.refuse(f"it is of version {version}, and 2 and 3 are known here")
        return self._count(24), self._count(13)

    def _count(self, least: int) -> int:
        """A count of things that take ``least`` bytes each."""
        if (count := self.number("Q")) * least > self._left:
            self.refuse("its header claims more than the file has")
        return count

    def entry(self) -> tuple[str, Any]:
        """A key and its value; None stands for values that are not kept."""
        key = self.text()
        value = self._value(self.number("I"))
        return key, None if isinstance(value, str) and len(value) > MAX_TEXT else value

    def _value(self, kind: int, depth: int = 0) -> Any:
        if kind in SCALARS:
            return self.number(SCALARS[kind])
        if kind == TEXT:
            return self.text()
        if kind != ARRAY or depth == MAX_NESTING:
            self.refuse(f"its header has a value of the unknown kind {kind}")
        inner, count = self.number("I"), self.number("Q")
        if inner in SCALARS:
            data = self.take(count * struct.calcsize(f"<{SCALARS[inner]}"))
            return list(struct.unpack(f"<{count}{SCALARS[inner]}", data)) if count <= MAX_KEPT else None
        if count * 8 > self._left:
            self.refuse("its header claims more than the file has")
        for _ in range(count):
            self._value(inner, depth + 1)
        return None

    def tensors(self, count: int) -> dict[str, Stored]:
        """All tensors by name."""
        found: dict[str, Stored] = {}
        for _ in range(count):
            name = self.text()
            if trouble := name_trouble(name) or ("comes twice" if name in found else None):
                self.refuse(f"the tensor {shown(name)} {trouble}")
            found[name] = self._stored(name)
        return found

    def _stored(self, name: str) -> Stored:
        if (dimensions := self.number("I")) > MAX_DIMENSIONS:
            self.refuse(f"the tensor {shown(name)} has {dimensions} dimensions")
        sides = [self.number("Q") for _ in range(dimensions)][::-1]  # ggml counts the innermost first
        kind, start = self.number("I"), self.number("Q")
        if trouble := shape_trouble(sides):
            self.refuse(f"the tensor {shown(name)} {trouble}")
        if kind not in KINDS:
            known = ", ".join(one.name for one in FORMATS.values())
            self.refuse(
                f"the tensor {shown(name)} has ggml's type {kind}, and known are plain numbers and {known}"
            )
        found = KINDS[kind]
        if start % 8 or (isinstance(found, Format) and (sides or [1])[-1] % found.block):
            self.refuse(f"the tensor {shown(name)} is not made of whole blocks")
        return Stored(found, tuple(sides), start)

    def aligned(self, alignment: object) -> int:
        """Where the data begin: the next byte that ``alignment`` divides."""
        if type(alignment) is not int or alignment not in (1 << power for power in range(3, 17)):
            self.refuse(f"its alignment is {shown(alignment)}")
        return -(-self._file.tell() // alignment) * alignment


def unpacked(data: Tensor, form: Format) -> Tensor:
    """(bytes,) uint8 -> (numbers,) float32, a chunk at a time."""
    blocks = data.view(-1, form.nbytes)
    result = torch.empty(len(blocks), form.block)
    step = CHUNK // form.block
    for source, target in zip(blocks.split(step), result.split(step), strict=True):
        target.copy_(form.unpack(source))
    return result.view(-1)
