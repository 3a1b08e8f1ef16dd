"""PyTorch's own files (.ckpt, .pt, .pth, .bin), read without running what is in them.

A second process (unpickling.py) says where the tensors lie; nothing that a pickle names is run there either.
Here they are mapped in place, as those of safetensors are. Only the zip files that PyTorch writes since 1.6
are read; their entries are not packed, so a tensor's bytes lie in the file as they are.
"""

import json
import math
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from torch import Tensor

from darkroom.errors import DarkroomError
from darkroom.weights.header import DTYPES, Header, TensorInfo, name_trouble, shape_trouble, shown
from darkroom.weights.mapped import MappedFile

PROGRAM = Path(__file__).with_name("unpickling.py")
PATIENCE = 120
"""Seconds of waiting for it; it gives itself less time on a processor."""
BY_NAME = {str(dtype).removeprefix("torch."): dtype for dtype in DTYPES.values()}
FREELY_REPEATED = 1 << 20
"""Numbers to which a tensor may grow by repeating a smaller storage (stride 0); more would be a trick."""


class Place(NamedTuple):
    """Where a tensor lies: its first byte, and its steps from number to number along each axis."""

    start: int
    stride: tuple[int, ...]


class PickledFile:
    """The tensors of a PyTorch file."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._mapped = MappedFile(path, file)
        answer = _answer(path, file)
        infos: dict[str, TensorInfo] = {}
        self._places: dict[str, Place] = {}
        for name, *rest in answer["tensors"]:
            if trouble := name_trouble(name) or ("comes twice" if name in infos else None):
                raise _unfit(path, f"the tensor {shown(name)} {trouble}")
            infos[name], self._places[name] = _checked(path, name, rest, self._mapped.size)
        self.header = Header(infos, answer["metadata"], str(path))

    def tensor(self, name: str) -> Tensor:
        """A map of the tensor's bytes, or a copy where they do not lie row by row."""
        info, place = self.header.tensors[name], self._places[name]
        span = _span(info.shape, place.stride)
        flat = self._mapped.tensor(place.start, (span,), info.dtype)
        return flat.as_strided(info.shape, place.stride).contiguous()


def open_pickle(path: Path, file: BinaryIO, allow_pickle: bool) -> PickledFile:
    """The tensors of a PyTorch file that is open.

    Raises DarkroomError unless ``allow_pickle``; for the format before PyTorch 1.6; for a pickle that calls
    for anything but tensors; and where the file is damaged.
    """
    if not allow_pickle:
        raise DarkroomError(
            f"'{path}' is a pickle, which can hold an attack; use a safetensors file, or say --allow-pickle"
            " to read its tensors alone."
        )
    file.seek(0)
    if file.read(1) == b"\x80":
        raise DarkroomError(
            f"'{path}' is in PyTorch's format from before 1.6, which is not read here; save it again with a"
            " newer PyTorch, better as safetensors."
        )
    return PickledFile(path, file)


def _answer(path: Path, file: BinaryIO) -> Mapping[str, Any]:
    """What the other process found."""
    file.seek(0)
    command = [sys.executable, "-I", "-S", str(PROGRAM)]
    try:
        done = subprocess.run(command, stdin=file, capture_output=True, timeout=PATIENCE)
        answer = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise _unfit(path, "it takes more time or memory than weights need") from error
    if "error" in answer:
        raise _unfit(path, answer["error"])
    if not answer["tensors"]:
        raise _unfit(path, "there is no tensor in it")
    return answer


def _checked(path: Path, name: str, rest: list[Any], size: int) -> tuple[TensorInfo, Place]:
    """Type, shape and place, all of them possible in a file of ``size`` bytes."""
    dtype, start, shape, stride = rest
    if trouble := shape_trouble(shape) or shape_trouble(stride):
        raise _unfit(path, f"the tensor {shown(name)} {trouble}")
    info = TensorInfo(BY_NAME[dtype], tuple(shape))
    span = _span(info.shape, stride)
    if start + span * info.dtype.itemsize > size or info.elements > max(span, FREELY_REPEATED):
        raise _unfit(path, f"the tensor {shown(name)} is larger than what is stored of it")
    return info, Place(start, tuple(stride))


def _span(shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """Numbers from the first of a tensor to its last."""
    if not math.prod(shape):
        return 0
    return 1 + sum((side - 1) * step for side, step in zip(shape, stride, strict=True))


def _unfit(path: Path, wrong: str) -> DarkroomError:
    return DarkroomError(f"'{path}' is not read: {wrong}; use a safetensors file of the same weights.")
