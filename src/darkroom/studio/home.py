"""Where a user's models and what hangs on them lie: ``$DARKROOM_HOME``, or ``~/.darkroom``."""

import os
from pathlib import Path

from darkroom.errors import DarkroomError, UnknownName

KINDS = ("models", "loras", "embeddings", "controlnets", "ip_adapters", "wildcards")
ENDINGS = (".safetensors", ".gguf", ".ckpt", ".pt", ".bin", "")
"""Of files that a bare name may stand for, in this order; the last is for folders."""


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
    index = "model_index.json" if kind == "models" else "config.json"
    place, found, whole = folder(kind), dict[str, Path](), set[Path]()
    for path in sorted(place.rglob("*")) if place.is_dir() else ():
        if whole.intersection(path.parents):
            continue
        if (path / index).is_file():
            whole.add(path)
            found.setdefault(path.name, path)
        elif path.is_file() and path.suffix in ENDINGS[:-1]:
            found.setdefault(path.stem, path)
    return found


def find(kind: str, name: str) -> Path:
    """The file of a kind that a path or a bare name stands for.

    Raises DarkroomError for a path without a file, and UnknownName with the nearest name there is.
    """
    path = Path(name)
    if path.exists():
        return path
    if path.suffix in ENDINGS[:-1] or len(path.parts) > 1:
        raise DarkroomError(f"there is no file '{name}'; check the path.")
    known = named(kind)
    if name not in known:
        raise UnknownName(f"file in {folder(kind)}", name, known)
    return known[name]
