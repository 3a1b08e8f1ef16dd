"""The folder of a run: what goes wrong in it, explained, and other runs kept out."""

import fcntl
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO

from darkroom import disk
from darkroom.errors import DarkroomError


def explaining(path: Path) -> AbstractContextManager[None]:
    """Turn what the system says about ``path`` into a sentence that says what to do about a run."""
    full = "free some space and run the same command again to carry on"
    return disk.explaining(path, "choose another folder with --out", full)


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
