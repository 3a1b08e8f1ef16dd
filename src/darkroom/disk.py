"""Writing that a kill, a power cut or a full disk cannot leave half done."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from darkroom.errors import DarkroomError

OUT_OF_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LONGEST_NAME = 40
"""Characters of a file's name that its unfinished part keeps: far below what file systems allow."""


@contextmanager
def explaining(path: Path, elsewhere: str = "choose another place", full: str = "") -> Iterator[None]:
    """Turn what the system says about writing ``path`` into a sentence that says what to do.

    ``elsewhere`` is how its user names another place, ``full`` what to do about a full disk.
    """
    try:
        yield
    except OSError as error:
        if error.errno in OUT_OF_ROOM:
            reason = f"the disk is full; {full or f'free some space or {elsewhere}'}"
        else:
            reason = f"{(error.strerror or str(error)).lower()}; {elsewhere}"
        raise DarkroomError(f"cannot write '{path}': {reason}.") from error


@contextmanager
def whole(path: Path, put: Callable[[Path, Path], object] = Path.replace) -> Iterator[BinaryIO]:
    """A file to write, which gets its name once it is complete and on the disk; folders are made as needed.

    ``put`` gives the finished part its name; by default another file of that name goes then. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_beside(path)
    try:
        with part.open("xb") as file:
            yield file
            flush(file)
        put(part, path)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(path.parent)


def part_beside(path: Path) -> Path:
    """A hidden name beside ``path`` that nobody else has."""
    return path.with_name(f".{path.name[:LONGEST_NAME]}.{os.urandom(4).hex()}.part")


def write_through(path: Path, data: bytes) -> str:
    """Write a new file and wait until it is on the disk; returns its SHA-256 in hex. Raises OSError."""
    with path.open("xb") as file:
        file.write(data)
        flush(file)
    return sha256(data).hexdigest()


def flush(file: BinaryIO) -> None:
    """Wait until what was written is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
