"""What OpenAI's clients are answered."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

from PIL import Image
from starlette.concurrency import run_in_threadpool

from darkroom.errors import DarkroomError
from darkroom.server.desk import Desk
from darkroom.server.errors import Refused, shaped, status_of
from darkroom.server.incoming import to_base64
from darkroom.server.streams import beating, ended_well, sent_event
from darkroom.server.views import as_format, record_of
from darkroom.studio.serving.jobs import Event, JobView, Status

Call = Literal["image_generation", "image_edit"]
UNCOUNTED = {
    "input_tokens": 0,
    "output_tokens": 0,
    "total_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
}
"""No tokens are counted here; streams must say so."""


@dataclass(frozen=True)
class Form:
    """How the client wants its pictures."""

    format: str = "png"
    quality: str = "auto"
    as_url: str | None = None
    user: str | None = None


def images_answer(desk: Desk, view: JobView, form: Form) -> dict[str, Any]:
    """The pictures of a job that is done. Raises Refused where somebody cancelled it."""
    not_cancelled(view)
    records = [record_of(desk.picture(one)).request for one in view.pictures]
    data = [
        _carried(desk, picture, form)
        | {"revised_prompt": request.prompt, "seed": request.seed, "id": picture}
        for picture, request in zip(view.pictures, records, strict=True)
    ]
    told = {"safety_identifier": form.user} if form.user else {}
    size = f"{records[0].width}x{records[0].height}"
    return {"created": int(view.created), "data": data, **_described(form, size), **told}


def not_cancelled(view: JobView) -> None:
    """Raise Refused for a job that somebody cancelled."""
    if view.status is Status.CANCELLED:
        raise Refused("somebody cancelled this; ask again.", 409, code="cancelled")


def _described(form: Form, size: str) -> dict[str, str]:
    return {"background": "opaque", "output_format": form.format, "quality": form.quality, "size": size}


def _carried(desk: Desk, picture: str, form: Form) -> dict[str, str]:
    if form.as_url is not None:
        return {"url": f"{form.as_url}/api/pictures/{picture}?format={form.format}"}
    return {"b64_json": to_base64(as_format(desk.picture(picture), form.format))}


async def images_stream(
    desk: Desk, job: JobView, call: Call, form: Form, partials: int
) -> AsyncIterator[bytes]:
    """The same while it goes on: partial pictures of the first, then each; who hangs up cancels it."""
    sent = 0
    async with desk.waiting(job.id):
        async for event in beating(desk.service.events(job.id)):
            if event is None:
                yield b": still here\n\n"
            elif event.kind == "ended":
                for value in await run_in_threadpool(_last, desk, event.view, call, form):
                    yield sent_event(value.get("type", "error"), value)
            elif _is_due(event, sent, partials):
                yield sent_event(f"{call}.partial_image", _partial(event, call, form, sent))
                sent += 1


def _is_due(event: Event, sent: int, partials: int) -> bool:
    """Partial pictures are spread evenly over the steps."""
    if event.pixels is None or event.picture != 0 or sent >= partials:
        return False
    return event.view.step * (partials + 1) >= event.view.steps * (sent + 1)


def _partial(event: Event, call: Call, form: Form, index: int) -> dict[str, Any]:
    assert event.pixels is not None
    buffer = BytesIO()
    Image.fromarray(event.pixels).save(buffer, form.format)
    height, width, _ = event.pixels.shape
    return {
        "type": f"{call}.partial_image",
        "b64_json": to_base64(buffer.getvalue()),
        "partial_image_index": index,
        "created_at": int(time.time()),
        **_described(form, f"{width}x{height}"),
    }


def _last(desk: Desk, view: JobView, call: Call, form: Form) -> list[dict[str, Any]]:
    """An event for each picture, or one that says what went wrong."""
    try:
        answer = images_answer(desk, ended_well(desk, view), form)
    except DarkroomError as error:
        return [shaped("/v1/", status_of(error), str(error), code=getattr(error, "code", None))]
    shared = {name: answer[name] for name in ("background", "output_format", "quality", "size")}
    created = {"type": f"{call}.completed", "created_at": answer["created"], "usage": UNCOUNTED}
    return [created | shared | one for one in answer["data"]]
