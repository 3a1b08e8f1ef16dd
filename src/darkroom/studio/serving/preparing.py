"""Requests made ready to be developed: their model at hand, in the state they want."""

from collections.abc import Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from darkroom.families.family import Model
from darkroom.studio.develop import fill, in_tiles, jobs_of, record
from darkroom.studio.engine import Job
from darkroom.studio.prompts import with_named_loras
from darkroom.studio.request import Record, Request
from darkroom.studio.serving.limits import Limits
from darkroom.studio.serving.live import LiveJob, Shot
from darkroom.studio.serving.stages import Stage, Stages


@dataclass(eq=False)
class Prepared:
    """A request whose ``model`` is at hand, as it is to encode and decode.

    ``jobs`` gives its pictures one after the other, good as long as the stage is in the state that it was
    ``since`` then.
    """

    stage: Stage
    since: float
    model: Model
    request: Request
    record: Record
    jobs: Iterator[Job]

    @property
    def kind(self) -> tuple[object, ...]:
        """Pictures of one kind take equally much memory."""
        return id(self.stage), self.request.precision, self.request.width, self.request.height


class Preparing:
    """Keeps what was prepared while its job lasts."""

    def __init__(self, stages: Stages, limits: Limits) -> None:
        self._stages, self._limits = stages, limits
        self._prepared: dict[tuple[LiveJob, int], Prepared] = {}
        self._named: WeakKeyDictionary[LiveJob, dict[int, Request]] = WeakKeyDictionary()

    def of(self, shot: Shot) -> Prepared | None:
        """The request of a job's next picture; None where its model is not ready. Raises DarkroomError."""
        key = shot.job, shot.request
        known = self._prepared.get(key)
        request = known.request if known else self._with_named(shot)
        stage = self._stages.of(request)
        if stage is None:
            return None
        filled = known.request if known else self._filled(request, stage)
        if not stage.ready(filled):
            return None
        if known is None or known.stage is not stage or known.since != stage.since:
            known = self._prepared[key] = self._prepare(shot, filled, stage)
        return known

    def _with_named(self, shot: Shot) -> Request:
        """Found once a job: it may have to wait for its model, and is asked for after every pass."""
        named = self._named.setdefault(shot.job, {})
        if shot.request not in named:
            named[shot.request] = with_named_loras(shot.job.entry.requests[shot.request])
        return named[shot.request]

    def _filled(self, request: Request, stage: Stage) -> Request:
        filled = fill(request, stage.loaded.model)
        self._limits.check_size(filled)
        return filled

    @staticmethod
    def _prepare(shot: Shot, filled: Request, stage: Stage) -> Prepared:
        hung, model = stage.hung(filled), in_tiles(stage.loaded.model, filled)
        shot.job.notices |= dict.fromkeys(hung.notices)
        places = [one.index for one in shot.job.waiting if one.request == shot.request]
        jobs = jobs_of(filled, model, hung, places)
        return Prepared(stage, stage.since, model, filled, record(filled, stage.loaded.digest), jobs)

    def drop_ended(self) -> None:
        """Let go of what no job needs, and of models that are to leave memory."""
        self._prepared = {
            key: one
            for key, one in self._prepared.items()
            if key[0].waiting and not key[0].ended and self._stages.has(one.stage)
        }
