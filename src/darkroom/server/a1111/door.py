"""A1111's web API: pictures, how they go on, and stopping them."""

import re
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from darkroom.server import incoming
from darkroom.server.a1111 import answers
from darkroom.server.a1111.asking import Asking, from_picture, from_text
from darkroom.server.a1111.fields import Common, ImageToImage, TextToImage
from darkroom.server.a1111.options import Chosen, Options
from darkroom.server.desk import Caller, Desk, OurDesk
from darkroom.server.errors import shaped
from darkroom.server.streams import waited
from darkroom.studio.metadata import read_infotext
from darkroom.studio.pictures import check_picture

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": text,
        "content": {"application/json": {"example": shaped("/sdapi/", status, text)}},
    }
    for status, text in {
        400: "The request cannot be read.",
        401: "The token is missing or wrong; it is the password of basic authentication.",
        403: "A page of another origin asked.",
        404: "There is no such sampler or scheduler.",
        413: "The request is too large.",
        422: "A value cannot be had.",
        429: "Too much is waiting already.",
        503: "The server is stopping.",
    }.items()
}
router = APIRouter(prefix="/sdapi/v1", tags=["AUTOMATIC1111's web API"], responses=PROBLEMS)

TAG = "a1111"
EVERY = 4
"""Steps between previews."""


class Counter:
    """What A1111's clients ask about between calls: their options, and the jobs that they wait for."""

    def __init__(self, desk: Desk) -> None:
        self.options = Chosen(Options(desk.settings.model))
        self.under_way: dict[str, list[answers.UnderWay]] = {}

    def current(self, owner: str) -> answers.UnderWay | None:
        """The job that an owner has waited for longest."""
        return next(iter(self.under_way.get(owner, ())), None)


def counter_of(request: Request) -> Counter:
    """One of an app, made when it is first asked for; only the loop asks."""
    state = request.app.state
    if not hasattr(state, "a1111"):
        state.a1111 = Counter(state.desk)
    counter: Counter = state.a1111
    return counter


@router.post("/txt2img")
async def txt2img(asked: TextToImage, request: Request, desk: OurDesk, owner: Caller) -> Response:
    """Pictures of a prompt. A client that hangs up cancels them."""
    options = _options(request, owner, asked)
    asking = await run_in_threadpool(from_text, asked, options, desk)
    return await _made(asked, asking, request, desk, owner)


@router.post("/img2img")
async def img2img(asked: ImageToImage, request: Request, desk: OurDesk, owner: Caller) -> Response:
    """Pictures from a picture, with a mask only where it is white."""
    options = _options(request, owner, asked)
    asking = await run_in_threadpool(from_picture, asked, options, desk)
    return await _made(asked, asking, request, desk, owner)


def _options(request: Request, owner: str, asked: Common) -> Options:
    """Those of this call, which stay if the client says so. Raises DarkroomError."""
    chosen = counter_of(request).options
    options = chosen.of(owner).changed(asked.override_settings or {})
    if not asked.override_settings_restore_afterwards:
        chosen.by_owner[owner] = options
    return options


async def _made(asked: Common, asking: Asking, request: Request, desk: Desk, owner: str) -> Response:
    def submit() -> answers.UnderWay:
        return answers.UnderWay(desk.submit([asking.request], owner=owner, tag=TAG, previews=EVERY))

    under_way = await run_in_threadpool(submit)
    theirs = counter_of(request).under_way.setdefault(owner, [])
    theirs.append(under_way)
    try:
        view = await waited(desk, request, under_way.view, under_way.hear)
    finally:
        theirs.remove(under_way)
    answer = await run_in_threadpool(answers.pictures_answer, desk, view, asked, asking.notices)
    if asked.do_not_save_samples:
        await run_in_threadpool(desk.service.forget, view.id)
    return JSONResponse(answer)


@router.get("/progress")
async def progress(request: Request, owner: Caller, skip_current_image: bool = False) -> dict[str, Any]:
    """How far the job is that the caller waits for."""
    counter = counter_of(request)
    waiting = len(counter.under_way.get(owner, ()))
    return answers.progress_answer(counter.current(owner), waiting, not skip_current_image)


@router.post("/interrupt")
async def interrupt(request: Request, desk: OurDesk, owner: Caller) -> dict[str, Any]:
    """Stop the job that the caller waits for; its call is answered with what is finished."""
    if under_way := counter_of(request).current(owner):
        under_way.interrupted = True
        await run_in_threadpool(desk.service.cancel, under_way.view.id)
    return {}


@router.post("/skip")
async def skip(request: Request, desk: OurDesk, owner: Caller) -> dict[str, Any]:
    """The same: all pictures of a job are made at once, so to skip one is to skip all."""
    if under_way := counter_of(request).current(owner):
        under_way.skipped = True
        await run_in_threadpool(desk.service.cancel, under_way.view.id)
    return {}


@router.get("/options")
async def options(request: Request, owner: Caller) -> dict[str, Any]:
    """The caller's settings."""
    return counter_of(request).options.of(owner).told()


@router.post("/options")
async def set_options(values: dict[str, Any], request: Request, owner: Caller) -> dict[str, Any]:
    """Change them, for the caller alone."""
    chosen = counter_of(request).options
    chosen.by_owner[owner] = chosen.of(owner).changed(values)
    return {}


class InfoAsked(BaseModel):
    """A picture in base64."""

    image: str


@router.post("/png-info")
def png_info(asked: InfoAsked, desk: OurDesk) -> dict[str, Any]:
    """What a picture says made it, ours or another tool's."""
    data = incoming.from_base64(asked.image)
    texts = check_picture(data, desk.settings.pixels).texts
    info = read_infotext(texts.parameters or "")
    told = {"Prompt": info.prompt, "Negative prompt": info.negative, **info.settings}
    if size := re.fullmatch(r"(\d+)x(\d+)", info.settings.get("Size", "")):
        told |= {"Size-1": size[1], "Size-2": size[2]}
    items = {"parameters": texts.parameters} if texts.parameters else {}
    return {"info": texts.parameters or "", "items": items, "parameters": told if texts.parameters else {}}
