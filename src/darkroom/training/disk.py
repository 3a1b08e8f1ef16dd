"""Writing that a kill, a power cut or a full disk cannot leave half done."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import IO

from darkroom.errors import DarkroomError

OUT_OF_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_through(path: Path, data: bytes) -> str:
    """Write a new file and wait until it is on the disk; returns its SHA-256 in hex."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return sha256(data).hexdigest()


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def explaining(path: Path) -> Iterator[None]:
    """Turn what the system says about ``path`` into a sentence that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in OUT_OF_ROOM:
            advice = "the disk is full; free some space and run the same command again to carry on"
        else:
            advice = f"{(error.strerror or str(error)).lower()}; choose another folder with --out"
        raise DarkroomError(f"cannot write '{path}': {advice}.") from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make a folder and keep other runs out of it; the system itself opens the lock when the process ends."""
    with explaining(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    with file:
        if not _lock(file, folder):
            raise DarkroomError(
                f"another run is training in '{folder}'; stop it, or choose another folder with --out."
            )
        yield


def _lock(file: IO[str], folder: Path) -> bool:
    """Whether the lock could be had; it goes with the open file."""
    with explaining(folder), suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
