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
    """What lies in the folder of a kind, subfolders included, by the names that stand for it."""
    place, found = folder(kind), dict[str, Path]()
    index = "config.json" if kind == "controlnets" else "model_index.json"
    for path in sorted(place.rglob("*")) if place.is_dir() else ():
        if path.suffix in ENDINGS and (path.is_file() or (path / index).is_file()):
            found.setdefault(path.stem if path.is_file() else path.name, path)
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
