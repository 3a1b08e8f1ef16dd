"""The service: takes jobs from many, makes their pictures together, and loses none."""

import fcntl
import math
import os
import resource
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from darkroom.errors import DarkroomError
from darkroom.studio import home
from darkroom.studio.checks import check_whole
from darkroom.studio.request import Request
from darkroom.studio.serving.accepting import acceptable
from darkroom.studio.serving.board import Board
from darkroom.studio.serving.fairness import MOST
from darkroom.studio.serving.jobs import Event, JobView, QueueFull, QuotaReached, Status
from darkroom.studio.serving.keeping import Keeper
from darkroom.studio.serving.ledger import Entry, Ledger, OutOfOrder, Unreadable, new_id
from darkroom.studio.serving.limits import Limits
from darkroom.studio.serving.live import LiveJob
from darkroom.studio.serving.mail import Mailbox, reading, reading_async
from darkroom.studio.serving.scribe import Scribe

if TYPE_CHECKING:
    from darkroom.studio.serving.worker import Worker


class Service:
    """One process's work on a folder: ``queue.sqlite``, ``pictures/`` and ``uploads/``.

    By default ``$DARKROOM_HOME/studio``. Any thread may call. Raises DarkroomError where the folder cannot
    be used, or another process uses it.
    """

    def __init__(self, folder: Path | None = None, limits: Limits | None = None) -> None:
        self.folder = folder or home.home() / "studio"
        self.limits = limits or Limits()
        self._claim = _claim(self.folder)
        self.ledger = Ledger(self.folder / "queue.sqlite")
        self._board = Board(self.ledger)
        self._keeper = Keeper(self.folder, self.ledger, self.limits)
        self._scribe = Scribe(self._board, self._keeper)
        self._worker: Worker | None = None
        self._starting: threading.Thread | None = None
        self._accepting = threading.Lock()
        self._stopping = False
        self._recover()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to work, in threads of its own; torch is imported there."""
        self._scribe.start()
        starting = threading.Thread(target=self._start, name="darkroom-start", daemon=True)
        starting.start()
        self._starting = starting

    def _start(self) -> None:
        from darkroom.studio.placement.machine import found
        from darkroom.studio.serving.room import Room
        from darkroom.studio.serving.stages import Stages
        from darkroom.studio.serving.worker import Worker

        limits, memory = self.limits, found().memory
        stages = Stages(limits.models or memory // 2, self._board.changed.set)
        room = Room(limits.rows, limits.activations or memory // 8)
        self._worker = Worker(self._board, self._scribe, limits, stages, room)
        self._worker.start()

    def halt(self, drain: float) -> None:
        """Take no new work, and finish what is under way within ``drain`` seconds.

        What has not ended then can still be cancelled, until the service is stopped.
        """
        self._stopping = True
        if self._starting is not None:
            self._starting.join()
        if self._worker is not None:
            self._worker.halt(drain)
            self._worker.join()
        self._scribe.finish()

    def stop(self, drain: float = 30.0) -> None:
        """Halt, and leave what has not ended queued, for the next start."""
        self.halt(drain)
        with suppress(OutOfOrder):  # an attempt too many is counted then, which does no harm
            for job in self._board.jobs():
                if job.started is not None:
                    self.ledger.rest(job.id)
        self._board.close()
        self.ledger.close()
        os.close(self._claim)

    def submit(
        self,
        requests: Sequence[Request],
        *,
        owner: str = "",
        priority: int = 0,
        previews: int = 0,
        tag: str = "",
        latest: str | None = None,
        key: str | None = None,
    ) -> JobView:
        """Accept a job; when this returns, it is on disk and will be done or its failure told.

        ``priority`` is from -10 to 10, more is sooner. ``previews`` asks for one every so many steps, 0 for
        none. A newer job of the same (owner, ``latest``) overtakes: older ones are cancelled. The same
        (owner, ``key``) again returns the first job. Raises DarkroomError for what cannot be had, QueueFull
        and QuotaReached; OutOfOrder is a QueueFull.
        """
        if self._stopping:
            raise DarkroomError("the service is stopping; submit the job again when it is back.")
        self._check_alive()
        check_whole("priority", priority, -MOST, MOST)
        check_whole("previews", previews, 0, 1000)
        if key is not None and (known := self.ledger.by_key(owner, key)):
            return self._board.view_of(known)
        uploads = self._keeper.uploads.claim(requests)
        plain = acceptable(requests, self.limits)
        if worker := self._worker:
            for request in plain:
                worker.check(request)
        entry = Entry(
            id=new_id(),
            owner=owner,
            requests=plain,
            pictures=tuple(new_id() for request in plain for _ in range(request.count)),
            created=time.time(),
            key=key,
            tag=tag,
            priority=priority,
            latest=latest,
            previews=previews,
        )
        return self._accept(entry, uploads)

    def _accept(self, entry: Entry, uploads: Sequence[str]) -> JobView:
        with self._accepting:
            self._check_room(entry)
            accepted, overtaken = self.ledger.accept(entry, uploads)
            for job in filter(None, map(self._board.get, overtaken)):
                self._board.gone(job)
                for picture in job.made:  # that nobody waits for any more
                    self._keeper.remove(picture)
            if accepted is entry:
                self._board.add(LiveJob.of(entry))
        return self._board.view_of(accepted)

    def _check_alive(self) -> None:
        """Raise OutOfOrder where a thread has died, so that nobody waits for what it would have done."""
        if self._starting is None or self._starting.is_alive():
            return
        if not (self._worker and self._worker.is_alive() and self._scribe.is_alive()):
            raise OutOfOrder("the service has failed, as its log says; start Darkroom again.")

    def _check_room(self, entry: Entry) -> None:
        """Raise QueueFull or QuotaReached; a job that overtakes takes the place of others."""
        jobs = [
            job
            for job in self._board.jobs()
            if entry.latest is None or (job.entry.owner, job.entry.latest) != (entry.owner, entry.latest)
        ]
        if sum(job.entry.owner == entry.owner for job in jobs) >= self.limits.per_owner:
            raise QuotaReached(
                f"you have {self.limits.per_owner} jobs here that have not ended; wait for one of them.",
                self._retry_after([job for job in jobs if job.entry.owner == entry.owner]),
            )
        if len(jobs) >= self.limits.queue:
            raise QueueFull("the queue is full; try again in a while.", self._retry_after(jobs))

    @staticmethod
    def _retry_after(jobs: Sequence[LiveJob]) -> float:
        """Seconds until the first of these jobs is likely to end."""
        left = [job.seconds_left for job in jobs if job.seconds_left is not None]
        return min(max(min(left, default=1.0), 1.0), 60.0)

    def cancel(self, job: str) -> JobView:
        """End a job now; work on it stops at the next step. One that has ended stays as it is.

        Raises NoSuchJob.
        """
        if live := self._board.get(job):
            self._board.end(live, Status.CANCELLED)
        return self.view(job)

    def view(self, job: str) -> JobView:
        """How a job stands. Raises NoSuchJob."""
        return self._board.view(job)

    def jobs(
        self, *, owner: str | None = None, limit: int = 100, before: float | None = None
    ) -> list[JobView]:
        """Jobs, the newest first: of one owner or of all, made before a Unix time."""
        return [self._board.view_of(entry) for entry in self.ledger.entries(owner, limit, before)]

    def watch(self, job: str) -> Iterator[Event]:
        """How a job stands, then what happens to it, ending with "ended"; blocks between.

        Ends early when the service stops. Raises NoSuchJob.
        """
        return reading(lambda box: self._board.subscribe(job, box))

    def events(self, job: str) -> AsyncIterator[Event]:
        """The same for asyncio."""
        return reading_async(lambda box: self._board.subscribe(job, box))

    def wait(self, job: str, timeout: float | None = None) -> JobView:
        """How a job ended, or stands after ``timeout`` seconds. Raises NoSuchJob."""
        until = time.monotonic() + (math.inf if timeout is None else timeout)
        rung = threading.Event()
        box = Mailbox(rung.set)
        leave = self._board.subscribe(job, box)
        while not box.take()[1] and rung.wait(min(until - time.monotonic(), threading.TIMEOUT_MAX)):
            rung.clear()
        leave()
        return self.view(job)

    def picture(self, picture: str) -> Path:
        """The PNG of a picture, with its record. Raises DarkroomError for an id that there is not."""
        if not self.ledger.is_made(picture):
            raise DarkroomError("there is no such picture; it may have been deleted.")
        return self._keeper.path(picture)

    def forget(self, job: str) -> None:
        """Delete a job, its pictures and its words. Raises NoSuchJob."""
        with suppress(Unreadable):
            self.cancel(job)
        self._keeper.forget(job)

    def keep_upload(self, data: bytes) -> Path:
        """Keep a picture that a request is to name; swept when no job reads it.

        Where room is short, that is no job that has yet to end. Raises QueueFull where there are too many.
        """
        return self._keeper.keep_upload(data)

    def load(self) -> Mapping[str, float | int]:
        """How busy it is: jobs ``queued`` and ``running``, ``rows`` of a forward pass and pictures
        ``a_minute`` lately, bytes of ``memory`` in all and of ``models``.
        """
        jobs, worker = self._board.jobs(), self._worker
        running = sum(job.started is not None for job in jobs)
        return {
            "queued": len(jobs) - running,
            "running": running,
            "rows": worker.meter.rows if worker else 0.0,
            "a_minute": worker.meter.pictures() if worker else 0,
            "memory": resident(),
            "models": worker.models if worker else 0,
        }

    def _recover(self) -> None:
        """Take up what was accepted and not ended; pictures that are on disk are not made again."""
        self.ledger.give_up_unreadable(time.time())
        for entry in self.ledger.unfinished():
            job = LiveJob.of(entry)
            for shot in job.shots:
                path = self._keeper.path(shot.id)
                if path.is_file():
                    shot.made, job.bytes = True, job.bytes + path.stat().st_size
                    job.waiting.remove(shot)
            if job.waiting:
                self._board.add(job)
            else:
                self._board.end(job, Status.DONE)
        self._keeper.sweep()


def _claim(folder: Path) -> int:
    """Lock the folder for this process; the system lets go of it when the process ends, however it does."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DarkroomError(f"cannot use '{folder}': {error.strerror}; choose another folder.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise DarkroomError(
            f"another Darkroom works in '{folder}'; stop it or choose another folder."
        ) from None
    return lock


def resident() -> int:
    """Bytes of memory that the process has now; the most that it ever had where the system tells no more."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
