"""Checkpoints in a folder: one file, or shards with an index that says which tensor lies in which."""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from darkroom.errors import DarkroomError
from darkroom.weights.header import MAX_HEADER, Header, TensorInfo, opened, read_layout, shown, sound_json
from darkroom.weights.store import SafetensorsFile, Store, open_store

STEM = "(?:diffusion_pytorch_model|model|adapter_model)"
"""What the file of a part is called by diffusers and by transformers, and that of an adapter by PEFT."""
VARIANT = r"(?:\.(?P<variant>\w+))?"
FILE = re.compile(rf"{STEM}{VARIANT}\.safetensors")
INDEX = re.compile(rf"{STEM}\.safetensors\.index{VARIANT}\.json")
PICKLES = ("diffusion_pytorch_model.bin", "pytorch_model.bin", "adapter_model.bin")


class Shards:
    """Several safetensors files as one store. A shard is opened when a tensor of it is first asked for."""

    def __init__(self, index: Path) -> None:
        self._folder = index.parent
        self._where = _weight_map(index)
        infos: dict[str, TensorInfo] = {}
        metadata: dict[str, str] = {}
        for shard in sorted(set(self._where.values())):
            header = _header(index, shard)
            _check_agrees(index, shard, header, self._where)
            infos |= header.tensors
            metadata |= header.metadata
        self.header = Header(infos, metadata, str(index.parent))
        self._files: dict[str, SafetensorsFile] = {}

    def tensor(self, name: str) -> Tensor:
        """A map of the tensor's bytes in its shard."""
        shard = self._where[name]
        if shard not in self._files:
            self._files[shard] = SafetensorsFile(self._folder / shard)
        return self._files[shard].tensor(name)


def open_folder(folder: Path, allow_pickle: bool = False, variant: str | None = None) -> Store:
    """The checkpoint of a folder.

    ``variant`` is "fp16" for "model.fp16.safetensors"; None takes the plain one, or the only one there.
    Raises DarkroomError where there is none, where there are several variants and none is chosen, and for an
    index that does not fit its shards.
    """
    found = _found(folder)
    if variant is not None and variant not in found:
        there = f"it has {_listed(found)}" if found else "it has no safetensors file at all"
        raise DarkroomError(f"'{folder}' has no variant {shown(variant)}; {there}.")
    if not found:
        return _pickle_of(folder, allow_pickle)
    if variant is None and "" not in found and len(found) > 1:
        raise DarkroomError(f"'{folder}' has the variants {_listed(found)}; choose one of them.")
    path = found[variant if variant is not None else "" if "" in found else next(iter(found))]
    return Shards(path) if path.suffix == ".json" else open_store(path)


def _found(folder: Path) -> dict[str, Path]:
    """The file of each variant that is there, or its index; "" is the plain one."""
    found: dict[str, Path] = {}
    names = sorted(path.name for path in folder.iterdir())
    for pattern in (FILE, INDEX):  # a file goes before an index
        for match in filter(None, map(pattern.fullmatch, names)):
            found.setdefault(match["variant"] or "", folder / match[0])
    return found


def _listed(found: Mapping[str, Path]) -> str:
    return ", ".join(repr(variant) if variant else "the plain one" for variant in sorted(found))


def _pickle_of(folder: Path, allow_pickle: bool) -> Store:
    for name in PICKLES:
        if (folder / name).is_file():
            return open_store(folder / name, allow_pickle)
    raise DarkroomError(
        f"'{folder}' has no weights; expected diffusion_pytorch_model, model or adapter_model.safetensors "
        "in it."
    )


def _weight_map(index: Path) -> dict[str, str]:
    """Tensor -> shard, checked to be plain names."""
    with opened(index) as file:
        data = file.read(MAX_HEADER + 1)
    try:
        values = sound_json(data)
    except ValueError as error:
        raise _bad(index, f"it is not sound JSON ({str(error)[:200]})") from error
    where = values.get("weight_map")
    if not isinstance(where, dict) or not where:
        raise _bad(index, "it has no weight_map")
    for name, shard in where.items():
        plain = (
            isinstance(shard, str) and shard.isprintable() and shard == Path(shard).name and "\\" not in shard
        )
        if not plain or not shard.endswith(".safetensors"):
            raise _bad(
                index, f"the shard {shown(shard)} of {shown(name)} is not the plain name of a file beside it"
            )
    return where


def _header(index: Path, shard: str) -> Header:
    path = index.parent / shard
    if not path.exists():
        raise _bad(index, f"its shard {shown(shard)} is not there")
    with opened(path) as file:
        return read_layout(file, path).header


def _check_agrees(index: Path, shard: str, header: Header, where: Mapping[str, str]) -> None:
    """What the index claims of a shard is what its header has: no name more, none less."""
    claimed = {name for name, its in where.items() if its == shard}
    for name in sorted(claimed - header.tensors.keys()):
        raise _bad(index, f"its shard {shown(shard)} lacks {shown(name)}")
    for name in sorted(header.tensors.keys() - claimed):
        raise _bad(
            index, f"its shard {shown(shard)} has {shown(name)}, which the index puts elsewhere or omits"
        )


def _bad(index: Path, wrong: str) -> DarkroomError:
    return DarkroomError(f"'{index}' does not fit its shards: {wrong}; get the whole folder again.")
