"""Files of the service: the pictures it made, those handed in, and how long either is kept."""

import time
from contextlib import suppress
from pathlib import Path

from darkroom.disk import explaining, whole
from darkroom.studio.serving.ledger import Ledger
from darkroom.studio.serving.limits import Limits
from darkroom.studio.serving.uploads import BETWEEN_SWEEPS, Uploads

DAY = 86400.0


class Keeper:
    """Keeps ``pictures/`` and ``uploads/`` in step with the ledger."""

    def __init__(self, folder: Path, ledger: Ledger, limits: Limits) -> None:
        self._folder, self._ledger, self._limits = folder / "pictures", ledger, limits
        self.uploads = Uploads(folder / "uploads")
        self._swept = time.monotonic()

    def path(self, picture: str) -> Path:
        """Where the file of a picture is."""
        return self._folder / f"{picture}.png"

    def write(self, picture: str, data: bytes) -> None:
        """Write a picture's file, whole or not at all. Raises DarkroomError for a full disk."""
        path = self.path(picture)
        with explaining(path), whole(path) as file:
            file.write(data)

    def remove(self, picture: str) -> None:
        """Delete a picture's file if it is there."""
        self.path(picture).unlink(missing_ok=True)

    def keep_upload(self, data: bytes) -> Path:
        """Keep what a client handed in, once those are swept that nobody needs. Raises DarkroomError.

        Where room is short, jobs that have ended lose theirs, but no picture that they made.
        """
        if self.uploads.are_to_be_swept(len(data)):
            needed = self._ledger.upload_names()
            self.uploads.sweep(needed)
            if not self.uploads.has_room(len(data)):
                self.uploads.make_room(len(data), needed, self._ledger.spare_uploads())
        return self.uploads.keep(data)

    def forget(self, job: str) -> None:
        """Delete a job that has ended, and its pictures."""
        for picture in self._ledger.forget(job):
            self.remove(picture)

    def sweep_now_and_then(self) -> None:
        """Sweep when the last time is a while ago."""
        if time.monotonic() - self._swept > BETWEEN_SWEEPS:
            self.sweep()

    def sweep(self) -> None:
        """Delete jobs that were kept long enough, and files that belong to none.

        Nobody may be writing a picture meanwhile.
        """
        self._swept, limits = time.monotonic(), self._limits
        for job in self._ledger.expired(time.time() - limits.kept_days * DAY, limits.kept_bytes):
            self.forget(job)
        known = self._ledger.picture_ids()
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            if path.name.removesuffix(".png") not in known:
                with suppress(OSError):
                    path.unlink()
        self.uploads.sweep(self._ledger.upload_names())
