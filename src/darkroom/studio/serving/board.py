"""What is going on: the jobs that have not ended, who watches them, and how they end."""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from darkroom.errors import DarkroomError
from darkroom.studio.serving.fairness import Fairness
from darkroom.studio.serving.jobs import Event, JobView, Kind, NoSuchJob, Status
from darkroom.studio.serving.ledger import End, Entry, Ledger
from darkroom.studio.serving.live import LiveJob, Shot, view_of
from darkroom.studio.serving.mail import Mailbox
from darkroom.studio.serving.pace import Pace

if TYPE_CHECKING:
    import numpy as np

BETWEEN_FORETELLINGS = 0.25
"""Seconds."""


class Board:
    """Shared by the threads that ask and the one that works. Each job ends once, on disk before in memory."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.changed = threading.Event()
        self._lock = threading.RLock()
        self._jobs: dict[str, LiveJob] = {}
        self._readers: dict[str, list[Mailbox]] = {}
        self._closed = False
        self.fairness, self.pace = Fairness(), Pace()
        self._foretold = 0.0

    def add(self, job: LiveJob) -> None:
        """A job that was accepted; it is worked on from now on."""
        with self._lock:
            self.fairness.welcome(job.entry.owner, {one.entry.owner for one in self._jobs.values()})
            self._jobs[job.id] = job
            self.publish(job, "queued")
        self.changed.set()

    def jobs(self) -> list[LiveJob]:
        """All that have not ended, in the order in which they came."""
        with self._lock:
            return list(self._jobs.values())

    def count(self, owner: str | None = None) -> int:
        """How many have not ended, of one owner or of all."""
        with self._lock:
            return sum(owner in (None, job.entry.owner) for job in self._jobs.values())

    def order(self, now: float) -> list[LiveJob]:
        """All that have not ended, as they are to be served at a Unix time."""
        with self._lock:
            return self.fairness.order(list(self._jobs.values()), now)

    def foretell(self) -> None:
        """Say of each job how many seconds it has left, unless that was said just now."""
        if time.monotonic() - self._foretold > BETWEEN_FORETELLINGS:
            self._foretold = time.monotonic()
            self.pace.tell(self.order(time.time()))

    def is_watched(self, job: LiveJob) -> bool:
        """Whether anyone would see a preview."""
        with self._lock:
            return job.id in self._readers

    def get(self, job: str) -> LiveJob | None:
        """The job of this id if it has not ended."""
        with self._lock:
            return self._jobs.get(job)

    def view(self, job: str) -> JobView:
        """How a job stands. Raises NoSuchJob."""
        with self._lock:
            if live := self._jobs.get(job):
                return live.view(self._position(live))
        entry = self.ledger.entry(job)
        if entry is None:
            raise NoSuchJob
        return self.view_of(entry)

    def view_of(self, entry: Entry) -> JobView:
        """How a job stands that was just read."""
        with self._lock:
            live = self._jobs.get(entry.id)
            return live.view(self._position(live)) if live else view_of(entry)

    def _position(self, job: LiveJob) -> int | None:
        if job.started is not None or job.id not in self._jobs:
            return None
        waiting = [one for one in self._jobs.values() if one.started is None]
        return self.fairness.order(waiting, time.time()).index(job)

    def publish(
        self, job: LiveJob, kind: Kind, picture: int | None = None, pixels: "np.ndarray | None" = None
    ) -> None:
        """Tell whoever watches a job."""
        with self._lock:
            readers = self._readers.get(job.id, ())
            if readers and not job.ended:
                view = job.view(self._position(job))
                self._tell(readers, Event(job=job.id, kind=kind, view=view, picture=picture, pixels=pixels))

    @staticmethod
    def _tell(readers: Iterable[Mailbox], event: Event) -> None:
        for reader in readers:
            reader.put(event)

    def subscribe(self, job: str, reader: Mailbox) -> Callable[[], None]:
        """Let a reader hear of a job, first of how it stands; returns what ends that. Raises NoSuchJob."""
        with self._lock:
            view = self.view(job)
            running: Kind = "queued" if view.status is Status.QUEUED else "started"
            reader.put(Event(job=job, kind="ended" if view.status.ended else running, view=view))
            if self._closed:
                reader.close()
            elif not view.status.ended:
                self._readers.setdefault(job, []).append(reader)
        return lambda: self._leave(job, reader)

    def _leave(self, job: str, reader: Mailbox) -> None:
        with self._lock:
            readers = self._readers.get(job, [])
            if reader in readers:
                readers.remove(reader)
            if not readers:
                self._readers.pop(job, None)

    def made(self, shot: Shot, size: int) -> bool:
        """A picture's file is there; False where its job is ending, and counts the picture no more."""
        with self._lock:
            if shot.job.ending:
                return False
            shot.job.bytes += size
            shot.made = True
            return True

    def end(self, job: LiveJob, status: Status, error: str | None = None) -> bool:
        """End a job with the pictures made, on disk, then for all to see; False where it had ended.

        Where the disk cannot be written it goes on as it was. Raises DarkroomError.
        """
        with self._lock:
            job.ending = True
            end = End(
                status=status,
                time=time.time(),
                error=error,
                notices=tuple(job.notices),
                steps=job.steps,
                made=job.made,
                bytes=job.bytes,
            )
        try:
            changed = self.ledger.end(job.id, end)
        except BaseException:
            with self._lock:
                job.ending = job.ended
            raise
        self.gone(job, status, error)  # if it had ended, then by a stroke whose success was not told
        return changed

    def gone(self, job: LiveJob, status: Status = Status.CANCELLED, error: str | None = None) -> None:
        """A job has ended on disk: take it off, and tell."""
        with self._lock:
            job.ending = job.ended = True
            self._jobs.pop(job.id, None)
            readers = self._readers.pop(job.id, ())
        self.changed.set()
        if readers:
            self._tell(readers, Event(job=job.id, kind="ended", view=self._last(job, status, error)))

    def _last(self, job: LiveJob, status: Status, error: str | None) -> JobView:
        """How a job ended: as the disk has it, or where it was deleted since, as was asked."""
        try:
            return self.view(job.id)
        except DarkroomError:
            return replace(job.view(None), status=status, error=error, ended=time.time())

    def start(self, job: LiveJob) -> None:
        """The first picture of a job is begun."""
        with self._lock:
            job.started = time.time()
            job.entry = replace(job.entry, attempts=job.entry.attempts + 1)
        self.publish(job, "started")

    def close(self) -> None:
        """Nothing more will happen: readers of jobs that have not ended stop waiting."""
        with self._lock:
            self._closed = True
            self._jobs.clear()
            for readers in self._readers.values():
                for reader in readers:
                    reader.close()
            self._readers.clear()
