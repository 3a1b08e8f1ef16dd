"""One process that serves until it is told to stop."""

import asyncio
import logging
import socket
import sys
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import uvicorn
from fastapi import FastAPI

from darkroom.errors import DarkroomError
from darkroom.server.desk import Desk
from darkroom.server.settings import Settings

GRACE = 10
"""Seconds that clients have to take their last answers, once the work is drained."""
BACKLOG = 128


class Server(uvicorn.Server):
    """Uvicorn that tells the desk at once when a signal says stop: running work ends while clients wait.

    ``ready`` is called once it answers.
    """

    def __init__(self, app: FastAPI, ready: Callable[[], None]) -> None:
        self.desk: Desk = app.state.desk
        self.ready = ready
        self.loop: asyncio.AbstractEventLoop | None = None
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=int(self.desk.settings.drain) + GRACE,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Remember the loop, which signals must wake."""
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take no more work from now on."""
        super().handle_exit(sig, frame)
        with suppress(RuntimeError):  # it has stopped already
            if self.loop is not None:
                self.loop.call_soon_threadsafe(self.desk.stopping.set)


def serve_until_stopped(
    app: FastAPI, listening: socket.socket, say: Callable[[str], None], opening: bool = False
) -> None:
    """Answer on a socket, and tell by ``say`` where that is; ``opening`` shows it in a browser."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    settings: Settings = app.state.desk.settings
    url = settings.url_at(listening.getsockname()[1])

    def ready() -> None:
        say(f"Darkroom listens on {url}")
        if opening:
            webbrowser.open(url)

    Server(app, ready).run([listening])


def bound(settings: Settings) -> socket.socket:
    """A socket at the host and port of the settings. Raises DarkroomError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DarkroomError(
            f"cannot listen on {settings.host}:{settings.port}: {reason}; choose another --port or --host."
        ) from error
    return listening
