"""The thread that computes: begins pictures, answers what all of them ask, finishes them, and again."""

import logging
import math
import threading
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from time import monotonic, perf_counter
from weakref import WeakSet

import torch
from torch import Tensor

from darkroom.errors import DarkroomError
from darkroom.studio.develop import fill, in_tiles, pixels
from darkroom.studio.engine import Job, group_of
from darkroom.studio.placement.precision import default_precision
from darkroom.studio.prompts import with_named_loras
from darkroom.studio.request import Picture, Request
from darkroom.studio.serving.batching import Batch, Pass, Seat, lacks_memory
from darkroom.studio.serving.board import Board
from darkroom.studio.serving.fairness import urgency
from darkroom.studio.serving.jobs import Status
from darkroom.studio.serving.limits import Limits
from darkroom.studio.serving.live import LiveJob, Shot
from darkroom.studio.serving.meter import Meter
from darkroom.studio.serving.pace import NOMINAL
from darkroom.studio.serving.preparing import Prepared, Preparing
from darkroom.studio.serving.room import Room
from darkroom.studio.serving.scribe import Scribe
from darkroom.studio.serving.stages import Stage, Stages

LOG = logging.getLogger("darkroom")
SHARE = 0.5
"""Between two passes one picture is begun or finished, and more while that takes less of a pass than this."""
MOST_ATTEMPTS = 8
"""How often a job may have been begun when the process was killed, before it is given up."""


@dataclass(eq=False)
class Taken:
    """A picture under way; ``charged`` are the seconds that its owner was charged for it."""

    shot: Shot
    prepared: Prepared
    seat: Seat
    charged: float


class Worker(threading.Thread):
    """Works off what the board has. No other thread touches models that are loaded."""

    def __init__(self, board: Board, scribe: Scribe, limits: Limits, stages: Stages, room: Room) -> None:
        super().__init__(name="darkroom-engine", daemon=True)
        self._board, self._scribe, self._limits, self._stages = board, scribe, limits, stages
        self.meter = Meter()
        self._batch = Batch(room)
        self._preparing = Preparing(stages, limits)
        self._taken: dict[Seat, Taken] = {}
        self._finished: deque[Taken] = deque()
        self._failed: WeakSet[LiveJob] = WeakSet()
        self._number = 0
        self._until = math.inf

    @property
    def models(self) -> int:
        """Bytes of the models in memory."""
        return self._stages.bytes

    def check(self, request: Request) -> None:
        """Raise DarkroomError for what a model that is in memory cannot do; any thread may ask."""
        named = with_named_loras(request)
        if stage := self._stages.known(named):
            filled = fill(named, stage.loaded.model)
            in_tiles(stage.loaded.model, filled)
            self._limits.check_size(filled)

    def halt(self, drain: float) -> None:
        """Begin nothing more, and end when what is under way is done, or after ``drain`` seconds."""
        self._until = monotonic() + drain
        self._board.changed.set()

    def run(self) -> None:
        while not self._over():
            self._board.changed.clear()
            self._drop_unwanted()
            seconds = self._forward()
            if not self._pieces(seconds * SHARE) and not seconds and not self._over():
                self._board.changed.wait()
        self._stages.close()

    def _over(self) -> bool:
        if self._until == math.inf:
            return False
        return monotonic() > self._until or not (self._taken or self._finished)

    # answering

    def _forward(self) -> float:
        """One pass; returns its seconds."""
        done = self._batch.turn()
        if done is None:
            return 0.0
        self._measure(done)
        for seat, error in done.failed:
            self._fail(self._taken[seat].shot.job, error)
        for job in self._advanced(done):
            self._board.publish(job, "step")
        return max(done.seconds, 1e-6)

    def _measure(self, done: Pass) -> None:
        """Learn how fast it goes, and now and then say how long all will take."""
        self.meter.passed(done.rows)
        if done.answered and done.rows:
            request = self._taken[done.answered[0]].prepared.request
            self._board.pace.learn(request, done.rows, done.seconds)
        self._board.foretell()

    def _advanced(self, done: Pass) -> dict[LiveJob, None]:
        """The jobs of which pictures went on."""
        jobs: dict[LiveJob, None] = {}
        for seat in done.answered:
            taken = self._taken[seat]
            shot, jobs[taken.shot.job] = taken.shot, None
            shot.answered, shot.questions = seat.job.answered, max(shot.questions, seat.job.answered)
            if seat.job.done:
                self._finished.append(taken)
        return jobs

    # beginning and finishing

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
            if not self._unwanted(taken.shot.job):
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
        (image,) = pixels(prepared.model, job.result)
        self.meter.finished()
        self._scribe.save(shot, Picture(image, prepared.record.single(shot.index)))

    def _begin_one(self) -> bool:
        """Begin the picture that comes next, if there is one that can be."""
        if self._until != math.inf:
            return False
        now = time.time()
        for job in self._board.order(now):
            if job.ended or not job.waiting or not self._has_room(job, now):
                continue
            try:
                if self._begin(job, now):
                    return True
            except Exception as error:
                self._fail(job, error)
                return True
        return False

    def _has_room(self, job: LiveJob, now: float) -> bool:
        """Whether one more may be under way; the most urgent always may, and goes before the others."""
        if self._batch.rows < self._limits.rows:
            return True
        return all(urgency(job, now) > taken.seat.urgency for taken in self._taken.values())

    def _fits(self, prepared: Prepared, urgent: int) -> bool:
        """Whether a pass has room for one more of its kind, or it goes before all of them."""
        seats = [taken.seat for taken in self._taken.values() if taken.prepared.kind == prepared.kind]
        seats = [seat for seat in seats if seat.answers]
        if all(urgent > seat.urgency for seat in seats):
            return True
        most = self._batch.room.most(group_of(seats[0].job, seats[0].job.queries[0]))
        return sum(len(seat.answers) for seat in seats) < most

    def _begin(self, job: LiveJob, now: float) -> bool:
        """Begin the next picture of a job; False where it must wait for its model or for room."""
        shot = job.waiting[0]
        prepared = self._preparing.of(shot)
        if prepared is None or not self._fits(prepared, urgency(job, now)):
            return False
        if job.started is None:
            if job.entry.attempts >= MOST_ATTEMPTS:
                raise DarkroomError(
                    "this job was begun again and again and never ended; ask for less at once."
                )
            self._scribe.begin(job)
            self._board.start(job)
        job.waiting.popleft()
        self._take(shot, prepared, next(prepared.jobs), urgency(job, now))
        return True

    def _take(self, shot: Shot, prepared: Prepared, picture: Job, urgent: int) -> None:
        """A picture is under way from now on."""
        pace, owner, every = self._board.pace, shot.job.entry.owner, shot.job.entry.previews
        shot.questions = picture.questions
        if every:
            picture.on_step = partial(self._preview, shot, prepared.stage, every)
        self._number += 1
        charged = pace.work(prepared.request, picture.questions) or NOMINAL
        defaults = prepared.stage.loaded.model.defaults
        pace.defaults[prepared.request.model] = {**defaults, "precision": default_precision()}
        seat = self._batch.join(picture, urgent, self._number)
        self._board.fairness.charge(owner, charged)
        self._taken[seat] = Taken(shot, prepared, seat, charged)
        prepared.stage.users += 1
        if picture.done:
            self._finished.append(self._taken[seat])

    def _preview(self, shot: Shot, stage: Stage, every: int, job: Job, x0: Tensor) -> None:
        """Show an estimate at every so many steps, but for the last, which is soon there itself."""
        if job.answered % every == 0 and job.answered < job.questions and self._board.is_watched(shot.job):
            self._board.publish(shot.job, "preview", shot.place, stage.previews.show(x0))

    # leaving

    def _drop_unwanted(self) -> None:
        for taken in [one for one in self._taken.values() if self._unwanted(one.shot.job)]:
            self._batch.leave(taken.seat)
            if taken not in self._finished:
                self._release(taken)
        self._preparing.drop_ended()

    def _unwanted(self, job: LiveJob) -> bool:
        """Whether it has ended, or will as soon as that can be written."""
        return job.ended or job in self._failed

    def _release(self, taken: Taken) -> None:
        """A picture is no longer under way; its owner is charged what it took."""
        if self._taken.pop(taken.seat, None):
            taken.prepared.stage.users -= 1
            self._board.fairness.charge(taken.shot.job.entry.owner, taken.seat.seconds - taken.charged)

    def _fail(self, job: LiveJob, error: Exception) -> None:
        """Let go of a job that went wrong; the scribe ends it, in one sentence."""
        if not isinstance(error, DarkroomError):
            LOG.error("a job failed", exc_info=error)
        self._failed.add(job)
        job.waiting.clear()
        self._scribe.end(job, Status.FAILED, sentence(error))


def sentence(error: Exception) -> str:
    """What to tell a user of an error, in one line."""
    if isinstance(error, DarkroomError):
        return str(error)
    if lacks_memory(error):
        return "there is not enough memory for this picture; ask for a smaller one."
    told = " ".join(str(error).split())[:200]
    return f"the picture could not be made ({type(error).__name__}: {told}); please report this."
