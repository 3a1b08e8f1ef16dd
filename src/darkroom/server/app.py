"""All doors in one app."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from darkroom import __version__
from darkroom.server import catalogue, jobs, login, pictures
from darkroom.server.a1111 import door as a1111
from darkroom.server.a1111 import lists as a1111_lists
from darkroom.server.desk import Desk
from darkroom.server.errors import explain
from darkroom.server.guard import Guard
from darkroom.server.openai import door as openai
from darkroom.server.settings import Settings
from darkroom.studio.serving.service import Service

ABOUT = """
Pictures out of noise, by jobs: `POST /api/jobs` takes a wish, `GET /api/jobs/{job}/events` tells how it
goes on, `GET /api/pictures/{picture}` is what came of it. Beside this API there are OpenAI's (`/v1/images`)
and AUTOMATIC1111's (`/sdapi/v1`), for the clients that know them.
"""


def create_app(service: Service, settings: Settings | None = None) -> FastAPI:
    """The app that answers for a service, which the caller has started; when the app ends, it stops it.

    What is under the guard is everything: routes, mounted apps and sockets.
    """
    settings = settings or Settings()
    app = FastAPI(
        title="Darkroom",
        version=__version__,
        description=ABOUT,
        openapi_url="/api/openapi.json",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        lifespan=_living,
    )
    app.state.desk = Desk(service, settings)
    app.state.pixels = settings.pixels  # the page's own uploads know no desk
    explain(app)
    for part in (jobs, pictures, catalogue, openai, a1111, a1111_lists, login):
        app.include_router(part.router)
    if settings.page:
        from darkroom.web.page import add_pages

        add_pages(app, service)
    app.add_middleware(Guard, settings=settings)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],  # clients in browsers send many of their own
            expose_headers=["Location", "Retry-After"],
        )
    return app


@asynccontextmanager
async def _living(app: FastAPI) -> AsyncIterator[None]:
    """Stop the service once the server is told to, while clients that wait still hear of what ends."""
    desk: Desk = app.state.desk
    stop = asyncio.create_task(_stopped(desk))
    yield
    desk.stopping.set()
    await stop


async def _stopped(desk: Desk) -> None:
    await desk.stopping.wait()
    await desk.stop()
