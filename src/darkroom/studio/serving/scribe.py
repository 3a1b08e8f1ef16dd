"""The thread that writes: pictures to files and ends to the ledger, beside the one that computes."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from darkroom.errors import DarkroomError
from darkroom.studio.serving.board import Board
from darkroom.studio.serving.jobs import Status
from darkroom.studio.serving.keeping import Keeper
from darkroom.studio.serving.live import LiveJob, Shot

if TYPE_CHECKING:
    from darkroom.studio.request import Picture

LOG = logging.getLogger("darkroom")


class Scribe(threading.Thread):
    """Writes in the order asked, each picture's file before its job's end."""

    def __init__(self, board: Board, keeper: Keeper) -> None:
        super().__init__(name="darkroom-scribe", daemon=True)
        self._board, self._keeper = board, keeper
        self._tasks: queue.SimpleQueue[tuple[LiveJob, Callable[[], None]] | None] = queue.SimpleQueue()

    def begin(self, job: LiveJob) -> None:
        """Write down that a job was begun."""
        now = time.time()
        self._tasks.put((job, lambda: self._board.ledger.begin(job.id, now)))

    def save(self, shot: Shot, picture: "Picture") -> None:
        """Write a picture; the last one ends its job."""
        self._tasks.put((shot.job, lambda: self._save(shot, picture)))

    def finish(self) -> None:
        """Write all that was asked, then end."""
        self._tasks.put(None)
        if self.is_alive():
            self.join()

    def run(self) -> None:
        while task := self._tasks.get():
            job, write = task
            try:
                write()
                self._keeper.sweep_now_and_then()
            except DarkroomError as error:
                self._board.end(job, Status.FAILED, str(error))
            except Exception as error:
                LOG.exception("writing failed")
                self._board.end(job, Status.FAILED, f"the picture could not be written: {error}.")

    def _save(self, shot: Shot, picture: "Picture") -> None:
        from darkroom.studio.pictures import encode

        job = shot.job
        if job.ended:
            return
        data = encode(picture, "PNG")
        self._keeper.write(shot.id, data)
        if not self._board.made(shot, len(data)):
            self._keeper.remove(shot.id)  # the job was cancelled meanwhile
        elif all(one.made for one in job.shots):
            self._board.end(job, Status.DONE)
