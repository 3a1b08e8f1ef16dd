"""Explain: one picture being made, told so that a newcomer understands it."""

import asyncio
from dataclasses import replace
from typing import Any

from nicegui.element import Element

from darkroom.diffusion.grids import GRIDS
from darkroom.errors import DarkroomError
from darkroom.families.starter import DEFAULTS
from darkroom.studio.expanding import expanded
from darkroom.studio.request import Request
from darkroom.studio.threads import in_passing
from darkroom.web import story
from darkroom.web.controls import Box, Choice, Field, Press, said
from darkroom.web.form import LARGEST_SEED, as_typed
from darkroom.web.matrix import Matrix
from darkroom.web.models import ships
from darkroom.web.session import Session

FIRST = Request(
    prompt="a red cat wearing a hat on a beach",
    seed=7,
    steps=12,
    cfg_scale=3.0,
    sampler="dpmpp_2m",
    scheduler="trailing",
)


class View(Element, component="assets/watch.js"):
    """One of the views of a picture being made; all stand at the same step."""

    def __init__(self, part: str) -> None:
        super().__init__()
        said(self, part=part)


class Explain:
    """The place."""

    def __init__(self, session: Session) -> None:
        self.session = session
        kept = session.memory.get("explain")
        self.request = _read(kept) if kept else FIRST
        self.running: asyncio.Task[Any] | None = None
        with Box("story"):
            Box(tag="h2", words="How a picture comes out of noise")
            Box("lead", "p", story.LEAD)
            self._ask()
            with self._section("1", "Guess what is under the noise", story.GUESS):
                View("guess")
            with self._section("2", "Push towards the words", "") as section:
                with section:
                    self.guidance = Box(tag="p")
                View("guidance")
            with self._section("3", "Look at the right word", story.WORDS):
                View("words")
            with self._section("4", "Take the noise away by plan", story.CURVE):
                View("curve")
            self.scrubber = View("scrubber")
            with self._section("5", "Take good steps", story.SIDE):
                self.matrix = Matrix(session)
            Box("ends", words=story.ENDS)
        self.show()

    def _section(self, number: str, heading: str, words: str) -> Box:
        section = Box(tag="section")
        with section:
            said(Box(tag="h2", words=heading), data_number=number)
            if words:
                Box(tag="p", words=words)
        return section

    def _ask(self) -> None:
        request = self.request
        with Box("sheet ask"):
            self.prompt = Field("text", "Words", request.prompt, wait=0)
            self.prompt.on("enter", self.ask, args=[])
            self.press = Press("Show me", self.ask, "main", "play")
            with Box("more"):
                self.seed = Field("number", "Seed", request.seed, min=0, max=LARGEST_SEED, step=1)
                self.steps = Field("range", "Steps", request.steps, min=2, max=30, step=1)
                self.scale = Field("range", "Guidance", request.cfg_scale, min=1, max=10, step=0.5)
                names = {name: grid.label for name, grid in GRIDS.items()}
                self.scheduler = Choice("Scheduler", names, request.scheduler or "trailing")
        self.state = Box("small soft number").style("min-height: 20px; margin: 8px 4px 0")

    def ask(self) -> None:
        """Explain what the fields say."""
        try:
            asked = replace(
                as_typed(self.request),
                prompt=self.prompt.value,
                seed=int(self.seed.value),
                steps=int(self.steps.value),
                cfg_scale=float(self.scale.value),
                scheduler=self.scheduler.value,
            )
            (self.request,) = expanded(asked)
        except DarkroomError as error:
            self.session.say(str(error), bad=True)
            return
        self.show()

    def take(self, request: Request) -> None:
        """Explain a picture that was made."""
        if not ships(request.model) or request.guide != "cfg" or request.init_image:
            self.session.say("Explain tells of pictures that the starter made from words alone.")
            return
        request = replace(request, count=1).filled(**DEFAULTS)
        self.request = request = replace(request, steps=min(request.steps or 12, 60))
        names = ("seed", "steps", "cfg_scale", "scheduler")
        fields = (self.seed, self.steps, self.scale, self.scheduler)
        for name, field in zip(names, fields, strict=True):
            field.value = getattr(request, name)
        self.prompt.value = as_typed(request).prompt
        self.show()

    def show(self) -> None:
        """Make the picture again and tell of each step; an earlier one is left."""
        if self.running is not None:
            self.running.cancel()
        self.session.memory.keep("explain", self.request.to_json())
        self.guidance.says(story.GUIDANCE.format(scale=self.request.cfg_scale or 1))
        self.matrix.take(self.request)
        self.running = self.session.run(self._show(self.request))

    async def _show(self, request: Request) -> None:
        from darkroom.studio.explaining import explain
        from darkroom.web.telling import told

        loop, stopped = asyncio.get_running_loop(), False

        def progress(step: int, steps: int) -> None:
            if stopped:
                raise DarkroomError("this explanation was left.")
            loop.call_soon_threadsafe(self.state.says, f"Developing: step {step} of {steps}")

        self.state.says("Developing")
        try:
            work = in_passing("darkroom-explain", lambda: told(explain(request, progress)))
            said(self.scrubber, told=await asyncio.wrap_future(work))
        finally:
            stopped = True
        self.state.says("")


def _read(values: dict[str, Any]) -> Request:
    try:
        return Request.from_json(values)
    except DarkroomError:
        return FIRST
