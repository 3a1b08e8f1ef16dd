"""Checkpoint files made by hand, right or wrong."""

import json
from pathlib import Path

import torch
from torch import Tensor


def entry(dtype: str, shape: list[int], start: int, stop: int) -> dict[str, object]:
    """A tensor's entry in a header of safetensors."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def raw(header: object, body: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file; ``header`` as it is if it is bytes, ``length`` the one that is claimed."""
    data = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(data) if length is None else length).to_bytes(8, "little") + data + body


def written(folder: Path, data: bytes, name: str = "model.safetensors") -> Path:
    """``data`` in a file."""
    path = folder / name
    path.write_bytes(data)
    return path


def same(one: Tensor, other: Tensor) -> bool:
    """Equal to the bit, of one type and shape."""
    a, b = (tensor.detach().contiguous().view(-1).view(torch.uint8) for tensor in (one, other))
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(a, b)
