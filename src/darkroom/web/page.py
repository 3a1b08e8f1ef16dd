"""The page: four places on one sheet, over the service."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi import Request as Call
from fastapi.staticfiles import StaticFiles
from nicegui import ui

from darkroom.studio.request import Request
from darkroom.web import theme
from darkroom.web.controls import Box
from darkroom.web.create import Create
from darkroom.web.explain import Explain
from darkroom.web.memory import Memory, browser_of
from darkroom.web.pictures import router
from darkroom.web.session import Session

if TYPE_CHECKING:
    from darkroom.studio.serving.service import Service

PLACES = {"/": "Create", "/edit": "Edit", "/explain": "Explain", "/library": "Library"}


class Page:
    """One open page; a place is built when it is first seen and keeps its state while others are."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.shell = theme.Shell(PLACES, self._fill)

    def _fill(self, path: str, box: Box) -> None:
        with box:
            if path == "/":
                self.create = Create(self.session, self.go)
            elif path == "/explain":
                self.explain = Explain(self.session)

    def go(self, path: str, request: Request | None = None, picture: str = "") -> None:
        """Open a place with a picture."""
        self.shell.go(path)
        if path == "/explain" and request is not None:
            self.explain.take(request)


def add_pages(app: FastAPI, service: "Service", owner_of: Callable[[Call], str] = lambda call: "") -> None:
    """Put the page on ``app``, over a running service; last of all routes, since it takes what is left.

    ``owner_of`` says whose the work of a call is; the local user's is ''. Once a process.
    """
    app.mount(theme.ROUTE, StaticFiles(directory=theme.ASSETS))
    app.include_router(router(service, owner_of))

    def build(call: Call) -> None:
        owner, browser = owner_of(call), browser_of(call.cookies)
        theme.head(browser)
        memory = Memory(service.folder / "browsers", owner, browser)
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
