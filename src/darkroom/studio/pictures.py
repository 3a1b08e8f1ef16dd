"""Pictures as bytes: encoded with what made them, decoded with care."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from darkroom.errors import DarkroomError, InvalidRequest
from darkroom.studio import metadata
from darkroom.studio.request import SHEET_GAP, sheet_size

if TYPE_CHECKING:
    from torch import Tensor

    from darkroom.studio.request import Picture, Request

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
SETTINGS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
}
READABLE = ("PNG", "JPEG", "WEBP")
MAX_PIXELS = 64 * 2**20
"""A picture that claims more is not decoded: a few kilobytes can claim gigabytes."""

SPARE = 500
"""Bytes of a record that a request does not tell of."""
FILLED = {
    "width": 1024,
    "height": 1024,
    "steps": 100,
    "cfg_scale": 12.5,
    "sampler": "dpmpp_2s_ancestral",
    "scheduler": "sgm_uniform",
    "precision": "bfloat16",
}
"""What a model may fill in, none of it shorter than what it will be but for odd cases."""

SIXTEEN_BITS = ("I;16", "I;16B", "I")
"""What Pillow calls grey of 16 bits; it would clip such values to 255, not scale them."""

DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    struct.error,
    Image.DecompressionBombError,
)
"""What Pillow raises about a damaged file; the odd ones come of EXIF."""

FRAME_MS, LAST_FRAME_MS = 100, 1500

RECORD, PARAMETERS = "darkroom", "parameters"
WORKFLOWS = ("prompt", "workflow")
"""ComfyUI's graph as its server was sent it, and as its editor saves it."""
EXIF_IFD, MAKER_NOTE, USER_COMMENT = 0x8769, 0x927C, 0x9286
MAKER, UNICODE = b"darkroom\0", b"UNICODE\0"


@dataclass(frozen=True)
class Texts:
    """What a file says about its picture: our record in JSON, the infotext of any tool, ComfyUI's graph."""

    record: str | None
    parameters: str | None
    workflow: str | None = None


@dataclass(frozen=True)
class Decoded:
    """A picture from a file: pixels, uint8 (H, W, 3), the format (PNG, JPEG or WEBP) and the texts."""

    pixels: np.ndarray
    format: str
    texts: Texts


def format_of(path: Path) -> str:
    """PNG, JPEG or WEBP by the name's ending. Raises InvalidRequest for any other."""
    if path.suffix.lower() not in FORMATS:
        raise InvalidRequest(f"cannot write '{path}'; end its name with {', '.join(FORMATS)}.")
    return FORMATS[path.suffix.lower()]


def encode(picture: "Picture", format: str) -> bytes:
    """The picture as PNG, JPEG or WEBP bytes that carry its record and infotext."""
    record = picture.record
    texts = Texts(metadata.to_json(record), metadata.infotext(record, labels()))
    carrier = {"pnginfo": _png_info(texts)} if format == "PNG" else {"exif": _exif(texts)}
    buffer = BytesIO()
    try:
        Image.fromarray(picture.pixels).save(buffer, format, **SETTINGS[format], **carrier)
    except ValueError as error:  # the 64 KB of a JPEG's EXIF block
        raise DarkroomError(
            f"{format} cannot hold this picture's record ({error}); save it as PNG."
        ) from error
    return buffer.getvalue()


def check_holds(requests: "Sequence[Request]", format: str) -> None:
    """Raise DarkroomError where a file has no room for the record of what a request makes, or of the sheet
    that several make, and a little more.
    """
    from darkroom.studio.request import Picture, Record

    first, *further = (request.filled(**FILLED) for request in requests)
    hashes = {str(path): "0" * 64 for request in requests for path in request.files()}
    record = Record(
        request=first,
        model_hash="0" * 64,
        version="0" * SPARE,
        torch="0",
        hashes=hashes,
        further=tuple(further),
    )
    encode(Picture(np.zeros((1, 1, 3), np.uint8), record), format)


def decode(data: bytes, name: str = "the picture") -> Decoded:
    """The picture in PNG, JPEG or WebP bytes, upright; transparency is laid on white.

    Raises DarkroomError for anything else, for a damaged file and for one of more than ``MAX_PIXELS``.
    """
    try:
        with Image.open(BytesIO(data), formats=READABLE) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DarkroomError(
                    f"{name} has {image.width} x {image.height} pixels; make it smaller first."
                )
            image.load()
            upright = ImageOps.exif_transpose(image)
            return Decoded(np.asarray(_on_white(upright)), _format(image), _texts(image))
    except UnidentifiedImageError as error:
        raise DarkroomError(
            f"{name} is not a PNG, JPEG or WebP picture; convert it to one of these."
        ) from error
    except DAMAGE as error:
        raise DarkroomError(f"{name} is damaged ({error}); use another copy.") from error


def check_picture(data: bytes, pixels: int, name: str = "the picture") -> Decoded:
    """The picture, if it is a whole PNG, JPEG or WebP of one frame and no more than ``pixels``.

    Of several that a camera put in one JPEG it is the first. Raises DarkroomError otherwise. Its header is
    asked first: a few kilobytes can claim gigabytes.
    """
    try:
        with Image.open(BytesIO(data), formats=READABLE) as image:
            width, height = image.size
            frames = 1 if _format(image) == "JPEG" else getattr(image, "n_frames", 1)
    except UnidentifiedImageError:
        raise InvalidRequest(f"{name} is not a PNG, JPEG or WebP picture; convert it first.") from None
    except DAMAGE as error:
        raise InvalidRequest(f"{name} is damaged ({error}); use another copy.") from error
    if width * height > pixels:
        raise InvalidRequest(
            f"{name} is {width}x{height}, more than {pixels:,} pixels; make it smaller first."
        )
    if frames != 1:
        raise InvalidRequest(f"{name} is a film of {frames} frames; send one of them.")
    return decode(data, name)


def plain(image: Image.Image) -> Image.Image:
    """A picture of any mode in 8 bits a channel: RGBA where something may be transparent, else RGB."""
    if image.mode in SIXTEEN_BITS:
        image = _scaled(image)
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def read(path: Path) -> Decoded:
    """The picture in a file. Raises DarkroomError as ``decode`` does, and where there is no file."""
    return decode(read_bytes(path), f"'{path}'")


def read_bytes(path: Path) -> bytes:
    """The bytes of a file. Raises DarkroomError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DarkroomError(f"cannot read '{path}': {reason}; check the path.") from error


def read_to_fit(path: Path, width: int, height: int) -> np.ndarray:
    """The picture in a file scaled to cover and cropped about its middle: uint8 (height, width, 3)."""
    image = Image.fromarray(read(path).pixels)
    return np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS))


def signal(pixels: np.ndarray) -> "Tensor":
    """Pixels, uint8 (H, W, 3), as networks see them: (1, 3, H, W) in [-1, 1]."""
    import torch

    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 127.5 - 1


def read_mask(path: Path, width: int, height: int) -> np.ndarray:
    """A mask from a file, fitted as pictures are: float32 (height, width), 1 where it is white, else 0."""
    pixels = read_to_fit(path, width, height)
    return (pixels.mean(axis=2) >= 127.5).astype(np.float32)


def sheet(pixels: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures of one size in rows, as near to a square as they go, with white between: uint8 (H, W, 3)."""
    height, width, _ = pixels[0].shape
    across, down = sheet_size(len(pixels), width, height)
    whole = np.full((down, across, 3), 255, np.uint8)
    columns = (across + SHEET_GAP) // (width + SHEET_GAP)
    for i, one in enumerate(pixels):
        top, left = i // columns * (height + SHEET_GAP), i % columns * (width + SHEET_GAP)
        whole[top : top + height, left : left + width] = one
    return whole


def animation(frames: Sequence[np.ndarray]) -> bytes:
    """Pictures of one size after another as a looping GIF that rests on the last."""
    first, *rest = (Image.fromarray(frame) for frame in frames)
    durations = [FRAME_MS] * len(rest) + [LAST_FRAME_MS]
    buffer = BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=durations, loop=0)
    return buffer.getvalue()


def labels() -> dict[str, str]:
    """What other tools call our samplers and schedulers."""
    from darkroom.diffusion.grids import GRIDS
    from darkroom.diffusion.samplers import SAMPLERS

    samplers = {name: sampler.label for name, sampler in SAMPLERS.items()}
    return samplers | {name: grid.label for name, grid in GRIDS.items()}


def _format(image: Image.Image) -> str:
    """PNG, JPEG or WEBP: Pillow calls a JPEG with further pictures behind the first MPO."""
    return "JPEG" if image.format == "MPO" else str(image.format)


def _on_white(image: Image.Image) -> Image.Image:
    shown = plain(image)
    if shown.mode == "RGB":
        return shown
    return Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown).convert("RGB")


def _scaled(image: Image.Image) -> Image.Image:
    """Grey of 16 bits in 8: L, or LA where one grey stands for nothing."""
    values = np.asarray(image).astype(np.int64)
    grey = Image.fromarray((values / 257).round().clip(0, 255).astype(np.uint8))
    nothing = image.info.get("transparency")
    if isinstance(nothing, int):
        grey.putalpha(Image.fromarray(np.where(values == nothing, 0, 255).astype(np.uint8)))
    return grey


def _png_info(texts: Texts) -> PngInfo:
    info = PngInfo()
    info.add_text(PARAMETERS, texts.parameters or "")  # tEXt where Latin-1 will do, iTXt otherwise
    info.add_text(RECORD, texts.record or "")
    return info


def _exif(texts: Texts) -> Image.Exif:
    """Infotext in UserComment, where A1111 keeps it; our record in MakerNote, which is each maker's own."""
    exif = Image.Exif()
    block = exif.get_ifd(EXIF_IFD)
    block[USER_COMMENT] = UNICODE + (texts.parameters or "").encode("utf-16-be")
    block[MAKER_NOTE] = MAKER + (texts.record or "").encode()
    return exif


def _texts(image: Image.Image) -> Texts:
    """Read after ``load``: a PNG may keep its texts behind the pixels."""
    chunks = getattr(image, "text", {})
    block = image.getexif().get_ifd(EXIF_IFD)
    note, comment = (_as_bytes(block.get(tag)) for tag in (MAKER_NOTE, USER_COMMENT))
    record = note.removeprefix(MAKER).decode("utf-8", "replace") if note.startswith(MAKER) else None
    workflow = next((chunks[key] for key in WORKFLOWS if key in chunks), None)
    return Texts(chunks.get(RECORD, record), chunks.get(PARAMETERS, _user_comment(comment)), workflow)


def _as_bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


def _user_comment(comment: bytes) -> str | None:
    """The text of an EXIF UserComment; tools disagree on the byte order, and "Steps: " tells which it is."""
    if not comment.startswith(UNICODE):
        return None
    big, little = (
        comment.removeprefix(UNICODE).decode(code, "replace") for code in ("utf-16-be", "utf-16-le")
    )
    return little if "Steps: " in little else big
