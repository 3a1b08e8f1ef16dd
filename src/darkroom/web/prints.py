"""The prints: jobs under way with their progress, and all pictures made, newest first."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from darkroom.errors import DarkroomError
from darkroom.studio.request import Request
from darkroom.studio.serving.jobs import JobView
from darkroom.web.controls import Box, Press, said
from darkroom.web.detail import compare, show_print
from darkroom.web.session import Session, data_url, pictures_of, source_of

if TYPE_CHECKING:
    from darkroom.web.create import Create

SHOWN = 60
"""Prints that are shown before one asks for more."""
HIDDEN_TAGS = ("page-live", "page-explain")
"""Jobs whose pictures are no prints."""


@dataclass(frozen=True)
class Print:
    """A picture that was made: the job, the picture's id and the request that makes it alone."""

    job: str
    picture: str
    request: Request


def prints_of(session: Session, limit: int) -> Iterator[Print]:
    """Pictures of ended jobs, newest first."""
    before: float | None = None
    while limit > 0:
        views = session.service.jobs(owner=session.owner, limit=100, before=before)
        for view in views:
            if view.status.ended and view.tag not in HIDDEN_TAGS:
                yield from (Print(view.id, picture, request) for picture, request in pictures_of(view))
        if len(views) < 100:
            return
        before = views[-1].created


class Prints:
    """The part of Create below the stage."""

    def __init__(self, session: Session, create: "Create") -> None:
        self.session, self.create = session, create
        self.shown, self.picked = SHOWN, list[Print]()
        self.comparing = False
        with Box("prints-head"):
            Box(tag="h2", words="Prints")
            self.hint = Box("small soft")
            with Box().style("margin-left: auto"):
                self.compare = Press("Compare two", self._turn_comparing, "bare", "compare")
        self.jobs = Box("prints")
        self.grid = Box("prints").style("margin-top: 12px")
        self.tiles: dict[str, Box] = {}
        self._fill()
        for view in session.service.jobs(owner=session.owner, limit=100):
            if not view.status.ended and view.tag not in HIDDEN_TAGS:
                self.watch(view)

    def _fill(self) -> None:
        self.grid.clear()
        self.tiles = {}
        with self.grid:
            for i, one in enumerate(prints_of(self.session, self.shown + 1)):
                if i == self.shown:
                    Press("Show more", self._more)
                    break
                self._tile(one)
            if not self.tiles:
                Box("none", words="Nothing yet. Press Develop, and what you make is kept here.")

    def _more(self) -> None:
        self.shown += SHOWN
        self._fill()

    def _tile(self, one: Print) -> None:
        tile = Box("print", "button")
        said(tile, type="button", aria_label=f"Print: {one.request.prompt}, seed {one.request.seed}")
        with tile:
            image = Box(tag="img")
            said(image, src=source_of(one.picture), alt="", loading="lazy")
            Box("under", words=one.request.prompt)
        tile.on("click", lambda: self._open(one), args=[])
        self.tiles[one.picture] = tile

    def _open(self, one: Print) -> None:
        if not self.comparing:
            show_print(self.session, one, self)
            return
        if one in self.picked:
            self.picked.remove(one)
            self.tiles[one.picture].classes(remove="picked")
            return
        self.picked.append(one)
        self.tiles[one.picture].classes("picked")
        if len(self.picked) == 2:
            compare(self.session, *self.picked)
            self._turn_comparing()

    def _turn_comparing(self) -> None:
        for one in self.picked:
            if one.picture in self.tiles:
                self.tiles[one.picture].classes(remove="picked")
        self.picked, self.comparing = [], not self.comparing
        self.compare.pressed(self.comparing)
        self.hint.says("Choose two prints." if self.comparing else "")

    def pick(self, one: Print) -> None:
        """Begin a comparison with this print."""
        if not self.comparing:
            self._turn_comparing()
        self._open(one)
        self.hint.says("Choose the other print.")

    def forget(self, job: str) -> None:
        """Delete a job and its pictures."""
        try:
            self.session.service.forget(job)
        except DarkroomError as error:
            self.session.say(str(error), bad=True)
        self._fill()

    def watch(self, view: JobView) -> None:
        """Show a job's progress until it has ended, then its prints."""
        with self.jobs:
            card = JobCard(self.session, view)

        async def follow() -> None:
            try:
                await card.follow()
            finally:
                card.box.delete()
            self._fill()

        self.session.run(follow())


class JobCard:
    """A job under way: a preview, how far it is, the time left, and a way to cancel it."""

    def __init__(self, session: Session, view: JobView) -> None:
        self.session, self.view = session, view
        self.box = Box("job")
        with self.box:
            with Box("mini"):
                self.image = Box(tag="img")
                said(self.image, alt="", src="data:,")
            with Box("grow"):
                Box("title", words=view.requests[0].prompt)
                self.words = Box("small soft number", words="Waiting")
                with Box("bar"):
                    self.bar = Box(tag="i").style("width: 0")
            Press("Cancel", self.cancel, drawing="close")

    def cancel(self) -> None:
        """Stop the job at its next step."""
        self.session.service.cancel(self.view.id)
        self.words.says("Stopping")

    async def follow(self) -> None:
        """Show what happens until it has ended. Raises DarkroomError with the job's own sentence."""
        async for event in self.session.service.events(self.view.id):
            self.view = event.view
            if event.pixels is not None and event.picture == 0:
                said(self.image, src=data_url(event.pixels))
            self.words.says(progress_words(event.view))
            if event.view.steps:
                self.bar.style(f"width: {100 * event.view.step / event.view.steps:.0f}%")
        if self.view.error:
            raise DarkroomError(self.view.error)
        for notice in self.view.notices:
            self.session.say(notice)


def progress_words(view: JobView) -> str:
    """Where a job stands, in words."""
    if view.position is not None:
        return f"Waiting: {view.position} before this one" if view.position else "Next in line"
    count = sum(request.count for request in view.requests)
    of = f"{count} pictures, " if count > 1 else ""
    left = f", {time_words(view.seconds_left)} left" if view.seconds_left is not None else ""
    return f"{of}step {view.step} of {view.steps or '?'}{left}"


def time_words(seconds: float) -> str:
    """ "12 s", "3 min"."""
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} min"
