"""The thread that computes: begins pictures, answers what all of them ask, finishes them, and again."""

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import torch
from torch import Tensor

from darkroom.diffusion.guidance import Query
from darkroom.errors import DarkroomError
from darkroom.studio.develop import fill, jobs_of, pixels, record
from darkroom.studio.engine import Job
from darkroom.studio.prompts import with_named_loras
from darkroom.studio.request import Picture, Record, Request
from darkroom.studio.serving.batching import Batch, Pass, Seat
from darkroom.studio.serving.board import Board
from darkroom.studio.serving.fairness import Fairness, urgency
from darkroom.studio.serving.jobs import Status
from darkroom.studio.serving.limits import Limits
from darkroom.studio.serving.live import LiveJob, Shot
from darkroom.studio.serving.previews import Previews
from darkroom.studio.serving.scribe import Scribe
from darkroom.studio.serving.stages import Stage, Stages

LOG = logging.getLogger("darkroom")
SHARE = 0.5
"""Between two passes one picture is begun or finished, and more while that takes less of a pass than this."""
MOST_ATTEMPTS = 3
"""How often a job may end the process before it is given up."""


@dataclass(eq=False)
class Prepared:
    """A request whose model is at hand: ``jobs`` gives its pictures one after the other."""

    stage: Stage
    request: Request
    record: Record
    jobs: Iterator[Job]


@dataclass(eq=False)
class Taken:
    """A picture under way."""

    shot: Shot
    prepared: Prepared
    seat: Seat
    charged: float = 0.0


class Worker(threading.Thread):
    """Works off what the board has. One thread alone touches models."""

    def __init__(self, board: Board, scribe: Scribe, limits: Limits, memory: int) -> None:
        super().__init__(name="darkroom-engine", daemon=True)
        self._board, self._scribe, self._limits = board, scribe, limits
        self.stages = Stages(limits.models or memory // 2, board.changed.set)
        self._batch = Batch(self._most_rows)
        self._fairness = Fairness()
        self._prepared: dict[tuple[LiveJob, int], Prepared] = {}
        self._taken: dict[Seat, Taken] = {}
        self._finished: deque[Taken] = deque()
        self._previews: dict[int, Previews] = {}
        self._number = 0
        self._until = float("inf")

    def halt(self, drain: float) -> None:
        """Begin nothing more, and end when what is under way is done, or after ``drain`` seconds."""
        self._until = time.monotonic() + drain
        self._board.changed.set()

    def run(self) -> None:
        while not self._over():
            self._board.changed.clear()
            self._drop_unwanted()
            seconds = self._forward()
            if not self._pieces(seconds * SHARE) and not seconds and not self._over():
                self._board.changed.wait()
        self.stages.close()

    def _over(self) -> bool:
        if self._until == float("inf"):
            return False
        return time.monotonic() > self._until or not (self._taken or self._finished)

    # -- answering ----------------------------------------------------------------------------------------

    def _forward(self) -> float:
        """One pass; returns its seconds."""
        done = self._batch.turn()
        if done is None:
            return 0.0
        for seat, error in done.failed:
            self._fail(self._taken[seat].shot.job, error)
        for job in self._advanced(done):
            self._board.publish(job, "step")
        return max(done.seconds, 1e-6)

    def _advanced(self, done: Pass) -> dict[LiveJob, None]:
        """The jobs of which pictures went on."""
        jobs: dict[LiveJob, None] = {}
        for seat in done.answered:
            taken = self._taken.get(seat)
            if taken is None or taken.shot.job.ended:
                continue
            shot, jobs[taken.shot.job] = taken.shot, None
            shot.answered, shot.questions = seat.job.answered, max(shot.questions, seat.job.answered)
            if seat.job.done:
                self._finished.append(taken)
        return jobs

    def _most_rows(self, job: Job, query: Query) -> int:
        return self._limits.rows

    # -- beginning and finishing --------------------------------------------------------------------------

    def _pieces(self, seconds: float) -> bool:
        """Finish and begin pictures for so long, at least one; says whether there was any."""
        start, some = perf_counter(), False
        while self._finish_one() or self._begin_one():
            some = True
            if perf_counter() - start >= seconds and self._batch.seats:
                break
        return some

    def _finish_one(self) -> bool:
        if not self._finished:
            return False
        taken = self._finished.popleft()
        try:
            if not taken.shot.job.ended:
                self._finish(taken)
        except Exception as error:
            self._fail(taken.shot.job, error)
        self._release(taken)
        return True

    def _finish(self, taken: Taken) -> None:
        job, shot, prepared = taken.seat.job, taken.shot, taken.prepared
        assert job.result is not None
        if not torch.isfinite(job.result).all():
            raise DarkroomError(
                "the picture came out as no numbers at all; try fewer steps, less guidance or float32."
            )
        (image,) = pixels(prepared.stage.loaded.model, job.result)
        self._scribe.save(shot, Picture(image, prepared.record.single(shot.index)))

    def _begin_one(self) -> bool:
        """Begin the picture that comes next, if there is one that can be."""
        if self._until != float("inf"):
            return False
        now = time.time()
        jobs = [job for job in self._board.jobs() if job.waiting]
        for job in self._fairness.order(jobs, now):
            if job.ended or not self._room(job, now):
                continue
            try:
                if self._begin(job, now):
                    return True
            except Exception as error:
                self._fail(job, error)
                return True
        return False

    def _room(self, job: LiveJob, now: float) -> bool:
        """Whether one more may be under way; a more urgent one always, before the others."""
        if len(self._taken) < self._limits.rows:
            return True
        return all(urgency(job, now) > -taken.seat.rank[0] for taken in self._taken.values())

    def _begin(self, job: LiveJob, now: float) -> bool:
        """Begin the next picture of a job; False where its model is not ready for it."""
        shot = job.waiting[0]
        prepared = self._prepare(job, shot)
        if prepared is None:
            return False
        if job.started is None:
            if job.entry.attempts >= MOST_ATTEMPTS:
                raise DarkroomError("the process ended three times on this job; ask for less at once.")
            self._scribe.begin(job)
            self._board.start(job)
        job.waiting.popleft()
        engine_job = next(prepared.jobs)
        shot.questions = engine_job.questions
        if job.entry.previews:
            engine_job.on_step = partial(self._preview, shot, prepared.stage, job.entry.previews)
        self._number += 1
        rank = -float(urgency(job, now)), float(self._number)
        seat = self._batch.join(engine_job, rank)
        taken = self._taken[seat] = Taken(shot, prepared, seat)
        prepared.stage.users += 1
        if engine_job.done:
            self._finished.append(taken)
        return True

    def _prepare(self, job: LiveJob, shot: Shot) -> Prepared | None:
        """The request of a picture, ready to give it; None where its model is not."""
        key = job, shot.request
        if key in self._prepared:
            prepared = self._prepared[key]
            return prepared if prepared.stage.ready(prepared.request) else None
        request = with_named_loras(job.entry.requests[shot.request])
        stage = self.stages.of(request)
        if stage is None:
            return None
        filled = fill(request, stage.loaded.model)
        self._limits.check_size(filled)
        if not stage.ready(filled):
            return None
        hung = stage.hung(filled)
        job.notices |= dict.fromkeys(hung.notices)
        places = [one.index for one in job.waiting if one.request == shot.request]
        jobs = jobs_of(filled, stage.loaded.model, hung, places)
        self._prepared[key] = Prepared(stage, filled, record(filled, stage.loaded.digest), jobs)
        return self._prepared[key]

    def _preview(self, shot: Shot, stage: Stage, every: int, job: Job, x0: Tensor) -> None:
        """Show an estimate at every so many steps, but for the last, which is soon there itself."""
        if job.answered % every or job.answered >= job.questions:
            return
        previews = self._previews.setdefault(id(stage), Previews(stage.loaded.model))
        self._board.publish(shot.job, "preview", shot.place, previews.show(x0))

    # -- leaving ------------------------------------------------------------------------------------------

    def _drop_unwanted(self) -> None:
        for taken in [one for one in self._taken.values() if one.shot.job.ended]:
            self._batch.leave(taken.seat)
            if taken not in self._finished:
                self._release(taken)
        self._prepared = {key: one for key, one in self._prepared.items() if not key[0].ended}

    def _release(self, taken: Taken) -> None:
        """A picture is no longer under way."""
        if self._taken.pop(taken.seat, None):
            taken.prepared.stage.users -= 1

    def _fail(self, job: LiveJob, error: Exception) -> None:
        """End a job that went wrong, in one sentence."""
        if not isinstance(error, DarkroomError):
            LOG.error("a job failed", exc_info=error)
        self._board.end(job, Status.FAILED, sentence(error))


def sentence(error: Exception) -> str:
    """What to tell a user of an error, in one line."""
    if isinstance(error, DarkroomError):
        return str(error)
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error):
        return "there is not enough memory for this picture; ask for a smaller one."
    told = " ".join(str(error).split())[:200]
    return f"the picture could not be made ({type(error).__name__}: {told}); please report this."
