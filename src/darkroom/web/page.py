"""The page: four places on one sheet, over the service."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi import Request as Call
from fastapi.staticfiles import StaticFiles
from nicegui import ui
from starlette.responses import Response
from starlette.types import Scope

from darkroom.studio.request import Request
from darkroom.web import theme
from darkroom.web.controls import ROUTE, Box
from darkroom.web.create import Create
from darkroom.web.edit import Edit
from darkroom.web.explain import Explain
from darkroom.web.library import Library
from darkroom.web.memory import browser_of, memory_of, sweep
from darkroom.web.pictures import router
from darkroom.web.session import Session

if TYPE_CHECKING:
    from darkroom.studio.serving.service import Service

PLACES = {"/": "Create", "/edit": "Edit", "/explain": "Explain", "/library": "Library"}


class Assets(StaticFiles):
    """Files of ours; those that are asked for with their date never change."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        dated = bool(scope.get("query_string"))
        answer.headers["Cache-Control"] = "max-age=31536000, immutable" if dated else "no-cache"
        return answer


class Page:
    """One open page; a place is built when it is first seen and keeps its state while others are."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.shell = theme.Shell(PLACES, self._fill, self._again)

    def _fill(self, path: str, box: Box) -> None:
        with box:
            if path == "/":
                self.create = Create(self.session, self.go)
            elif path == "/edit":
                self.edit = Edit(self.session, self.go)
            elif path == "/explain":
                self.explain = Explain(self.session)
            elif path == "/library":
                self.library = Library(self.session, self._create(), self.go)

    def _again(self, path: str) -> None:
        """What was made or deleted elsewhere meanwhile shows here too."""
        if path == "/":
            self.create.history.prints.fill()
        elif path == "/edit":
            self.edit.prints.fill()
        elif path == "/library":
            self.library.gallery.fill()

    def _create(self) -> Create:
        """Create, which other places fill; it is built when one of them is seen first."""
        if "/" not in self.shell.filled:
            self.shell.fill("/")
        return self.create

    def go(self, path: str, request: Request | None = None, picture: str = "") -> None:
        """Open a place, with the settings of a picture and the picture's id where there are some."""
        self.shell.go(path)
        if path == "/" and request is not None:
            self.create.reuse(request)
        elif path == "/edit" and picture:
            self.edit.take_made(picture, request)
        elif path == "/explain" and request is not None:
            self.explain.take(request)


def add_pages(app: FastAPI, service: "Service", owner_of: Callable[[Call], str] = lambda call: "") -> None:
    """Put the page on ``app``, over a running service; last of all routes, since it takes what is left.

    A guard before it may say whose the work of a call is, in ``call.state.owner``. Once a process.
    """
    app.mount(ROUTE, Assets(directory=theme.ASSETS))
    app.include_router(router(service))
    sweep(service.folder / "browsers")

    def build(call: Call) -> None:
        owner, browser = getattr(call.state, "owner", ""), browser_of(call.cookies)
        theme.head(browser)
        memory = memory_of(service.folder / "browsers", owner, browser)
        page = Page(Session(service, owner, browser, memory, ui.context.client))
        page.shell.show(call.url.path)

    for path, name in PLACES.items():
        ui.page(path, title=f"{name} · Darkroom", favicon=theme.ICON)(_named(build, name))
    ui.run_with(
        app, title="Darkroom", dark=None, tailwind=False, show_welcome_message=False, reconnect_timeout=30
    )


def _named(build: Callable[[Call], None], name: str) -> Callable[[Call], None]:
    """A function of its own for each path, as NiceGUI wants."""

    def place(request: Call) -> None:
        build(request)

    place.__name__ = name.lower()
    return place
