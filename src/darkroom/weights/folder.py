"""Models in a folder of diffusers: ``model_index.json`` and a folder for each part."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from darkroom.errors import DarkroomError
from darkroom.weights.header import Header
from darkroom.weights.store import Store, open_store

INDEX = "model_index.json"
PARTS = (
    "unet",
    "transformer",
    "vae",
    "text_encoder",
    "text_encoder_2",
    "text_encoder_3",
    "controlnet",
    "image_encoder",
)
"""The parts that have weights which a picture is made with."""


@dataclass(frozen=True)
class Folder:
    """A model's folder as one store: names stand behind their part and a dot ("unet.conv_in.weight").

    ``besides`` are the parts that have no weights, or none that a picture is made with.
    """

    path: Path
    index: Mapping[str, Any]
    parts: Mapping[str, Store]
    besides: tuple[str, ...] = ()

    @cached_property
    def header(self) -> Header:
        """All names, types and shapes."""
        infos = {
            f"{part}.{name}": info
            for part, store in self.parts.items()
            for name, info in store.header.tensors.items()
        }
        return Header(infos, source=str(self.path))

    def tensor(self, name: str) -> Tensor:
        """One tensor. Raises KeyError for names that are not in the header."""
        part, _, inner = name.partition(".")
        return self.parts[part].tensor(inner)

    def config(self, part: str, file: str = "config.json") -> dict[str, Any]:
        """The settings of a part; empty where it has none. Raises DarkroomError for a damaged file."""
        path = self.path / part / file
        return read_json(path) if path.is_file() else {}


def is_folder(path: Path) -> bool:
    """Whether a path is a model's folder."""
    return (path / INDEX).is_file()


def open_model(path: Path, allow_pickle: bool = False, variant: str | None = None) -> Folder:
    """The model in a folder. Only headers are read.

    Raises DarkroomError where the index or a part is damaged, or no part has weights.
    """
    index = read_json(path / INDEX)
    there = [name for name, what in index.items() if isinstance(what, list) and (path / name).is_dir()]
    parts = {name: _opened(path / name, allow_pickle, variant) for name in PARTS if name in there}
    if not parts:
        raise DarkroomError(f"'{path}' has an index, but no part with weights; get the whole folder again.")
    return Folder(path, index, parts, tuple(name for name in there if name not in parts))


def _opened(path: Path, allow_pickle: bool, variant: str | None) -> Store:
    """A part in the variant that is asked for, or as it is where it has no such variant."""
    if variant and not any(f".{variant}." in one.name for one in path.iterdir()):
        variant = None
    return open_store(path, allow_pickle, variant)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises DarkroomError for anything else."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DarkroomError(f"'{path}' cannot be read as JSON: {error}; get it again.") from error
    if not isinstance(values, dict):
        raise DarkroomError(f"'{path}' is not a JSON object; get it again.")
    return values
