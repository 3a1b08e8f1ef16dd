"""What the service says of the work it was given. Nothing here imports torch."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from darkroom.errors import DarkroomError
from darkroom.studio.request import Request

if TYPE_CHECKING:
    import numpy as np

Kind = Literal["queued", "started", "step", "preview", "ended"]


class Status(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether it stays so."""
        return self in (Status.DONE, Status.FAILED, Status.CANCELLED)


@dataclass(frozen=True, kw_only=True)
class JobView:
    """A job at one moment.

    ``id`` cannot be guessed. ``owner`` is empty for the local user, else the name of a token. ``requests``
    have plain choices made. ``position`` counts the jobs that come before it in the queue, and is None once
    it runs. ``step`` of ``steps`` network steps are done, a picture, on the mean of its pictures; both are 0
    until its model is known. ``seconds_left`` is None where nothing like it was measured. ``pictures`` of an
    ended job are the ids of those made, in order. ``error`` is one sentence. Times are Unix times. ``tag``
    is a free word of the door that it came by.
    """

    id: str
    owner: str
    status: Status
    requests: tuple[Request, ...]
    position: int | None
    step: int
    steps: int
    seconds_left: float | None
    pictures: tuple[str, ...]
    error: str | None
    notices: tuple[str, ...]
    created: float
    started: float | None
    ended: float | None
    tag: str


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something happened to a job: ``view`` is how it stands then.

    ``pixels`` is a preview of picture number ``picture``: uint8 (H, W, 3), what its clean signal is thought
    to be, cheaply decoded.
    """

    job: str
    kind: Kind
    view: JobView
    picture: int | None = None
    pixels: "np.ndarray | None" = None


class _TryLater(DarkroomError):
    """Not now; ``retry_after`` is in seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class QueueFull(_TryLater):
    """The service has as much work as it takes."""


class QuotaReached(_TryLater):
    """This owner has as much work here as one may have."""


class NoSuchJob(DarkroomError):
    """There is no job of this id, or no longer."""

    def __init__(self) -> None:
        super().__init__("there is no such job; it may have been deleted, so submit it again.")
