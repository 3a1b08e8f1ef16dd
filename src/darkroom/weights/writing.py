"""Writing safetensors: whole or not at all, tensor by tensor, the same bytes for the same tensors.

Tensors lie in the order of their names, largest type first, so that every one is aligned. Shards and their
index are named as diffusers and transformers name them.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from darkroom.disk import explaining, whole
from darkroom.errors import DarkroomError
from darkroom.weights.header import DTYPES, Header, TensorInfo, name_trouble, shown
from darkroom.weights.store import Store

NAMES = {dtype: name for name, dtype in DTYPES.items()}
ALIGNMENT = 64
"""The tensors' bytes begin at a multiple of this; safetensors asks for 8."""
CHUNK = 1 << 24
"""Bytes written at a time."""


def write_store(path: Path, store: Store, metadata: Mapping[str, str] | None = None) -> Path:
    """Write all tensors of ``store`` to one safetensors file; returns its path.

    ``metadata`` replaces the store's own. Another file of that name is replaced, once the new one is whole.
    In memory is one tensor at a time. Raises DarkroomError where the place or a tensor does not allow it.
    """
    header = Header(store.header.tensors, store.header.metadata if metadata is None else metadata)
    with explaining(path), whole(path) as file:
        _write(file, store, sorted(header.tensors, key=_order(header)), header)
    return path


def write_shards(
    folder: Path,
    store: Store,
    stem: str = "model",
    limit: int = 10 * 10**9,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write ``store`` into a folder: one file of at most ``limit`` bytes, or else shards with an index.

    ``stem`` is "diffusion_pytorch_model" for a part of diffusers. Returns the file or the index, which
    appears last. Raises as :func:`write_store`, and where the folder has weights of that stem already: what
    is left of two checkpoints might be taken for one.
    """
    if there := sorted(folder.glob(f"{stem}*.safetensors*")):
        raise DarkroomError(f"'{there[0]}' is there already; choose an empty folder.")
    groups = list(_grouped(store.header, limit))
    if len(groups) <= 1:
        return write_store(folder / f"{stem}.safetensors", store, metadata)
    where: dict[str, str] = {}
    for i, names in enumerate(groups, 1):
        shard = f"{stem}-{i:05d}-of-{len(groups):05d}.safetensors"
        write_store(folder / shard, _Chosen(store, names), metadata)
        where |= dict.fromkeys(names, shard)
    index = {"metadata": {"total_size": store.header.nbytes}, "weight_map": dict(sorted(where.items()))}
    path = folder / f"{stem}.safetensors.index.json"
    with explaining(path), whole(path) as file:
        file.write(json.dumps(index, indent=2).encode() + b"\n")
    return path


class _Chosen:
    """Some tensors of a store."""

    def __init__(self, store: Store, names: list[str]) -> None:
        self._store = store
        infos = {name: store.header.tensors[name] for name in names}
        self.header = Header(infos, store.header.metadata, store.header.source)

    def tensor(self, name: str) -> Tensor:
        return self._store.tensor(name)


def _order(header: Header):
    return lambda name: (-header.tensors[name].dtype.itemsize, name)


def _grouped(header: Header, limit: int) -> Iterator[list[str]]:
    """Names in order, in groups of at most ``limit`` bytes; a tensor that is larger is a group by itself."""
    group: list[str] = []
    room = limit
    for name in sorted(header.tensors):
        size = header.tensors[name].nbytes
        if group and size > room:
            yield group
            group, room = [], limit
        group.append(name)
        room -= size
    yield group


def _write(file: BinaryIO, store: Store, names: list[str], header: Header) -> None:
    file.write(_encoded({name: header.tensors[name] for name in names}, header.metadata))
    for name in names:
        tensor, info = store.tensor(name).detach(), header.tensors[name]
        if (tensor.dtype, tuple(tensor.shape)) != (info.dtype, info.shape):
            raise ValueError(
                f"the store promised {shown(name)} as {info} and gave {tensor.dtype} {tensor.shape}"
            )
        for chunk in tensor.cpu().contiguous().view(-1).view(torch.uint8).split(CHUNK):
            file.write(memoryview(chunk.numpy()))


def _encoded(infos: Mapping[str, TensorInfo], metadata: Mapping[str, str]) -> bytes:
    """Length and JSON, with spaces up to where the tensors begin."""
    entries: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    start = 0
    for name, info in infos.items():
        if trouble := name_trouble(name) or (name == "__metadata__" and "has a name that is taken"):
            raise DarkroomError(f"the tensor {shown(name)} {trouble}; give it another one.")
        if info.dtype not in NAMES:
            raise DarkroomError(f"the tensor {shown(name)} is {info.dtype}, which safetensors does not have.")
        stop = start + info.nbytes
        entries[name] = {"dtype": NAMES[info.dtype], "shape": list(info.shape), "data_offsets": [start, stop]}
        start = stop
    data = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    data += b" " * (-(8 + len(data)) % ALIGNMENT)
    return len(data).to_bytes(8, "little") + data
