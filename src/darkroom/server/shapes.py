"""What our own API says, as its clients read it."""

from typing import Any

from pydantic import BaseModel, Field

from darkroom.server.wishes import told
from darkroom.studio.serving.jobs import JobView


class Fault(BaseModel):
    """What was wrong, in one sentence; ``field`` is what it is about, where that is known."""

    code: str
    message: str
    field: str | None = None


class ErrorTold(BaseModel):
    """Every refusal has this shape."""

    error: Fault


class PictureTold(BaseModel):
    """A picture that was made: ``url`` is where it lies on this server."""

    id: str
    url: str


class JobTold(BaseModel):
    """A job at one moment. ``position`` 0 is next; ``requests`` are what came of the wish."""

    id: str
    status: str = Field(description="queued, running, done, failed or cancelled")
    position: int | None
    step: int
    steps: int
    seconds_left: float | None
    pictures: list[PictureTold]
    error: str | None
    notices: list[str]
    created: float
    started: float | None
    ended: float | None
    tag: str
    requests: list[dict[str, Any]]


class UploadTold(BaseModel):
    """A picture that was sent: its id stands for it in wishes. ``infotext`` is what it says made it."""

    id: str
    width: int
    height: int
    infotext: str | None


class RecordTold(BaseModel):
    """What made a picture: for programs, and as A1111 writes it."""

    requests: list[dict[str, Any]]
    model_hash: str
    version: str
    infotext: str


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorTold, "description": text}
    for status, text in {
        400: "The request cannot be read.",
        401: "The token is missing or wrong.",
        403: "A page of another origin asked.",
        404: "There is no such thing.",
        413: "The request is too large.",
        422: "A value cannot be had; the message says which, and what to do.",
        429: "The queue is full, or this token has enough in it; Retry-After says when to come back.",
        503: "The server is stopping.",
    }.items()
}


def job_told(view: JobView) -> JobTold:
    """A job as clients see it: names, and no path of this machine."""
    return JobTold(
        id=view.id,
        status=view.status.value,
        position=view.position,
        step=view.step,
        steps=view.steps,
        seconds_left=view.seconds_left,
        pictures=[PictureTold(id=one, url=f"/api/pictures/{one}") for one in view.pictures],
        error=view.error,
        notices=list(view.notices),
        created=view.created,
        started=view.started,
        ended=view.ended,
        tag=view.tag,
        requests=[told(request) for request in view.requests],
    )
