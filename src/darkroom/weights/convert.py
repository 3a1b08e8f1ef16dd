"""Models from a folder of diffusers to a single file and back, to the bit, one tensor at a time.

What a single file cannot hold (tokenizers, settings) is said; what a folder needs besides the weights is as
the family publishes it, fitted to the shapes.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from darkroom.disk import explaining, part_beside
from darkroom.errors import DarkroomError
from darkroom.weights.configs import config_of, published, scheduler_of
from darkroom.weights.detect import Detected, detect
from darkroom.weights.folder import Folder, is_folder, open_model
from darkroom.weights.header import Header, TensorInfo
from darkroom.weights.keymap import View
from darkroom.weights.layouts.files import ARCHITECTURES, FILES
from darkroom.weights.parts import Part
from darkroom.weights.store import Store, open_store
from darkroom.weights.writing import write_shards, write_store

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
TOKENIZERS = ("tokenizer", "tokenizer_2", "tokenizer_3")
SHARD = 10 * 10**9


@dataclass(frozen=True)
class Converted:
    """What was written: where, of which family, its parts, and what has to be said of it."""

    path: Path
    family: str
    parts: tuple[str, ...]
    tensors: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Joined:
    """Several stores as one; each name in one of them."""

    header: Header
    where: Mapping[str, Store]

    def tensor(self, name: str) -> Tensor:
        """One tensor. Raises KeyError for names that are not in the header."""
        return self.where[name].tensor(name)


@dataclass(frozen=True)
class Cast:
    """A store whose real numbers are of another type."""

    store: Store
    dtype: torch.dtype

    @property
    def header(self) -> Header:
        """The same names and shapes."""
        infos = {
            name: TensorInfo(self.dtype, info.shape) if info.dtype.is_floating_point else info
            for name, info in self.store.header.tensors.items()
        }
        return replace(self.store.header, tensors=infos)

    def tensor(self, name: str) -> Tensor:
        """One tensor in the new type. Raises DarkroomError where a number is too large for it."""
        tensor = self.store.tensor(name)
        if not tensor.is_floating_point():
            return tensor
        cast = tensor.to(self.dtype)
        if not torch.isfinite(cast).all() and torch.isfinite(tensor).all():
            raise DarkroomError(f"'{name}' has numbers too large for {self.dtype}; take bfloat16 or float32.")
        return cast


@dataclass(frozen=True)
class Filled:
    """A store with a matrix of ones on its diagonal besides, under ``name``."""

    store: Store
    name: str
    info: TensorInfo

    @property
    def header(self) -> Header:
        """One name more."""
        return replace(self.store.header, tensors={**self.store.header.tensors, self.name: self.info})

    def tensor(self, name: str) -> Tensor:
        """One tensor. Raises KeyError for names that are not in the header."""
        if name == self.name:
            return torch.eye(*self.info.shape, dtype=self.info.dtype)
        return self.store.tensor(name)


def convert(
    source: Path,
    target: Path,
    *,
    dtype: torch.dtype | None = None,
    tokenizers: Path | None = None,
    overwrite: bool = False,
    allow_pickle: bool = False,
    variant: str | None = None,
) -> Converted:
    """Write a folder of diffusers as one file at ``target``, or a single file as a folder there.

    ``dtype`` is what real numbers become (None keeps them). ``tokenizers`` is a folder that has
    ``tokenizer`` and its kin, to be laid beside the parts. In memory is one tensor at a time. Raises
    DarkroomError where the source is no model that is known, the target is there already and ``overwrite``
    is not set, or it cannot be written.
    """
    if target.exists() and not overwrite:
        raise DarkroomError(f"'{target}' is there already; choose another name or say --overwrite.")
    if is_folder(source):
        return _to_file(open_model(source, allow_pickle, variant), target, dtype)
    return _to_folder(open_store(source, allow_pickle, variant), target, dtype, tokenizers)


# ---- folder -> file


def _to_file(folder: Folder, target: Path, dtype: torch.dtype | None) -> Converted:
    if target.is_dir() or target.suffix != ".safetensors":
        raise DarkroomError(
            f"'{target}' should be a file that ends in .safetensors, since the source is a folder."
        )
    found = detect(folder.header)
    family = _known(found, folder.header)
    views = [_in_file(family, part, folder) for part in found.parts.values()]
    joined = _joined(views, _metadata(family, folder))
    write_store(target, Cast(joined, dtype) if dtype else joined)
    lost = [name for name in folder.besides if name != "safety_checker"]
    notes = [f"a single file has no place for {', '.join(lost)}"] if lost else []
    notes += _unplaced([name for view in views for name in view.unknown], folder.header)
    return Converted(target, family, tuple(found.parts), len(joined.header.tensors), tuple(notes))


def _in_file(family: str, part: Part, folder: Folder) -> View:
    """A part of a folder under the names of a single file."""
    place = FILES[family].get(part.name)
    if place is None:
        raise DarkroomError(
            f"a single file of {family} has no place for '{part.name}'; remove it from the folder."
        )
    native = part.native(folder)
    return place.keymap(native.header.shapes).under(place.prefix).original(native)


def _joined(stores: list[View], metadata: Mapping[str, str]) -> Joined:
    infos = {name: info for store in stores for name, info in store.header.tensors.items()}
    return Joined(Header(infos, metadata), {name: store for store in stores for name in store.header.tensors})


def _metadata(family: str, folder: Folder) -> dict[str, str]:
    """What keeps the file from being taken for another: its family, and what the network predicts."""
    said = {
        "format": "pt",
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": ARCHITECTURES[family],
    }
    kind = folder.config("scheduler", "scheduler_config.json").get("prediction_type")
    named = {"epsilon": "epsilon", "v_prediction": "v"}.get(kind) if isinstance(kind, str) else None
    return {**said, "modelspec.prediction_type": named} if named else said


# ---- file -> folder


def _to_folder(store: Store, target: Path, dtype: torch.dtype | None, tokenizers: Path | None) -> Converted:
    if target.suffix == ".safetensors":
        raise DarkroomError(f"'{target}' should be a folder, since the source is a single file.")
    found = detect(store.header)
    family = _known(found, store.header)
    parts = {name: _in_folder(family, name, part, store) for name, part in found.parts.items()}
    shapes = {name: one.header.shapes for name, one in parts.items()}
    with _whole(target) as folder:
        for name, one in parts.items():
            _write_part(folder / name, Cast(one, dtype) if dtype else one, config_of(family, name, shapes))
        _write_json(
            folder / "scheduler" / "scheduler_config.json",
            scheduler_of(family, found.prediction, found.variant),
        )
        missing = _lay_tokenizers(folder, family, tokenizers)
        _write_json(folder / "model_index.json", _index(family, folder))
    notes = [*_guessed(found), *_lacking(family, parts, missing), *_unplaced(list(found.left), store.header)]
    return Converted(
        target, family, tuple(parts), sum(len(one.header.tensors) for one in parts.values()), tuple(notes)
    )


def _in_folder(family: str, name: str, part: Part, store: Store) -> Store:
    """A part of a single file under our names, with what a folder has and files leave out."""
    native = part.native(store)
    tensors = native.header.tensors
    projected = "CLIPTextModelWithProjection" in published(family).get(name, {}).get("architectures", ())
    if projected and "text_projection.weight" not in tensors:
        like = tensors["text_model.embeddings.token_embedding.weight"]
        return Filled(
            native, "text_projection.weight", TensorInfo(like.dtype, (like.shape[1], like.shape[1]))
        )
    return native


def _write_part(folder: Path, store: Store, config: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True)
    _write_json(folder / "config.json", config)
    stem = "diffusion_pytorch_model" if "_class_name" in config else "model"
    write_shards(folder, store, stem, SHARD, {"format": "pt"})


def _lay_tokenizers(folder: Path, family: str, tokenizers: Path | None) -> list[str]:
    """Copy tokenizers beside the parts; returns the names of those that the family has and nobody gave."""
    wanted = [name for name in TOKENIZERS if (published(family)["model_index"].get(name) or [None])[0]]
    for name in wanted:
        if tokenizers and (tokenizers / name).is_dir():
            shutil.copytree(tokenizers / name, folder / name)
    return [name for name in wanted if not (folder / name).is_dir()]


def _index(family: str, folder: Path) -> dict[str, Any]:
    """``model_index.json`` for what is there: diffusers asks for no part that is null."""
    index = dict(published(family)["model_index"])
    return {
        name: [None, None] if isinstance(what, list) and not (folder / name).is_dir() else what
        for name, what in index.items()
    }


def _guessed(found: Detected) -> Iterator[str]:
    if found.prediction is None:
        yield "the file does not tell what it predicts; the scheduler says v, change it if that is wrong"
    yield from (f"{one}; heads and the like are guessed" for one in found.differences)


def _lacking(family: str, parts: Mapping[str, Store], tokenizers: list[str]) -> Iterator[str]:
    if lacking := [name for name in FILES[family] if name not in parts]:
        yield f"the file has no {', '.join(lacking)}, so the folder has none"
    if tokenizers:
        yield f"a single file has no {', '.join(tokenizers)}; give --tokenizers a folder that has them"


# ---- both


def _known(found: Detected, header: Header) -> str:
    """The family of a model that can be converted. Raises DarkroomError for everything else."""
    if found.family and found.family in FILES:
        return found.family
    what = found.family or (found.adapter.method if found.adapter else found.kind)
    why = f" ({'; '.join(found.notes)})" if found.notes else ""
    raise DarkroomError(
        f"{header.source} is {what}{why}; only whole models of {', '.join(FILES)} can be converted."
    )


def _unplaced(names: list[str], header: Header) -> list[str]:
    if not names:
        return []
    some = ", ".join(f"'{name}'" for name in names[:3]) + (", ..." if len(names) > 3 else "")
    return [
        f"{len(names)} of {len(header.tensors)} tensors belong to nothing known and were left out: {some}"
    ]


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """A folder to fill, which gets its name once it is complete; what stood there goes only then."""
    part = part_beside(target)
    old = part.with_suffix(".old")
    with explaining(target):
        part.mkdir(parents=True)
        try:
            yield part
            if target.exists():
                target.rename(old)
            part.rename(target)
        finally:
            for one in (part, old):
                _removed(one)


def _removed(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
