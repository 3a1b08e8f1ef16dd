"""Pictures on their way out: previews, and results in the format that was asked for."""

from io import BytesIO
from pathlib import Path
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


def record_of(path: Path) -> Record:
    """What made a picture of the service's."""
    return metadata.from_json(pictures.read(path).texts.record or "")


def infotext_of(path: Path) -> str:
    """The same as A1111 writes it."""
    return pictures.read(path).texts.parameters or ""


def as_format(path: Path, format: str) -> bytes:
    """A picture of the service's, with its record, in a format of ``TYPES``. Raises DarkroomError."""
    if format == "png":
        return path.read_bytes()
    decoded = pictures.read(path)
    record = metadata.from_json(decoded.texts.record or "")
    return pictures.encode(Picture(decoded.pixels, record), format.upper())
