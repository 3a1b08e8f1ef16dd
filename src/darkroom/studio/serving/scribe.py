"""The thread that writes: pictures to files and ends to the ledger, beside the one that computes."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from darkroom.errors import DarkroomError
from darkroom.studio.serving.board import Board
from darkroom.studio.serving.jobs import Status
from darkroom.studio.serving.keeping import Keeper
from darkroom.studio.serving.live import LiveJob, Shot

if TYPE_CHECKING:
    from darkroom.studio.request import Picture

LOG = logging.getLogger("darkroom")
BETWEEN_TRIES = 2.0
"""Seconds, to write an end that could not be written."""


class Scribe(threading.Thread):
    """Writes in the order asked, each picture's file before its job's end.

    An end that cannot be written, as the disk is full, is tried again until it can be.
    """

    def __init__(self, board: Board, keeper: Keeper) -> None:
        super().__init__(name="darkroom-scribe", daemon=True)
        self._board, self._keeper = board, keeper
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._late: dict[LiveJob, tuple[Status, str | None]] = {}
        self._tried = 0.0

    def begin(self, job: LiveJob) -> None:
        """Write down that a job was begun."""
        self._tasks.put(partial(self._begin, job, time.time()))

    def save(self, shot: Shot, picture: "Picture") -> None:
        """Write a picture; the last one ends its job."""
        self._tasks.put(partial(self._save, shot, picture))

    def end(self, job: LiveJob, status: Status, error: str | None = None) -> None:
        """Write that a job ended, after what was asked before."""
        self._tasks.put(partial(self._end, job, status, error))

    def finish(self) -> None:
        """Write all that was asked, then end."""
        self._tasks.put(None)
        if self.is_alive():
            self.join()

    def run(self) -> None:
        while task := self._next():
            task()
            if time.monotonic() - self._tried >= BETWEEN_TRIES:
                self._end_late()
            self._sweep()
        self._end_late()

    def _next(self) -> Callable[[], None] | None:
        """What is to be done next, for ends that are late nothing in a while; None at the end."""
        try:
            return self._tasks.get(timeout=BETWEEN_TRIES if self._late else None)
        except queue.Empty:
            return lambda: None

    # none of these may raise: nobody else would write any more

    def _begin(self, job: LiveJob, now: float) -> None:
        try:
            self._board.ledger.begin(job.id, now)
        except Exception:  # an attempt less is counted, which is no reason to give the job up
            LOG.exception("that job %s was begun could not be written", job.id)

    def _save(self, shot: Shot, picture: "Picture") -> None:
        try:
            self._write(shot, picture)
        except DarkroomError as error:
            self._end(shot.job, Status.FAILED, str(error))
        except Exception as error:
            LOG.exception("writing failed")
            self._end(shot.job, Status.FAILED, f"the picture could not be written: {error}.")

    def _end(self, job: LiveJob, status: Status, error: str | None = None) -> None:
        try:
            self._board.end(job, status, error)
            self._late.pop(job, None)
        except Exception:
            if job not in self._late:
                LOG.exception("the end of job %s could not be written and is tried again", job.id)
            self._late.setdefault(job, (status, error))

    def _end_late(self) -> None:
        self._tried = time.monotonic()
        for job, (status, error) in list(self._late.items()):
            self._end(job, status, error)

    def _sweep(self) -> None:
        try:
            self._keeper.sweep_now_and_then()
        except Exception:  # whoever's picture was just written has no part in it
            LOG.exception("sweeping failed and is tried again")

    def _write(self, shot: Shot, picture: "Picture") -> None:
        from darkroom.studio.pictures import encode

        job = shot.job
        if job.ended:
            return
        data = encode(picture, "PNG")
        self._keeper.write(shot.id, data)
        if not self._board.made(shot, len(data)):
            self._keeper.remove(shot.id)
            self._end(job, Status.CANCELLED)  # by whoever is ending it, unless the disk refuses that
        elif all(one.made for one in job.shots):
            self._end(job, Status.DONE)
