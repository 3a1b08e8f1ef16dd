"""Stores: checkpoints whose header is known and whose tensors are read when they are asked for.

Whatever lies on disk, :func:`open_store` makes a :class:`Store` of it. What it is, its first bytes say; its
name does not count. Stores have no state but the open file, and may be read by several threads.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Protocol, runtime_checkable

from torch import Tensor

from darkroom.errors import DarkroomError
from darkroom.weights.header import Header, TensorInfo, opened, read_layout
from darkroom.weights.mapped import MappedFile


@runtime_checkable
class Store(Protocol):
    """Tensors by name. ``header`` has every name; ``header.source`` says where they lie."""

    @property
    def header(self) -> Header:
        """Names, types and shapes of all that can be asked for."""
        ...

    def tensor(self, name: str) -> Tensor:
        """One tensor in its stored type, where possible a map of the file. Raises KeyError for other names.

        It may share memory with what others were given: whoever wants to change it takes a copy.
        """
        ...


class SafetensorsFile:
    """The tensors of one safetensors file."""

    def __init__(self, path: Path | str, file: BinaryIO | None = None) -> None:
        self._mapped = MappedFile(path, file)
        layout = read_layout(self._mapped.file, path)
        self.header, self._starts = layout.header, layout.starts

    def tensor(self, name: str) -> Tensor:
        """A map of the tensor's bytes."""
        info = self.header.tensors[name]
        return self._mapped.tensor(self._starts[name], info.shape, info.dtype)


class MemoryStore:
    """Tensors that are in memory already."""

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        metadata: Mapping[str, str] = MappingProxyType({}),
        source: str = "the tensors in memory",
    ) -> None:
        self._tensors = dict(tensors)
        infos = {name: TensorInfo(one.dtype, tuple(one.shape)) for name, one in self._tensors.items()}
        self.header = Header(infos, dict(metadata), source)

    def tensor(self, name: str) -> Tensor:
        """The tensor itself."""
        return self._tensors[name]


class Part:
    """The tensors of ``store`` whose names begin with ``prefix``, which is cut off; "unet." for example."""

    def __init__(self, store: Store, prefix: str) -> None:
        self.store, self.prefix = store, prefix
        found = store.header.tensors.items()
        infos = {name.removeprefix(prefix): info for name, info in found if name.startswith(prefix)}
        self.header = replace(store.header, tensors=infos)

    def tensor(self, name: str) -> Tensor:
        """The store's tensor of the longer name."""
        if name not in self.header.tensors:
            raise KeyError(name)
        return self.store.tensor(self.prefix + name)


def open_store(path: Path | str, allow_pickle: bool = False, variant: str | None = None) -> Store:
    """The checkpoint at ``path``: a safetensors or GGUF file, or a folder that has one, whole or in shards.

    ``variant`` chooses among several in a folder ("fp16"). ``allow_pickle`` reads the tensors of a PyTorch
    file (.ckpt, .pt, .pth, .bin) too; none of its code is run. Raises DarkroomError for what is none of these
    or damaged. Only headers are read.
    """
    path = Path(path)
    if path.is_dir():
        from darkroom.weights.shards import open_folder

        return open_folder(path, allow_pickle, variant)
    file = opened(path)
    try:
        return _opened_by_kind(path, file, allow_pickle)
    except BaseException:
        file.close()
        raise


def _opened_by_kind(path: Path, file: BinaryIO, allow_pickle: bool) -> Store:
    from darkroom.weights.kinds import Kind, kind_of

    kind = kind_of(file)
    if kind is Kind.GGUF:
        from darkroom.weights.gguf import GgufFile

        return GgufFile(path, file)
    if kind in (Kind.ZIP, Kind.PICKLE):
        from darkroom.weights.pickles import open_pickle

        return open_pickle(path, file, allow_pickle)
    if kind is not Kind.SAFETENSORS:
        raise DarkroomError(
            f"'{path}' is {kind.value}; name a safetensors or GGUF file, or a folder that has one."
        )
    return SafetensorsFile(path, file)
