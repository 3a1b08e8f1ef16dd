"""OpenAI's images: generations, edits, variations, and the models to choose from."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from darkroom.errors import DarkroomError, InvalidRequest, UnknownName
from darkroom.server import incoming, names
from darkroom.server.desk import Caller, Desk, OurDesk
from darkroom.server.errors import Refused, shaped
from darkroom.server.openai import answers
from darkroom.server.openai.fields import (
    FAITHFUL,
    INPAINT_STRENGTH,
    PLAIN_STRENGTH,
    Edit,
    Fields,
    Generation,
    Painted,
    Variation,
    the_picture,
)
from darkroom.server.openai.words import words_of
from darkroom.server.streams import EventStream, waited
from darkroom.studio.expanding import expanded
from darkroom.studio.pictures import check_holds
from darkroom.studio.request import Request as Wanted
from darkroom.studio.serving.jobs import JobView

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {"application/json": {"example": shaped("/v1/", status, text)}}}
    for status, text in {
        400: "A value cannot be had.",
        401: "The token is missing or wrong.",
        403: "A page of another origin asked.",
        404: "There is no such model.",
        409: "Somebody cancelled it.",
        413: "The request is too large.",
        429: "Too much is waiting already.",
        503: "The server is stopping.",
    }.items()
}
router = APIRouter(prefix="/v1", tags=["OpenAI's images"], responses=PROBLEMS)

TAG = "openai"
WORDLESS = "a picture"
"""The prompt of a variation that has none: next to nothing, and nothing pulls towards it."""
EVERY = 2
"""Steps between previews from which partial images are chosen."""


@router.post("/images/generations")
async def generations(asked: Generation, request: Request, desk: OurDesk, owner: Caller) -> Response:
    """Pictures of a prompt."""
    wanted = await run_in_threadpool(_wanted, desk, asked, prompt=asked.prompt)
    return await _painted(desk, owner, request, asked, wanted, "image_generation")


@router.post("/images/edits")
async def edits(asked: Annotated[Edit, Form()], request: Request, desk: OurDesk, owner: Caller) -> Response:
    """A picture made anew in part: where the mask is transparent, or all over."""
    wanted = await run_in_threadpool(_edited, desk, asked)
    return await _painted(desk, owner, request, asked, wanted, "image_edit")


@router.post("/images/variations")
async def variations(
    asked: Annotated[Variation, Form()], request: Request, desk: OurDesk, owner: Caller
) -> Response:
    """Pictures like another."""
    wanted = await run_in_threadpool(_varied, desk, asked)
    form = _form(desk, request, asked)
    job = await run_in_threadpool(_submitted, desk, owner, wanted, 0)
    return await _whole(desk, request, job, form)


@router.get("/models")
def models() -> dict[str, Any]:
    """The models that can be named."""
    return {"object": "list", "data": [_model(name) for name in names.models()]}


@router.get("/models/{model:path}")
def model(model: str) -> dict[str, Any]:
    """One of them."""
    return _model(_known(model))


def _model(name: str) -> dict[str, Any]:
    created = int(names.models()[name].stat().st_mtime)
    return {"id": name, "object": "model", "created": created, "owned_by": "darkroom"}


def _known(name: str) -> str:
    """The same. Raises Refused as OpenAI does, for a model that there is not."""
    try:
        return names.model(name)
    except UnknownName as error:
        raise Refused(str(error), 404, param="model", code="model_not_found") from None


def _wanted(desk: Desk, asked: Fields, **more: Any) -> Wanted:
    """The request that is asked for. Raises DarkroomError."""
    model = _known(asked.model or desk.settings.model)
    wanted = desk.checked(Wanted(model=model, **asked.asked() | more))
    if isinstance(asked, Painted):
        _check_holds(wanted, asked.output_format)
    return wanted


def _check_holds(wanted: Wanted, format: str) -> None:
    """Raise Refused, before anything is made, for words that a file of the format has no room for."""
    try:
        for one in expanded(wanted):
            check_holds([one], format.upper())
    except DarkroomError as error:
        raise Refused(str(error), 400, param="output_format") from None


def _edited(desk: Desk, asked: Edit) -> Wanted:
    data = the_picture(asked).file.read()
    picture = desk.keep(data, "the image")
    mask = incoming.transparent(data)
    if asked.mask is not None:
        mask = incoming.mask_for(asked.mask.file.read(), data, desk.settings.pixels)
    strength = asked.strength or FAITHFUL.get(asked.input_fidelity or "", PLAIN_STRENGTH)
    if mask is not None:
        strength = asked.strength or INPAINT_STRENGTH
    more = {"mask": None if mask is None else desk.service.keep_upload(mask), "strength": strength}
    return _wanted(desk, asked, prompt=asked.prompt, init_image=picture, **more)


def _varied(desk: Desk, asked: Variation) -> Wanted:
    """Its own words are those of the picture, where it tells them; without words nothing is guided."""
    data = asked.image.file.read()
    picture = desk.keep(data, "the image")
    prompt = asked.prompt or words_of(data)
    if not prompt and asked.cfg_scale is not None:
        raise InvalidRequest("a cfg_scale needs a prompt to follow; give one, or leave it out.")
    more = {} if prompt else {"cfg_scale": 1.0}
    start = {"init_image": picture, "strength": asked.strength}
    return _wanted(desk, asked, prompt=prompt or WORDLESS, **start, **more)


def _submitted(desk: Desk, owner: str, wanted: Wanted, previews: int) -> JobView:
    return desk.submit([wanted], owner=owner, tag=TAG, previews=previews)


async def _painted(
    desk: Desk, owner: str, request: Request, asked: Painted, wanted: Wanted, call: answers.Call
) -> Response:
    """Answer at the end, or with a stream."""
    partials = asked.partial_images or 0
    if partials and not asked.stream:
        raise Refused("partial images come in a stream; set stream to true.", 400, param="partial_images")
    form = _form(desk, request, asked)
    job = await run_in_threadpool(_submitted, desk, owner, wanted, EVERY if partials else 0)
    if asked.stream:
        return EventStream(answers.images_stream(desk, job, call, form, partials))
    return await _whole(desk, request, job, form)


async def _whole(desk: Desk, request: Request, job: JobView, form: answers.Form) -> Response:
    view = await waited(desk, request, job)
    return JSONResponse(await run_in_threadpool(answers.images_answer, desk, view, form))


def _form(desk: Desk, request: Request, asked: Fields) -> answers.Form:
    """How the client wants its pictures. Raises Refused for addresses that only token holders could open."""
    if asked.response_format == "url" and desk.settings.tokens:
        raise Refused(
            "addresses would open for token holders alone; ask for b64_json.", 400, param="response_format"
        )
    url = str(request.base_url).rstrip("/") if asked.response_format == "url" else None
    if not isinstance(asked, Painted):
        return answers.Form(as_url=url, user=asked.user)
    user = asked.safety_identifier or asked.user
    return answers.Form(asked.output_format, asked.quality or "auto", url, user)
