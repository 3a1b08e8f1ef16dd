"""Server-sent events, and waiting for a job as long as its client does."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from fastapi import Request
from starlette.responses import StreamingResponse

from darkroom.server.desk import Desk, stopping
from darkroom.server.errors import Refused
from darkroom.studio.serving.jobs import Event, JobView, Status

BEAT = 15.0
"""Seconds of silence after which a stream shows that it lives."""
FAULT = "please report this."
"""How the service ends a sentence that says that it is to blame itself."""


class EventStream(StreamingResponse):
    """Server-sent events."""

    media_type = "text/event-stream"


def sent_event(kind: str, value: Any) -> bytes:
    """One event as it goes over the wire."""
    return f"event: {kind}\ndata: {json.dumps(value, ensure_ascii=False)}\n\n".encode()


async def beating(events: AsyncIterator[Event], beat: float = BEAT) -> AsyncIterator[Event | None]:
    """The events, and None after each silence of ``beat`` seconds."""
    pending: asyncio.Future[Event] | None = None
    try:
        while True:
            pending = pending or asyncio.ensure_future(anext(events))
            done, _ = await asyncio.wait({pending}, timeout=beat)
            if not done:
                yield None
                continue
            try:
                event = pending.result()
            except StopAsyncIteration:
                return
            pending = None
            yield event
    finally:
        if pending is not None:
            pending.cancel()
            await asyncio.wait({pending})
        await events.aclose()  # type: ignore[attr-defined]


async def waited(
    desk: Desk, request: Request, job: JobView, heard: Callable[[Event], None] | None = None
) -> JobView:
    """Wait for a job's end, telling ``heard`` of all that happens; a client that hangs up cancels it.

    Raises Refused where it failed, or the server stops first.
    """
    gone = asyncio.ensure_future(_gone(request))
    try:
        async with desk.waiting(job.id):
            follow = asyncio.ensure_future(_end_of(desk, job, heard))
            await asyncio.wait({follow, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not follow.done():
                follow.cancel()
                raise Refused("the client hung up.", 499)
            return ended_well(desk, follow.result())
    finally:
        gone.cancel()


def ended_well(desk: Desk, view: JobView) -> JobView:
    """The same. Raises Refused for a job that failed, with what it says, and where the server stops first."""
    if view.status is Status.CANCELLED and desk.stopping.is_set():
        raise stopping()
    if view.status is Status.FAILED:
        message = view.error or "the job failed."
        raise Refused(message, 500 if message.endswith(FAULT) else 422)
    return view


async def _end_of(desk: Desk, job: JobView, heard: Callable[[Event], None] | None) -> JobView:
    async with aclosing(desk.service.events(job.id)) as events:  # type: ignore[type-var]
        async for event in events:
            if heard is not None:
                heard(event)
            if event.kind == "ended":
                return event.view
    raise stopping()


async def _gone(request: Request) -> None:
    """Returns when the client has hung up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
