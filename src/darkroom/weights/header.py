"""What a checkpoint says of itself before any tensor is read: names, types and shapes, each of them checked.

The format is safetensors': eight bytes with the length of a JSON object (little-endian), the object, and the
tensors' bytes without a gap (https://github.com/huggingface/safetensors#format). It is read here and not by
its library, which lets pass what a careful reader must not: keys that come twice, names with tricks in them.
"""

import json
import math
import os
import stat
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import torch

from darkroom.errors import DarkroomError

MAX_HEADER = 100_000_000
"""Bytes of JSON, as safetensors itself allows."""
MAX_NAME = 1000
"""Characters of a tensor's name; the longest that are met have about 120."""
MAX_DIMENSIONS = 16
MAX_ELEMENTS = 2**62
DTYPES: Mapping[str, torch.dtype] = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "U16": torch.uint16,
    "I16": torch.int16,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "U32": torch.uint32,
    "I32": torch.int32,
    "F32": torch.float32,
    "U64": torch.uint64,
    "I64": torch.int64,
    "F64": torch.float64,
    "C64": torch.complex64,
}
"""The names of the types in a file."""


@dataclass(frozen=True)
class TensorInfo:
    """A tensor as it is stored."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """How many bytes they take."""
        return self.elements * self.dtype.itemsize


@dataclass(frozen=True)
class Header:
    """All that is known of a checkpoint before a tensor is read. ``source`` is what messages call it."""

    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str] = field(default_factory=dict)
    source: str = "the checkpoint"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each tensor by its name."""
        return {name: info.shape for name, info in self.tensors.items()}

    @property
    def parameters(self) -> int:
        """How many numbers all tensors have together."""
        return sum(info.elements for info in self.tensors.values())

    @property
    def nbytes(self) -> int:
        """How many bytes all tensors take together."""
        return sum(info.nbytes for info in self.tensors.values())


@dataclass(frozen=True)
class Layout:
    """A header, and the byte of the file at which each tensor begins."""

    header: Header
    starts: Mapping[str, int]


def read_header(path: Path | str) -> Header:
    """The header of a safetensors file; nothing behind it is read.

    Raises DarkroomError where there is no such file, and for whatever is wrong in it: its length, the JSON,
    a type, a shape, a name, a key that comes twice, tensors that overlap, leave a gap or go beyond the file.
    """
    with opened(path) as file:
        return read_layout(file, path).header


def opened(path: Path | str) -> BinaryIO:
    """An ordinary file, open for reading. Raises DarkroomError for anything else."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for ever
            raise DarkroomError(f"'{path}' is not a file; name a checkpoint, or a folder that has one.")
        return open(path, "rb")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DarkroomError(f"cannot read '{path}': {reason.lower()}; check its name and rights.") from error


def read_layout(file: BinaryIO, path: Path | str) -> Layout:
    """Header and places of a safetensors file that is open. Raises as :func:`read_header`."""
    file.seek(0)
    size, first = os.fstat(file.fileno()).st_size, file.read(8)
    length = int.from_bytes(first, "little")
    if len(first) < 8 or not 2 <= length <= MAX_HEADER:
        refuse(path, "it does not begin with the length of a header")
    if 8 + length > size:
        refuse(path, f"its header claims {length:,} bytes and the file has {size - 8:,} behind that claim")
    try:
        values = sound_json(file.read(length))
    except ValueError as error:
        refuse(path, f"its header is not sound JSON ({str(error)[:200]})")
    return _layout(values, 8 + length, size, path)


def refuse(path: Path | str, wrong: str, advice: str = "get the file again from where it came") -> NoReturn:
    """Raise the DarkroomError for a file that says ``wrong`` things."""
    raise DarkroomError(f"'{path}' is damaged or not a safetensors file: {wrong}; {advice}.")


def shown(name: object) -> str:
    """A name out of a file, made safe to print: no control characters, not too long."""
    text = ascii(name) if not isinstance(name, str) or not name.isprintable() else f"'{name}'"
    return text if len(text) <= 100 else f"{text[:80]}...{text[-10:]}"


def name_trouble(name: str) -> str | None:
    """What makes a tensor's name unfit to be one, or None. It must not work as a path elsewhere."""
    if not 0 < len(name) <= MAX_NAME:
        return f"has a name of {len(name)} characters"
    if not name.isprintable():  # control characters, lone surrogates, marks that turn the direction of text
        return "has a name with characters that cannot be printed"
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or not parts[0]:
        return "has a name that is a path"
    return None


def shape_trouble(shape: object) -> str | None:
    """What makes a value unfit to be a shape, or None."""
    if not isinstance(shape, list | tuple) or not all(_is_count(side) for side in shape):
        return "has a shape that is not a list of whole numbers"
    if len(shape) > MAX_DIMENSIONS:
        return f"has {len(shape)} dimensions"
    if math.prod(max(side, 1) for side in shape) > MAX_ELEMENTS:
        return "has more numbers than can be counted"
    return None


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_ELEMENTS  # True is an int too


def sound_json(data: bytes) -> dict[str, Any]:
    """A JSON object in which every key comes once. Raises ValueError for anything else."""
    try:
        text = data.decode()  # json.loads would guess UTF-16 from bytes
        values = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(values, dict):
        raise ValueError("it is not an object")
    return values


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        times = Counter(key for key, _ in pairs)
        raise ValueError(f"the key {shown(max(times, key=times.__getitem__))} comes twice")
    return values


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _layout(values: dict[str, Any], begin: int, size: int, path: Path | str) -> Layout:
    """``begin`` is where the tensors' bytes begin, ``size`` where the file ends."""
    metadata = _metadata(values.pop("__metadata__", {}), path)
    tensors, spans = {}, {}
    for name, value in values.items():
        if trouble := name_trouble(name):
            refuse(path, f"the tensor {shown(name)} {trouble}")
        tensors[name], spans[name] = _tensor(name, value, path)
    _check_spans(spans.items(), size - begin, path)
    starts = {name: begin + start for name, (start, _) in spans.items()}
    return Layout(Header(tensors, metadata, str(path)), starts)


def _metadata(values: object, path: Path | str) -> dict[str, str]:
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        refuse(path, "its metadata are not texts by name")
    return values


def _tensor(name: str, value: object, path: Path | str) -> tuple[TensorInfo, tuple[int, int]]:
    """Type and shape of one entry, and its first and last byte."""
    if not isinstance(value, dict) or not {"dtype", "shape", "data_offsets"} <= value.keys():
        refuse(path, f"the tensor {shown(name)} lacks a dtype, a shape or data_offsets")
    dtype, shape, span = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        refuse(path, f"the tensor {shown(name)} has the type {shown(dtype)}, which is unknown here")
    if trouble := shape_trouble(shape):
        refuse(path, f"the tensor {shown(name)} {trouble}")
    if not (isinstance(span, list) and len(span) == 2 and all(map(_is_count, span)) and span[0] <= span[1]):
        refuse(path, f"the tensor {shown(name)} has data_offsets that are not two rising numbers")
    info = TensorInfo(DTYPES[dtype], tuple(shape))
    if info.nbytes != span[1] - span[0]:
        wrong = f"{info.nbytes:,} bytes by its shape and {span[1] - span[0]:,} by its place"
        refuse(path, f"the tensor {shown(name)} has {wrong}")
    return info, (span[0], span[1])


def _check_spans(spans: Iterable[tuple[str, tuple[int, int]]], room: int, path: Path | str) -> None:
    """The tensors must lie side by side and fill the file."""
    last = 0
    for name, (start, stop) in sorted(spans, key=lambda one: one[1]):
        if start != last:
            refuse(path, f"the tensor {shown(name)} {'overlaps another' if start < last else 'leaves a gap'}")
        last = stop
    if last > room:
        refuse(path, f"it is cut short, {last - room:,} of {last:,} bytes are missing")
    if last < room:
        refuse(path, f"it has {room - last:,} bytes that belong to no tensor")
