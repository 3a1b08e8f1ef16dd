"""Pictures from clients: looked at before they are decoded, and never fetched from an address."""

import base64
import binascii
import re
from io import BytesIO

from PIL import Image, ImageOps

from darkroom.errors import InvalidRequest
from darkroom.studio.pictures import READABLE, check_picture, plain

DATA_URL = re.compile(r"data:image/[\w.+-]+;base64,")


def from_base64(text: str, name: str = "the picture") -> bytes:
    """The bytes in base64, with or without ``data:image/png;base64,`` before it; it may be in lines.

    Raises InvalidRequest for anything else, an address too: nothing is fetched.
    """
    text = "".join(text.split())
    if text.startswith(("http://", "https://", "ftp://", "file:")):
        raise InvalidRequest(
            f"{name} is an address, and nothing is fetched; send the picture itself, in base64."
        )
    match = DATA_URL.match(text)
    try:
        return base64.b64decode(text[match.end() :] if match else text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(f"{name} is not in base64; send the bytes of a file so.") from None


def to_base64(data: bytes) -> str:
    """As all our doors send pictures."""
    return base64.b64encode(data).decode()


def transparent(data: bytes) -> bytes | None:
    """A mask that is white where a picture is wholly transparent; None where it nowhere is."""
    alpha = _alpha(data)
    if alpha is None or alpha.getextrema()[0] != 0:
        return None
    return packed(alpha.point([255] + [0] * 255))


def mask_for(mask: bytes, picture: bytes, pixels: int) -> bytes:
    """OpenAI's mask as ours: white where it is wholly transparent.

    Raises InvalidRequest for one that does not fit the picture.
    """
    check_picture(mask, pixels, "the mask")
    if upright(mask).size != upright(picture).size:
        raise InvalidRequest("the mask and the image differ in size; make the mask as large as the image.")
    white = transparent(mask)
    if white is None:
        raise InvalidRequest("the mask is nowhere transparent; make it so where the image is to change.")
    return white


def packed(image: Image.Image) -> bytes:
    """A PNG."""
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def upright(data: bytes) -> Image.Image:
    """A picture that was checked, turned as its EXIF says: RGBA where it may be transparent, else RGB."""
    with Image.open(BytesIO(data), formats=READABLE) as image:
        return plain(ImageOps.exif_transpose(image))


def _alpha(data: bytes) -> Image.Image | None:
    shown = upright(data)
    return shown.getchannel("A") if shown.mode == "RGBA" else None
