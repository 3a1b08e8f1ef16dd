"""One open page: whose it is, what it watches, and how it speaks to its person."""

import asyncio
import base64
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nicegui import background_tasks, ui
from nicegui.client import Client
from PIL import ExifTags, Image

from darkroom.errors import DarkroomError, UnknownName
from darkroom.studio.expanding import expanded
from darkroom.studio.home import finder
from darkroom.studio.prompts import with_named_loras
from darkroom.studio.request import Request
from darkroom.web.controls import Box, Press
from darkroom.web.memory import Memory
from darkroom.web.models import known_models

if TYPE_CHECKING:
    import numpy as np

    from darkroom.studio.serving.jobs import JobView
    from darkroom.studio.serving.service import Service

TOAST = 6.0
"""Seconds that a sentence stays."""


class Session:
    """What all places of one open page share. Tasks that it runs end with the page."""

    def __init__(self, service: "Service", owner: str, browser: str, memory: Memory, client: Client) -> None:
        self.service, self.owner, self.browser, self.memory = service, owner, browser, memory
        self.client, self.tasks = client, set[asyncio.Task[Any]]()
        self.toasts = Box("toasts")
        self.toasts.props("role=status aria-live=polite")
        client.on_delete(self.close)

    def run(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Run something beside the page; a DarkroomError in it becomes a sentence."""

        async def telling() -> None:
            with self.client:
                try:
                    await work
                except DarkroomError as error:
                    self.say(str(error), bad=True)

        task = background_tasks.create(telling())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def submit(self, requests: Sequence[Request], **options: Any) -> "JobView":
        """Hand requests to the service, as its ``submit`` takes them; what they name must be known here.

        Raises DarkroomError: a person on the page names models and LoRAs, never paths.
        """
        for request in requests:
            if request.model not in known_models():
                raise UnknownName("model", request.model, known_models())
            self.service.limits.check([request])
            find = finder(paths=False)
            for one in expanded(request):
                with_named_loras(one, find)
        return self.service.submit(requests, owner=self.owner, **options)

    def close(self) -> None:
        """Stop watching; jobs go on."""
        for task in list(self.tasks):
            task.cancel()

    def say(self, sentence: str, bad: bool = False) -> None:
        """Show a sentence for a while."""
        with self.toasts:
            toast = Box("toast bad" if bad else "toast", words=sentence[:1].upper() + sentence[1:])
            ui.timer(TOAST + len(sentence) / 30, toast.delete, once=True)

    def over(self) -> "Over":
        """A sheet over the page, to be filled."""
        with self.client.content:
            return Over()


class Over(Box):
    """A sheet over the page; Escape, a press beside it and its cross close it."""

    def __init__(self) -> None:
        super().__init__("over")
        self.props("role=dialog aria-modal=true tabindex=-1")
        self.on("click.self", self.delete, args=[])
        with self, Box("sheet") as self.sheet:
            Press("Close", self.delete, "bare icon close", "close")
        ui.run_javascript(f"openOver({self.id})")

    def delete(self) -> None:
        """Close it; what had the focus before gets it back."""
        self.client.run_javascript("closeOver()")
        super().delete()


def source_of(picture: str) -> str:
    """Where the browser finds a picture of a job."""
    return f"/studio/pictures/{picture}"


def data_url(pixels: "np.ndarray") -> str:
    """A preview as an address that holds it: small, and a little lossy."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=82, method=0)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def pixels_of(path: Path) -> tuple[int, int]:
    """Width and height, upright, of a picture that was checked before."""
    with Image.open(path) as image:
        lies = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
        return (image.height, image.width) if lies else image.size


def pictures_of(view: "JobView") -> list[tuple[str, Request]]:
    """The pictures of an ended job, each with the request that makes it alone."""
    alone = [
        request.single(i) if request.count > 1 else replace(request)
        for request in view.requests
        for i in range(request.count)
    ]
    return list(zip(view.pictures, alone, strict=False))
