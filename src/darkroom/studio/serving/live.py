"""Jobs that have not ended, as the process has them in memory. Nothing here imports torch."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from darkroom.studio.request import Request
from darkroom.studio.serving.jobs import JobView, Status
from darkroom.studio.serving.ledger import Entry


@dataclass(eq=False, slots=True)
class Shot:
    """One picture of a job: number ``place`` of the job, number ``index`` of its request.

    Of ``questions`` that its sampler asks ``answered`` are answered.
    """

    job: "LiveJob"
    place: int
    request: int
    index: int
    id: str
    questions: int = 0
    answered: int = 0
    made: bool = False

    @property
    def share(self) -> float:
        """How much of it is done."""
        return 1.0 if self.made else min(self.answered / self.questions, 1.0) if self.questions else 0.0


@dataclass(eq=False)
class LiveJob:
    """A job that has not ended. ``waiting`` are pictures that nobody began, in order."""

    entry: Entry
    shots: tuple[Shot, ...] = ()
    waiting: deque[Shot] = field(default_factory=deque)
    started: float | None = None
    notices: dict[str, None] = field(default_factory=dict)
    bytes: int = 0
    seconds_left: float | None = None
    ending: bool = False
    ended: bool = False

    @staticmethod
    def of(entry: Entry) -> "LiveJob":
        """A job with all its pictures before it."""
        job = LiveJob(entry)
        ids = iter(entry.pictures)
        job.shots = tuple(
            Shot(job, place, request, index, next(ids))
            for place, (request, index) in enumerate(_places(entry.requests))
        )
        job.waiting = deque(job.shots)
        return job

    @property
    def id(self) -> str:
        return self.entry.id

    @property
    def steps(self) -> int:
        """Those of the picture that has most."""
        return max(shot.questions for shot in self.shots)

    @property
    def made(self) -> tuple[str, ...]:
        """Ids of the pictures that are on disk, in order."""
        return tuple(shot.id for shot in self.shots if shot.made)

    def view(self, position: int | None) -> JobView:
        """As it stands."""
        entry, share = self.entry, sum(shot.share for shot in self.shots) / len(self.shots)
        return JobView(
            id=entry.id,
            owner=entry.owner,
            status=Status.QUEUED if self.started is None else Status.RUNNING,
            requests=entry.requests,
            position=position,
            step=int(share * self.steps + 1e-9),
            steps=self.steps,
            seconds_left=self.seconds_left,
            pictures=(),
            error=None,
            notices=tuple(self.notices),
            created=entry.created,
            started=self.started,
            ended=None,
            tag=entry.tag,
        )


def view_of(entry: Entry) -> JobView:
    """A job that has ended, as the ledger has it."""
    return JobView(
        id=entry.id,
        owner=entry.owner,
        status=entry.status,
        requests=entry.requests,
        position=None,
        step=entry.steps if entry.status is Status.DONE else 0,
        steps=entry.steps,
        seconds_left=None,
        pictures=entry.made,
        error=entry.error,
        notices=entry.notices,
        created=entry.created,
        started=entry.started,
        ended=entry.ended,
        tag=entry.tag,
    )


def _places(requests: tuple[Request, ...]) -> Iterator[tuple[int, int]]:
    """(number of the request, number of the picture in it) of each picture of a job."""
    return ((i, k) for i, request in enumerate(requests) for k in range(request.count))
