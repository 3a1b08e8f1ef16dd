"""Samplers and step counts side by side, all from one seed: a job like any other."""

import asyncio
import json
from dataclasses import replace
from typing import Any

from darkroom.diffusion.samplers import SAMPLERS
from darkroom.errors import DarkroomError
from darkroom.studio.request import Request
from darkroom.studio.serving.jobs import JobView, Status
from darkroom.web.controls import Box, Press, said
from darkroom.web.form import as_typed
from darkroom.web.jobcard import progress_words
from darkroom.web.session import Session, data_url, source_of

WAYS = ("euler", "euler_a", "heun", "dpmpp_2m", "unipc")
STEPS = (1, 2, 4, 8, 16, 32)
TAG = "page-explain"


class Matrix:
    """The table, and the button that fills it."""

    def __init__(self, session: Session) -> None:
        self.session, self.ways = session, [name for name in WAYS if name in SAMPLERS]
        self.request: Request | None = None
        self.job: str | None = None
        self.running: asyncio.Task[Any] | None = None
        with Box("row").style("margin-bottom: 18px"):
            self.press = Press("Make all of them", self.make, drawing="grid")
            self.stop = Press("Cancel", self.cancel, "bare", "close")
            self.words = Box("small soft number")
        self.stop.set_visibility(False)
        self.table = Box("matrix")
        columns = f"96px repeat({len(STEPS)}, minmax(0, 1fr))"
        self.table.style(f"grid-template-columns: {columns}; --columns: {len(STEPS)}")
        self.cells: list[Box] = []
        self._lay()

    def _lay(self) -> None:
        with self.table:
            Box("head")
            for steps in STEPS:
                Box("head number", words=f"{steps} step{'s' if steps > 1 else ''}")
            for name in self.ways:
                with Box("side"):
                    Box(words=SAMPLERS[name].label)
                    calls = SAMPLERS[name].calls
                    Box(tag="span", words="1 guess a step" if calls == 1 else f"{calls} guesses a step")
                for _ in STEPS:
                    with Box("blank") as cell:
                        self.cells.append(cell)

    def take(self, request: Request) -> None:
        """What to make; the table shows the pictures of the last time, if it was the same."""
        before, self.request = self.request, request
        if before is not None and shared(before) != shared(request):
            self._clear()
        kept = self.session.memory.get("matrix") or {}
        if kept.get("shared") == shared(request):
            try:
                view = self.session.service.view(kept["job"])
            except DarkroomError:
                return
            self._follow(view)

    def _clear(self) -> None:
        """Leave the pictures of another request, and what is still being made of it."""
        if self.running is not None:
            self.running.cancel()
            self.cancel()
        self.running = self.job = None
        self.words.says("")
        for cell in self.cells:
            cell.clear()

    def make(self) -> None:
        """Submit all."""
        assert self.request is not None
        request = as_typed(self.request)
        requests = [replace(request, sampler=name, steps=steps) for name in self.ways for steps in STEPS]
        latest = f"{TAG} {self.session.client.id}"
        try:
            view = self.session.submit(requests, tag=TAG, previews=2, latest=latest)
        except DarkroomError as error:
            self.session.say(str(error), bad=True)
            return
        self.session.memory.keep("matrix", {"job": view.id, "shared": shared(self.request)})
        self._follow(view)

    def cancel(self) -> None:
        """Stop the job."""
        if self.job:
            self.session.service.cancel(self.job)

    def _follow(self, view: JobView) -> None:
        if self.running is not None:
            self.running.cancel()
        self.job = view.id
        self.running = self.session.run(self._watch(view))

    async def _watch(self, view: JobView) -> None:
        self.press.enabled(False)
        self.stop.set_visibility(True)
        try:
            async for event in self.session.service.events(view.id):
                view = event.view
                if event.pixels is not None and event.picture is not None:
                    self._show(event.picture, data_url(event.pixels))
                self.words.says(progress_words(view))
        finally:
            self.press.enabled(True)
            self.stop.set_visibility(False)
        self.words.says("" if view.status is Status.DONE else view.error or "Cancelled.")
        if view.status is Status.DONE:
            for i, picture in enumerate(view.pictures):
                self._show(i, source_of(picture))

    def _show(self, place: int, source: str) -> None:
        cell = self.cells[place]
        if not cell.default_slot.children:
            with cell:
                said(Box(tag="img"), alt="", src=source)
        said(cell.default_slot.children[0], src=source)


def shared(request: Request) -> dict[str, Any]:
    """What all pictures of the table have from a request."""
    values = json.loads(json.dumps(request.to_json()))  # as it is remembered
    return {name: value for name, value in values.items() if name not in ("sampler", "steps")}
