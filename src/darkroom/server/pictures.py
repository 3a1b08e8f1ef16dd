"""Our own API: pictures that were made, and pictures that clients send."""

from typing import Annotated, Literal

from fastapi import APIRouter, File, Path, UploadFile
from starlette.responses import Response

from darkroom.server.desk import Caller, OurDesk
from darkroom.server.shapes import PROBLEMS, RecordTold, UploadTold
from darkroom.server.views import TYPES, as_format, infotext_of, record_of
from darkroom.server.wishes import told
from darkroom.studio.pictures import decode

router = APIRouter(prefix="/api", responses=PROBLEMS)

PictureId = Annotated[str, Path(pattern=r"^[\w-]{1,64}$", description="As a job's pictures have it.")]
KEPT = {"Cache-Control": "private, max-age=86400, immutable"}


@router.get(
    "/pictures/{picture}",
    tags=["pictures"],
    response_class=Response,
    responses={200: {"content": {kind: {} for kind in TYPES.values()}, "description": "The picture."}},
)
def picture(picture: PictureId, desk: OurDesk, format: Literal["png", "jpeg", "webp"] = "png") -> Response:
    """A picture with its record, as PNG, JPEG or WebP."""
    data = as_format(desk.picture(picture), format)
    return Response(data, media_type=TYPES[format], headers=KEPT)


@router.get("/pictures/{picture}/record", tags=["pictures"])
def record(picture: PictureId, desk: OurDesk) -> RecordTold:
    """What made a picture."""
    png = desk.picture(picture)
    found = record_of(png)
    return RecordTold(
        requests=[told(request) for request in found.requests],
        model_hash=found.model_hash,
        version=found.version,
        infotext=infotext_of(png),
    )


@router.post("/uploads", status_code=201, tags=["uploads"])
def upload(
    file: Annotated[UploadFile, File(description="A PNG, JPEG or WebP picture.")],
    desk: OurDesk,
    owner: Caller,
) -> UploadTold:
    """Send a picture to start from, a mask, or what a ControlNet follows."""
    data = file.file.read()
    path = desk.keep(data)
    decoded = decode(data)
    height, width, _ = decoded.pixels.shape
    return UploadTold(
        id=desk.uploads.add(owner, path), width=width, height=height, infotext=decoded.texts.parameters
    )
