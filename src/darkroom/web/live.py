"""Live redraw: a pause in typing or a move of a slider, and the picture develops; the newest wish wins."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from time import perf_counter

from darkroom.errors import DarkroomError
from darkroom.studio.request import Request
from darkroom.studio.serving.jobs import JobView
from darkroom.web.controls import Stage
from darkroom.web.session import Session, data_url, source_of

PAUSE = 0.2
"""Seconds without a change before a picture is asked for."""
DRAFT_STEPS = 5
"""Steps of the first, quick picture: enough to see where it goes."""
TAG = "page-live"
"""Live pictures are no prints: they are forgotten when the next one is there."""


class Live:
    """Draws what ``wish`` asks for on a stage: a draft in a few steps first, then the whole.

    ``wish`` gives the request, or None where there is nothing to draw.
    """

    def __init__(self, session: Session, stage: Stage, wish: Callable[[], Request | None]) -> None:
        self.session, self.stage, self.wish = session, stage, wish
        self.running: asyncio.Task[None] | None = None
        self.jobs: list[str] = []
        session.client.on_delete(self._forget)

    def touch(self, pause: float = PAUSE) -> None:
        """Something changed: draw again after a pause."""
        if self.running is not None:
            self.running.cancel()
        self.running = self.session.run(self._redraw(pause))

    def stop(self) -> None:
        """Draw no further; what is there stays."""
        if self.running is not None:
            self.running.cancel()
        self.stage.finish()

    async def _redraw(self, pause: float) -> None:
        await asyncio.sleep(pause)
        try:
            if (request := self.wish()) is not None:
                await self._draw(request)
        except DarkroomError as error:  # words that are half typed often make none yet: no cause for alarm
            self.stage.finish()
            self.stage.says(str(error)[:1].upper() + str(error)[1:])

    async def _draw(self, request: Request) -> None:
        began = perf_counter()
        if (request.steps or 0) > 2 * DRAFT_STEPS:
            await self._develop(replace(request, steps=DRAFT_STEPS), "Draft")
        view = await self._develop(request, "Developing")
        if view is not None:
            self.stage.says(f"{view.steps} steps in {perf_counter() - began:.1f} s, seed {request.seed}")

    async def _develop(self, request: Request, words: str) -> JobView | None:
        """One picture on the stage; None where a newer one overtook it."""
        service, session = self.session.service, self.session
        view = session.submit([request], previews=1, tag=TAG, latest=f"page {session.client.id}")
        self.jobs.append(view.id)
        self.stage.begin(request.steps or 0, (request.width or 1) / (request.height or 1))
        async for event in service.events(view.id):
            view = event.view
            if event.kind == "queued" and view.position:
                self.stage.says(f"Waiting: {view.position} before this one")
            if event.kind == "preview" and event.pixels is not None:
                self.stage.frame(view.step, data_url(event.pixels))
                self.stage.says(f"{words}: step {view.step} of {view.steps}")
        return self._ended(view, request)

    def _ended(self, view: JobView, request: Request) -> JobView | None:
        if view.error:
            raise DarkroomError(view.error)
        if not view.pictures:
            return None
        self.stage.finish(source_of(view.pictures[0]), request.prompt, view.steps)
        self._forget(but=view.id)
        return view

    def _forget(self, but: str = "") -> None:
        """Delete what is no longer on the stage."""
        for job in self.jobs:
            if job != but:
                with suppress(DarkroomError):
                    self.session.service.forget(job)
        self.jobs = [but] if but else []
