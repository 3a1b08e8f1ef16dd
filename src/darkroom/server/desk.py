"""What all doors share: the service, the settings, and the pictures that clients have sent."""

import asyncio
import logging
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Annotated, Any

from fastapi import Depends
from fastapi import Request as HttpRequest

from darkroom.errors import DarkroomError
from darkroom.server.checking import checked
from darkroom.server.errors import Refused
from darkroom.server.settings import Settings
from darkroom.studio.pictures import check_picture
from darkroom.studio.request import Request
from darkroom.studio.serving.jobs import JobView, NoSuchJob
from darkroom.studio.serving.service import Service

log = logging.getLogger("darkroom.server")

MOST_UPLOADS = 1000
"""Of one owner, that can still be named; the oldest go first."""


@dataclass
class Uploads:
    """Pictures that clients sent, by ids that only their owner can use; any thread may call."""

    known: dict[str, OrderedDict[str, Path]] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def add(self, owner: str, path: Path) -> str:
        """A new id for a file."""
        upload = secrets.token_urlsafe(16)
        with self.lock:
            theirs = self.known.setdefault(owner, OrderedDict())
            theirs[upload] = path
            while len(theirs) > MOST_UPLOADS:
                theirs.popitem(last=False)
        return upload

    def find(self, owner: str, upload: str) -> Path | None:
        """The file of an id, unless it was swept since."""
        with self.lock:
            path = self.known[owner].get(upload) if owner in self.known else None
        return path if path and path.exists() else None


@dataclass
class Desk:
    """Where the doors meet.

    ``awaited`` are jobs that nobody will ask for once the connection that waits for them is gone.
    ``stopping`` is set when no more work is taken.
    """

    service: Service
    settings: Settings
    uploads: Uploads = field(default_factory=Uploads)
    awaited: set[str] = field(default_factory=set)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: bool = False

    def submit(self, requests: Sequence[Request], *, owner: str, tag: str, **more: Any) -> JobView:
        """Give the service a job. Raises DarkroomError for what cannot be had, now or at all."""
        if self.stopping.is_set():
            raise stopping()
        job = self.service.submit(requests, owner=owner, tag=tag, **more)
        pictures = sum(request.count for request in requests)
        log.info("job %s of '%s' by %s: %d pictures", job.id, owner, tag, pictures)
        if self.settings.log_prompts:
            log.info("job %s: %s", job.id, " | ".join(repr(request.prompt) for request in requests))
        return job

    @asynccontextmanager
    async def waiting(self, job: str) -> AsyncIterator[None]:
        """While a client waits for a job; if it does not wait for the end, the job is cancelled."""
        self.awaited.add(job)
        try:
            yield
        finally:
            self.awaited.discard(job)
            await asyncio.shield(asyncio.to_thread(self._cancel, job))

    async def stop(self) -> None:
        """End the service: what runs is finished in time, what is waited for and not made is cancelled."""
        self.stopping.set()
        await self._give_up(begun=False)
        await asyncio.to_thread(self.service.halt, self.settings.drain)
        await self._give_up(begun=True)  # else the next start would make it for nobody
        await asyncio.to_thread(self.service.stop, 0.0)
        self.stopped = True

    async def _give_up(self, begun: bool) -> None:
        """Cancel what clients wait for, those that are ``begun`` too or not."""
        for job in list(self.awaited):
            with suppress(DarkroomError):  # it was deleted, or the disk is full: stop all the same
                if begun or self.service.view(job).started is None:
                    await asyncio.to_thread(self._cancel, job)

    def _cancel(self, job: str) -> None:
        if not self.stopped and not self.service.view(job).status.ended:
            self.service.cancel(job)

    def checked(self, request: Request, styles: Sequence[str] = ()) -> Request:
        """The request, ready to be submitted, with styles around its prompt. Raises DarkroomError."""
        self.service.limits.check([request])
        return checked(request, styles)

    def keep(self, data: bytes, name: str = "the picture") -> Path:
        """Check a picture that a client sent and keep it; raises DarkroomError."""
        check_picture(data, self.settings.pixels, name)
        return self.service.keep_upload(data)

    def picture(self, picture: str) -> bytes:
        """The PNG of a picture made here: its id, which nobody can guess, is the right to see it.

        Raises Refused for an id that there is not, and where the file was deleted meanwhile.
        """
        try:
            return self.service.picture(picture).read_bytes()
        except DarkroomError as error:
            raise Refused(str(error), 404) from None
        except OSError:
            raise Refused("this picture's file is gone; make it again.", 404) from None

    def job(self, owner: str, job: str) -> JobView:
        """A job of this owner's. Raises NoSuchJob for one of another's too."""
        view = self.service.view(job)
        if view.owner != owner:
            raise NoSuchJob
        return view


def stopping() -> Refused:
    """What is said once the server was told to stop."""
    return Refused("the server is stopping; ask again when it is back.", 503, retry_after=5)


def desk_of(request: HttpRequest) -> Desk:
    """The desk of the app that a request came to."""
    desk: Desk = request.app.state.desk
    return desk


def caller_of(request: HttpRequest) -> str:
    """Whose request it is, as the guard found out."""
    owner: str = request.state.owner
    return owner


OurDesk = Annotated[Desk, Depends(desk_of)]
Caller = Annotated[str, Depends(caller_of)]
