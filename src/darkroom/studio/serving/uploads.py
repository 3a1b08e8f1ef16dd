"""Pictures that clients hand in, by the hash of their bytes: kept while jobs read them and there is room."""

import os
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from darkroom.disk import explaining, whole
from darkroom.studio.request import Request
from darkroom.studio.serving.jobs import QueueFull

GRACE = 3600.0
"""Seconds that an upload waits for a job to name it."""
MOMENT = 60.0
"""Seconds for which one that was handed in, or that a job is to read, stays however short room is."""
BETWEEN_SWEEPS = 60.0
MOST_BYTES = 10 * 2**30
"""Of all uploads together, so that they cannot fill the disk that the queue is on."""
MOST_COUNT = 20_000
FILLED = 0.9
"""How much of that may be taken once room was made, so that it need not be made for each."""


class Uploads:
    """A folder of files that are named by what they hold. Any thread may call."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._count = self._bytes = 0
        self._swept = -float("inf")

    def keep(self, data: bytes) -> Path:
        """Write bytes whole, once; returns their path.

        Raises QueueFull where uploads take all that they may, and DarkroomError for a full disk.
        """
        path = self.folder / sha256(data).hexdigest()
        with self._lock:
            with suppress(FileNotFoundError):
                os.utime(path)  # its time to wait begins again
                return path
            self._check_room(len(data))
            with explaining(path), whole(path) as file:
                file.write(data)
            self._count, self._bytes = self._count + 1, self._bytes + len(data)
        return path

    def has_room(self, size: int, share: float = 1.0) -> bool:
        """Whether one more of so many bytes leaves all within this share of what they may take."""
        return self._count < MOST_COUNT * share and self._bytes + size <= MOST_BYTES * share

    def _check_room(self, size: int) -> None:
        if not self.has_room(size):
            raise QueueFull(
                "pictures that were handed in take all the room there is for them; try again in "
                f"{MOMENT:.0f} seconds, or when jobs that start from some have ended.",
                MOMENT,
            )

    def claim(self, requests: Iterable[Request]) -> list[str]:
        """Names of the uploads that requests read; they stay for a moment, so that a job can be accepted."""
        files = (path for request in requests for path in request.files())
        names = sorted({path.name for path in files if path.parent == self.folder})
        with self._lock:
            for name in names:
                with suppress(FileNotFoundError):
                    os.utime(self.folder / name)
        return names

    def are_to_be_swept(self, size: int) -> bool:
        """Whether to sweep before one more of so many bytes is kept."""
        return time.monotonic() - self._swept > BETWEEN_SWEEPS or not self.has_room(size)

    def sweep(self, needed: set[str]) -> None:
        """Delete what no job reads and nobody handed in lately, and count the rest."""
        with self._lock:
            self._swept, self._count, self._bytes = time.monotonic(), 0, 0
            for path in self._files():
                with suppress(FileNotFoundError):
                    found = path.stat()
                    if path.name not in needed and found.st_mtime < time.time() - GRACE:
                        path.unlink()
                    else:
                        self._count, self._bytes = self._count + 1, self._bytes + found.st_size

    def make_room(self, size: int, needed: set[str], spare: Iterable[str]) -> None:
        """Delete those that are ``spare``, in this order, then what no job reads, the oldest first, until one
        more of so many bytes has room.
        """
        with self._lock:
            for name in (*spare, *self._oldest(needed)):
                if self.has_room(size, FILLED):
                    break
                self._give_up(self.folder / name)

    def _oldest(self, needed: set[str]) -> list[str]:
        """Names of what no job reads, the oldest first."""
        paths = [path for path in self._files() if path.name not in needed]
        return [path.name for path in sorted(paths, key=lambda path: path.stat().st_mtime)]

    def _files(self) -> Iterable[Path]:
        return self.folder.iterdir() if self.folder.is_dir() else ()

    def _give_up(self, path: Path) -> None:
        with suppress(FileNotFoundError):
            found = path.stat()
            if found.st_mtime < time.time() - MOMENT:
                path.unlink()
                self._count, self._bytes = self._count - 1, self._bytes - found.st_size
