"""Our own API: jobs."""

import base64
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from darkroom.server.desk import Caller, Desk, OurDesk
from darkroom.server.sent import Sent
from darkroom.server.shapes import PROBLEMS, JobTold, job_told
from darkroom.server.streams import EventStream, beating, sent_event
from darkroom.server.views import preview_png
from darkroom.server.wishes import Wish, requests_of
from darkroom.studio.serving.jobs import Event

router = APIRouter(prefix="/api/jobs", tags=["jobs"], responses=PROBLEMS)

JobId = Annotated[str, Path(pattern=r"^[\w-]{1,64}$", description="As POST /api/jobs gave it.")]
TAG = "api"


class JobWish(Sent, Wish):
    """A wish, and how it is to be worked on."""

    previews: int = Field(0, ge=0, le=1000, description="A preview every so many steps; 0: none.")
    latest: str | None = Field(
        None, max_length=100, description="A newer job of the same name here overtakes this one."
    )


@router.post("", status_code=202)
def submit(
    wish: JobWish,
    desk: OurDesk,
    owner: Caller,
    response: Response,
    idempotency_key: Annotated[
        str | None, Header(max_length=200, description="The same key again gives the same job again.")
    ] = None,
) -> JobTold:
    """Ask for pictures. Returns at once; the job says how it goes on."""
    plain = Wish.model_validate(wish.model_dump(exclude={"previews", "latest"}))
    view = desk.submit(
        requests_of(plain, desk, owner),
        owner=owner,
        tag=TAG,
        previews=wish.previews,
        latest=wish.latest,
        key=idempotency_key,
    )
    response.headers["Location"] = f"/api/jobs/{view.id}"
    return job_told(view)


@router.get("")
def jobs(
    desk: OurDesk,
    owner: Caller,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    before: Annotated[float | None, Query(allow_inf_nan=False, description="Unix time: older ones.")] = None,
) -> list[JobTold]:
    """Your jobs, the newest first."""
    return [job_told(view) for view in desk.service.jobs(owner=owner, limit=limit, before=before)]


@router.get("/{job}")
def job(job: JobId, desk: OurDesk, owner: Caller) -> JobTold:
    """How a job stands."""
    return job_told(desk.job(owner, job))


@router.post("/{job}/cancel")
def cancel(job: JobId, desk: OurDesk, owner: Caller) -> JobTold:
    """Stop a job at its next step; one that has ended stays as it is."""
    return job_told(desk.service.cancel(desk.job(owner, job).id))


@router.delete("/{job}", status_code=204)
def forget(job: JobId, desk: OurDesk, owner: Caller) -> None:
    """Delete a job and its pictures."""
    desk.service.forget(desk.job(owner, job).id)


@router.get(
    "/{job}/events",
    response_class=StreamingResponse,  # of no type, so that problems are described as JSON
    responses={200: {"content": {EventStream.media_type: {}}, "description": "The events."}},
)
async def events(job: JobId, desk: OurDesk, owner: Caller) -> EventStream:
    """What happens to a job, as server-sent events: queued, started, step, preview, ended.

    Each holds the job; a preview has ``picture``, the number of a picture, and ``png``, how it looks now.
    """
    view = await run_in_threadpool(desk.job, owner, job)
    return EventStream(_events(desk, view.id))


async def _events(desk: Desk, job: str) -> AsyncIterator[bytes]:
    async for event in beating(desk.service.events(job)):
        if event is None:
            yield b": still here\n\n"
        else:
            yield sent_event(event.kind, await _told(event))


async def _told(event: Event) -> dict[str, Any]:
    told: dict[str, Any] = {"job": job_told(event.view).model_dump()}
    if event.pixels is not None:
        png = await run_in_threadpool(preview_png, event.pixels)
        told |= {"picture": event.picture, "png": base64.b64encode(png).decode()}
    return told
