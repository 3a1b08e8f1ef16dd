"""Pictures that clients hand in, kept under the hash of their bytes until no job reads them."""

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
BETWEEN_SWEEPS = 60.0
MOST_BYTES = 10 * 2**30
"""Of all uploads together, so that they cannot fill the disk that the queue is on."""
MOST_COUNT = 20_000


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

    def _has_room(self, size: int) -> bool:
        return self._count < MOST_COUNT and self._bytes + size <= MOST_BYTES

    def _check_room(self, size: int) -> None:
        if not self._has_room(size):
            raise QueueFull(
                "pictures that were handed in take all the room there is for them; delete jobs that start "
                f"from some, or try again in {GRACE / 60:.0f} minutes.",
                BETWEEN_SWEEPS,
            )

    def names_in(self, requests: Iterable[Request]) -> list[str]:
        """Of the uploads that requests read."""
        files = (path for request in requests for path in request.files())
        return sorted({path.name for path in files if path.parent == self.folder})

    def are_to_be_swept(self, size: int) -> bool:
        """Whether to sweep before one more of so many bytes is kept."""
        return time.monotonic() - self._swept > BETWEEN_SWEEPS or not self._has_room(size)

    def sweep(self, needed: set[str]) -> None:
        """Delete what no job reads and nobody handed in lately, and count the rest."""
        with self._lock:
            self._swept, self._count, self._bytes = time.monotonic(), 0, 0
            for path in self.folder.iterdir() if self.folder.is_dir() else ():
                with suppress(FileNotFoundError):
                    found = path.stat()
                    if path.name not in needed and found.st_mtime < time.time() - GRACE:
                        path.unlink()
                    else:
                        self._count, self._bytes = self._count + 1, self._bytes + found.st_size
