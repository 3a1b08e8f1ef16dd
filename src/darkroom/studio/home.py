"""Where a user's models and what hangs on them lie: ``$DARKROOM_HOME``, or ``~/.darkroom``."""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

from darkroom.errors import DarkroomError, UnknownName

KINDS = {
    "models": "model",
    "loras": "LoRA",
    "embeddings": "embedding",
    "controlnets": "ControlNet",
    "ip_adapters": "IP-Adapter",
    "wildcards": "file of wildcards",
}
"""The folders in it, and what a message calls a file in each."""
ENDINGS = (".safetensors", ".gguf", ".ckpt", ".pt", ".bin", "")
"""Of files that a bare name may stand for, in this order; the last is for folders."""
SAYS_WHAT_IT_IS = {"models": "model_index.json", "loras": "adapter_config.json"}
"""The file that makes a folder of this kind one thing; of the other kinds config.json."""


def home() -> Path:
    """The folder; it need not be there."""
    return Path(os.environ.get("DARKROOM_HOME") or Path.home() / ".darkroom")


def folder(kind: str) -> Path:
    """The folder of one of ``KINDS``."""
    return home() / kind


def styles() -> Path:
    """The file of the user's own styles; it need not be there."""
    return home() / "styles.csv"


def named(kind: str) -> dict[str, Path]:
    """What lies in the folder of a kind, subfolders included, by the names that stand for it.

    A folder that says what it is counts as one, whatever lies in it.
    """
    index = SAYS_WHAT_IT_IS.get(kind, "config.json")
    place, found, whole = folder(kind), dict[str, Path](), set[Path]()
    for path in sorted(place.rglob("*")) if place.is_dir() else ():
        if whole.intersection(path.parents):
            continue
        if (path / index).is_file():
            whole.add(path)
            found.setdefault(path.name, path)
        elif path.is_file() and path.suffix in ENDINGS[:-1]:
            found.setdefault(name_of(path), path)
    return found


def name_of(path: Path) -> str:
    """The bare name that stands for a file or folder; a dot in it is no ending ("detail_v1.5")."""
    return path.stem if path.suffix in ENDINGS[:-1] else path.name


def find(kind: str, name: str) -> Path:
    """The file of a kind that a bare name or a path stands for; a name of the user's own goes first.

    Raises DarkroomError for a path without a file, and UnknownName with the nearest name there is.
    """
    return finder()(kind, name)


def finder(paths: bool = True) -> Callable[[str, str], Path]:
    """:func:`find` for many names: it looks into each folder once.

    Without ``paths`` names alone will do, as for clients, who may not say which files are read.
    """
    all_named = cache(named)

    def find(kind: str, name: str) -> Path:
        path = Path(name)
        bare = len(path.parts) == 1
        if (bare or not paths) and name in all_named(kind):
            return all_named(kind)[name]
        if paths and path.exists():
            return path
        if paths and (path.suffix in ENDINGS[:-1] or not bare):
            raise DarkroomError(f"there is no file '{name}'; check the path.")
        raise UnknownName(KINDS[kind], name, all_named(kind))

    return find
