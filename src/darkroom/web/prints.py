"""Prints: jobs under way with their progress, and the pictures that were made, newest first."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from darkroom.studio.request import Request
from darkroom.studio.serving.jobs import JobView
from darkroom.web.controls import Box, Press, said
from darkroom.web.jobcard import JobCard
from darkroom.web.session import Session, pictures_of, source_of

SHOWN = 48
"""Prints that are shown before one asks for more."""
PAGE = 100
HIDDEN_TAGS = ("page-live", "page-explain")
"""Jobs whose pictures are no prints."""
EDIT_TAG = "page-edit"


@dataclass(frozen=True)
class Print:
    """A picture that was made: the job, the picture's id and the request that makes it alone.

    ``of`` is how many pictures the job made.
    """

    job: str
    picture: str
    request: Request
    of: int = 1


Shows = Callable[[JobView], bool]


def any_print(view: JobView) -> bool:
    """Whether a job's pictures are prints."""
    return view.tag not in HIDDEN_TAGS


def edited(view: JobView) -> bool:
    """Whether a job comes from Edit."""
    return view.tag == EDIT_TAG


def prints_of(session: Session, shows: Shows = any_print) -> Iterator[Print]:
    """Pictures of ended jobs, newest first."""
    before: float | None = None
    while True:
        views = session.service.jobs(owner=session.owner, limit=PAGE, before=before)
        for view in views:
            if view.status.ended and shows(view):
                made = pictures_of(view)
                yield from (Print(view.id, picture, request, len(made)) for picture, request in made)
        if len(views) < PAGE:
            return
        before = views[-1].created


class Prints:
    """A grid of them. ``opened`` is told which one is pressed, ``empty`` is said where there is none."""

    def __init__(self, session: Session, opened: Callable[[Print], None], empty: str, shows: Shows) -> None:
        self.session, self.opened, self.empty, self.shows = session, opened, empty, shows
        self.shown, self.tiles = SHOWN, dict[str, Box]()
        self.wants: Callable[[Print], bool] = lambda one: True
        self.jobs = Box("prints jobs")
        self.grid = Box("prints")
        self.fill()
        for view in session.service.jobs(owner=session.owner, limit=PAGE):
            if not view.status.ended and shows(view):
                self.watch(view)

    def fill(self) -> None:
        """Show what there is now."""
        self.grid.clear()
        self.tiles = {}
        with self.grid:
            wanted = (one for one in prints_of(self.session, self.shows) if self.wants(one))
            for i, one in enumerate(wanted):
                if i == self.shown:
                    Press("Show more", self._more)
                    break
                self._tile(one)
            if not self.tiles:
                Box("none", words=self.empty)

    def _more(self) -> None:
        self.shown += SHOWN
        self.fill()

    def _tile(self, one: Print) -> None:
        tile = Box("print", "button")
        said(tile, type="button", aria_label=f"Print: {one.request.prompt}, seed {one.request.seed}")
        with tile:
            said(Box(tag="img"), src=source_of(one.picture), alt="", loading="lazy")
            Box("under", words=one.request.prompt)
        tile.on("click", lambda: self.opened(one), args=[])
        self.tiles[one.picture] = tile

    def mark(self, one: Print, yes: bool) -> None:
        """Whether a print shows as chosen."""
        if one.picture in self.tiles:
            self.tiles[one.picture].classes(**{"add" if yes else "remove": "picked"})

    def watch(self, view: JobView) -> None:
        """Show a job's progress until it has ended, then its prints."""
        with self.jobs:
            card = JobCard(self.session, view)

        async def follow() -> None:
            try:
                await card.follow()
            finally:
                card.box.delete()
                self.fill()

        self.session.run(follow())
