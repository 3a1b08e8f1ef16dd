"""Finding and loading models: a name that ships, or a file, known by its header alone."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from safetensors import SafetensorError, safe_open

from darkroom.errors import DarkroomError, UnknownName
from darkroom.families import starter
from darkroom.families.family import Family, Header, Model
from darkroom.studio.files import sha256

FAMILIES: tuple[Family, ...] = (starter.FAMILY,)
SHIPPED: dict[str, Path] = {"starter": starter.SHIPPED}


@dataclass(frozen=True)
class Loaded:
    """A model in memory and the SHA-256 of the file that it came from, in hex."""

    model: Model
    digest: str


def locate(name: str) -> Path:
    """The file of a shipped model's name, or a path. Raises DarkroomError when there is none."""
    if name in SHIPPED:
        return SHIPPED[name]
    path = Path(name)
    if path.is_file():
        return path
    if path.suffix or path.is_absolute():
        raise DarkroomError(f"there is no model file '{name}'; check the path.")
    raise UnknownName("model", name, SHIPPED)


@lru_cache(maxsize=2)
def load_model(name: str) -> Loaded:
    """Load a model once; the next call for the same name is free.

    Raises DarkroomError when the file is damaged or belongs to no known family.
    """
    path = locate(name)
    try:
        family = family_of(read_header(path), path)
        return Loaded(family.load(path), sha256(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise DarkroomError(f"{path} cannot be loaded: {error}") from error


def read_header(path: Path) -> Header:
    """Names, shapes and metadata of a safetensors file; no tensor is read."""
    with safe_open(path, framework="numpy") as file:
        names = file.keys()
        return Header(
            {name: tuple(file.get_slice(name).get_shape()) for name in names}, file.metadata() or {}
        )


def family_of(header: Header, path: Path) -> Family:
    """The family that knows this header."""
    for family in FAMILIES:
        if family.detect(header):
            return family
    known = ", ".join(family.name for family in FAMILIES)
    raise ValueError(f"its {len(header.shapes)} tensors belong to no family known here ({known})")
