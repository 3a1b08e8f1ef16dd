"""Pictures by opaque ids: those that the service made, and those that a person gives, checked first."""

import asyncio
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import APIRouter
from fastapi import Request as Call
from fastapi.responses import FileResponse, JSONResponse, Response

from darkroom.errors import DarkroomError
from darkroom.studio.pictures import MAX_PIXELS, check_picture

if TYPE_CHECKING:
    from darkroom.studio.serving.service import Service

LARGEST = 32 * 2**20
"""Bytes of a picture that a person gives."""
KEPT = 256
"""Given pictures whose ids are known."""
HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, max-age=86400"}
TYPES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}


class Given:
    """Pictures that people gave, by ids that cannot be guessed; the oldest are forgotten first."""

    def __init__(self) -> None:
        self.paths: dict[str, Path] = {}

    def add(self, path: Path) -> str:
        """A new id for a picture that is in the service's keeping."""
        while len(self.paths) >= KEPT:
            self.paths.pop(next(iter(self.paths)))
        name = secrets.token_urlsafe(16)
        self.paths[name] = path
        return name

    def path(self, name: str) -> Path:
        """Raises DarkroomError for an id that is not known, or no longer."""
        if name not in self.paths or not self.paths[name].exists():
            raise DarkroomError("this picture is no longer here; drop it again.")
        return self.paths[name]


GIVEN = Given()


def type_of(data: bytes) -> str:
    """The media type by the first bytes. Raises DarkroomError for what is no PNG, JPEG or WebP."""
    for sign, kind in TYPES.items():
        if data.startswith(sign) and (sign != b"RIFF" or data[8:12] == b"WEBP"):
            return kind
    raise DarkroomError("that is not a PNG, JPEG or WebP picture; convert it to one of these.")


def router(service: "Service") -> APIRouter:
    """The routes of pictures, in and out.

    What a person gives is held to the rules of the doors; ``app.state.pixels`` bounds it where it is set.
    """
    routes = APIRouter(prefix="/studio", include_in_schema=False)

    @routes.get("/pictures/{picture}")
    def made(picture: str) -> Response:
        try:
            path = service.picture(picture)
            return FileResponse(path, media_type="image/png", headers=HEADERS, stat_result=path.stat())
        except DarkroomError as error:
            return JSONResponse({"error": str(error)}, 404)
        except OSError:
            return JSONResponse({"error": "this picture's file is gone; make it again."}, 404)

    @routes.get("/given/{name}")
    def given(name: str) -> Response:
        try:
            data = GIVEN.path(name).read_bytes()
            return Response(data, media_type=type_of(data), headers=HEADERS)
        except DarkroomError as error:
            return JSONResponse({"error": str(error)}, 404)

    @routes.post("/given")
    async def give(call: Call) -> Response:
        if "x-darkroom" not in call.headers:  # a header that pages of others cannot send unasked
            return JSONResponse({"error": "send this from Darkroom's own page."}, 403)
        try:
            data = await body(call)
            type_of(data)
            most = getattr(call.app.state, "pixels", MAX_PIXELS)
            picture = await asyncio.to_thread(check_picture, data, most)
            path = await asyncio.to_thread(service.keep_upload, data)
        except DarkroomError as error:
            return JSONResponse({"error": str(error)}, 422)
        height, width = picture.pixels.shape[:2]
        name = GIVEN.add(path)
        return JSONResponse({"name": name, "width": width, "height": height})

    return routes


async def body(call: Call) -> bytes:
    """What was sent, read no further than ``LARGEST``. Raises DarkroomError for more."""
    data = bytearray()
    async for part in call.stream():
        data += part
        if len(data) > LARGEST:
            raise DarkroomError(f"the picture has more than {LARGEST // 2**20} MB; make it smaller first.")
    return bytes(data)
