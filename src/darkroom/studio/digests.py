"""SHA-256 of model files, remembered: hashing gigabytes takes seconds, and models seldom change."""

import json
import os
from contextlib import suppress
from hashlib import sha256 as new_sha256
from pathlib import Path
from tempfile import NamedTemporaryFile

from darkroom.studio.files import sha256

WORTH_REMEMBERING = 64 * 2**20
"""Bytes from which on a file's hash is kept."""


def digest(path: Path) -> str:
    """The SHA-256 of a file in hex; of a folder, that of its files' names and hashes.

    "" for what is neither, such as a pipe: that can be read once, or without end, and is not opened.
    """
    if path.is_file():
        return file_digest(path)
    if not path.is_dir():
        return ""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    lines = (f"{file.relative_to(path).as_posix()} {file_digest(file)}\n" for file in files)
    return new_sha256("".join(lines).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """As ``sha256``; of a large file, the one found before if its size and times are the same."""
    state = path.stat()
    if state.st_size < WORTH_REMEMBERING:
        return sha256(path)
    key = f"{path.resolve()} {state.st_size} {state.st_mtime_ns} {state.st_ctime_ns}"
    known = _known()
    if key not in known:
        known[key] = sha256(path)
        _keep(known)
    return known[key]


def _file() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME")
    return Path(cache or Path.home() / ".cache") / "darkroom" / "digests.json"


def _known() -> dict[str, str]:
    """What was found before; nothing where the file is missing or damaged."""
    with suppress(OSError, ValueError):
        values = json.loads(_file().read_text())
        if isinstance(values, dict):
            return values
    return {}


def _keep(known: dict[str, str]) -> None:
    """Remember, whole or not at all; where that cannot be, the next run hashes again."""
    with suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=_file().parent, delete=False) as file:
            json.dump(known, file)
        os.replace(file.name, _file())
