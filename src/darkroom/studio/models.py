"""Finding and loading models: a name that ships, a file or folder, a name of the user's own or of the hub."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from darkroom.adapters.merging import bring_all
from darkroom.adapters.stamps import Stamp, stamp_of
from darkroom.errors import DarkroomError, UnknownName
from darkroom.families import starter
from darkroom.families.family import Model, Options
from darkroom.families.registry import family_of, load
from darkroom.studio import home, hub
from darkroom.studio.digests import digest
from darkroom.studio.placement.apply import place
from darkroom.studio.placement.choices import Placement
from darkroom.studio.placement.precision import DTYPES

SHIPPED: dict[str, Path] = {"starter": starter.SHIPPED}


@dataclass(frozen=True)
class Loaded:
    """A model in memory, the SHA-256 of what it came from, in hex, and how it was set up for this machine.

    ``files`` are all that it came from, as ``stamp`` says.
    """

    model: Model
    digest: str
    placement: Placement
    files: tuple[Path, ...]
    stamp: Stamp

    @property
    def replaced(self) -> bool:
        """Whether its files are not those any more that it came from."""
        return stamp_of(*self.files) != self.stamp


def locate(name: str) -> Path:
    """The file or folder of a model: one that ships, one in the user's own folder, a path, one on the hub.

    Raises DarkroomError when there is none.
    """
    if name in SHIPPED:
        return SHIPPED[name]
    path, own = Path(name), home.named("models")
    if name in own:
        return own[name]
    if path.exists():
        return path
    if path.is_absolute() or name.startswith(".") or path.suffix in home.ENDINGS[:-1]:
        raise DarkroomError(f"there is no model file '{name}'; check the path.")
    if hub.is_name(name):
        return hub.fetch(name)
    raise UnknownName("model", name, SHIPPED | own)


@dataclass(frozen=True)
class Listed:
    """A model that a bare name stands for."""

    name: str
    family: str
    mebibytes: float
    digest: str
    path: Path


def listed() -> list[Listed]:
    """The models that ship and the user's own; of a file that cannot be read the family says so, and it has
    no hash.
    """
    found = {name: path for name, path in (home.named("models") | SHIPPED).items() if path.exists()}
    return [
        Listed(name, family_or_trouble(path), _mebibytes(path), _digest_if_readable(path), path)
        for name, path in found.items()
    ]


def family_or_trouble(path: Path) -> str:
    """What a model is, by its header alone."""
    try:
        return family_of(path)
    except (DarkroomError, OSError, ValueError) as error:
        return f"? ({error})"


def _digest_if_readable(path: Path) -> str:
    try:
        return digest(path)
    except OSError:
        return ""


def _mebibytes(path: Path) -> float:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return round(sum(file.stat().st_size for file in files) / 2**20, 1)


def read_model(
    name: str,
    precision: str = "float32",
    variant: str | None = None,
    allow_pickle: bool = False,
    others: tuple[Path, ...] = (),
) -> Loaded:
    """A model read anew, whose weights may be in its file still: ``placement`` brings them, as memory allows.

    Raises DarkroomError when the file is damaged or belongs to no known family, but not yet for damage that
    only the weights show.
    """
    path = locate(name)
    files = (path, *others)
    stamp = stamp_of(*files)
    try:
        model = load(path, Options(DTYPES[precision], variant, allow_pickle, others, later=True))
        return Loaded(model, digest(path), place(model, precision), files, stamp)
    except (SafetensorError, OSError, ValueError) as error:
        raise DarkroomError(f"{path} cannot be loaded: {error}") from error


class Opened:
    """The last models of :func:`read_model`, each kept until its files are replaced."""

    def __init__(self, most: int) -> None:
        self._read = lru_cache(maxsize=most)(read_model)
        self.cache_clear, self.cache_info = self._read.cache_clear, self._read.cache_info

    def __call__(self, *how: Any) -> Loaded:
        loaded = self._read(*how)
        if loaded.replaced:
            self.cache_clear()
            loaded = self._read(*how)
        return loaded


open_model = Opened(2)


def load_model(
    name: str,
    precision: str = "float32",
    variant: str | None = None,
    allow_pickle: bool = False,
    others: tuple[Path, ...] = (),
) -> Loaded:
    """The same, with all its weights in memory.

    Raises DarkroomError as :func:`read_model`, and for weights that are damaged.
    """
    return whole(open_model(name, precision, variant, allow_pickle, others))


def whole(loaded: Loaded) -> Loaded:
    """The same, with all its weights in memory. Raises DarkroomError for weights that are damaged."""
    bring_all(loaded.model.parts.values())
    return loaded
