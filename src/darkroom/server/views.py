"""Pictures on their way out: previews, and results in the format that was asked for."""

from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image

from darkroom.studio import metadata, pictures
from darkroom.studio.request import Picture, Record

if TYPE_CHECKING:
    import numpy as np

TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
"""The formats that pictures go out in, and what they are called on the wire."""


def preview_png(pixels: "np.ndarray") -> bytes:
    """A preview, uint8 (H, W, 3), packed quickly."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def record_of(png: bytes) -> Record:
    """What made a picture of the service's."""
    return metadata.from_json(pictures.decode(png).texts.record or "")


def infotext_of(png: bytes) -> str:
    """The same as A1111 writes it."""
    return pictures.decode(png).texts.parameters or ""


def as_format(png: bytes, format: str) -> bytes:
    """A picture of the service's, with its record, in a format of ``TYPES``. Raises DarkroomError."""
    if format == "png":
        return png
    decoded = pictures.decode(png)
    record = metadata.from_json(decoded.texts.record or "")
    return pictures.encode(Picture(decoded.pixels, record), format.upper())
