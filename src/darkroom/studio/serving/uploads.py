"""Pictures that clients hand in, kept under the hash of their bytes until no job reads them."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from darkroom.disk import explaining, whole
from darkroom.studio.request import Request

GRACE = 3600.0
"""Seconds that an upload waits for a job to name it."""


class Uploads:
    """A folder of files that are named by what they hold."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, data: bytes) -> Path:
        """Write bytes whole, once; returns their path. Raises DarkroomError for a full disk."""
        path = self.folder / sha256(data).hexdigest()
        with suppress(FileNotFoundError):
            os.utime(path)  # its time to wait begins again
            return path
        with explaining(path), whole(path) as file:
            file.write(data)
        return path

    def names_in(self, requests: Iterable[Request]) -> list[str]:
        """Of the uploads that requests read."""
        files = (path for request in requests for path in request.files())
        return sorted({path.name for path in files if path.parent == self.folder})

    def sweep(self, needed: set[str]) -> None:
        """Delete what no job reads and nobody handed in lately."""
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            with suppress(FileNotFoundError):
                if path.name not in needed and path.stat().st_mtime < time.time() - GRACE:
                    path.unlink()
