"""Pictures from clients: what is not one is refused before it costs anything, and nothing is fetched."""

import base64
import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from darkroom.errors import DarkroomError
from darkroom.server.a1111.filling import filled
from darkroom.server.incoming import from_base64, mask_for, transparent
from darkroom.studio import pictures
from darkroom.studio.pictures import check_picture, decode

MOST = 2**16


def picture(format="PNG", size=(8, 8), **options) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", size, "red").save(buffer, format, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be huge."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_pictures_of_three_formats_are_taken(format):
    check_picture(picture(format), MOST)


@pytest.mark.parametrize("side", [257, 60_000, 2**31 - 1])
def test_size_is_asked_before_anything_is_decoded(side, monkeypatch):
    monkeypatch.setattr(pictures, "decode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(DarkroomError, match=r"pixels|damaged"):
        check_picture(bomb(side, side), MOST)


@pytest.mark.parametrize("format", ["GIF", "TIFF", "BMP", "ICO", "PPM", "TGA"])
def test_other_formats_are_not(format):
    with pytest.raises(DarkroomError, match="is not a PNG, JPEG or WebP"):
        check_picture(picture(format), MOST)


@pytest.mark.parametrize(
    "data", [b"", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe", b"\x89PNG\r\n\x1a\n"]
)
def test_what_is_no_picture_is_not(data):
    with pytest.raises(DarkroomError):
        check_picture(data, MOST)


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_films_are_not(format):
    more = [Image.new("RGB", (8, 8), colour) for colour in ("blue", "green")]
    with pytest.raises(DarkroomError, match="is a film of 3 frames"):
        check_picture(picture(format, save_all=True, append_images=more), MOST)


def test_of_a_cameras_pictures_in_one_jpeg_the_first_is_taken():
    """A smaller one lies behind it; Pillow calls the format MPO."""
    data = picture("MPO", (16, 8), save_all=True, append_images=[Image.new("RGB", (8, 4), "blue")])
    with Image.open(BytesIO(data)) as several:
        assert several.n_frames == 2
    taken = check_picture(data, MOST)
    assert taken.pixels.shape == (8, 16, 3) and taken.format == "JPEG"
    assert np.abs(taken.pixels.astype(int) - [255, 0, 0]).max() < 5


@given(st.integers(10, 200), st.integers(0, 255))
def test_damage_is_a_sentence(place, byte):
    data = bytearray(picture("JPEG", (64, 64)))
    data[place], data[place + 1 :] = byte, data[place + 1 : -40]
    try:
        check_picture(bytes(data), MOST)
    except DarkroomError as error:
        assert str(error).endswith((".", "copy."))


@pytest.mark.parametrize(
    "text", ["http://127.0.0.1/x.png", "https://example.org/x.png", "file:///etc/passwd"]
)
def test_addresses_are_not_fetched(text, monkeypatch):
    import socket

    monkeypatch.setattr(socket, "socket", lambda *_: pytest.fail("connected"))
    with pytest.raises(DarkroomError, match="nothing is fetched"):
        from_base64(text)


def test_base64_with_and_without_its_header():
    data = picture()
    text = base64.b64encode(data).decode()
    assert from_base64(text) == from_base64(f"data:image/png;base64,{text}") == data
    for bad in ("!", "/etc/passwd.", "data:text/html;base64," + text):
        with pytest.raises(DarkroomError, match="not in base64"):
            from_base64(bad)


@pytest.mark.parametrize("end", ["\n", "\r\n", " "])
def test_base64_in_lines_as_shells_write_it(end):
    data = picture(size=(64, 64))
    text = base64.encodebytes(data).decode().replace("\n", end)
    assert text.count(end) > 1
    assert from_base64(text) == from_base64(f"data:image/png;base64,{end}{text}") == data


def rgba(alpha: np.ndarray, **options) -> bytes:
    pixels = np.dstack([np.full((*alpha.shape, 3), 7, np.uint8), alpha.astype(np.uint8)])
    buffer = BytesIO()
    Image.fromarray(pixels, "RGBA").save(buffer, "PNG", **options)
    return buffer.getvalue()


def turned() -> Image.Exif:
    """Says that a picture stands on its side: what is stored above is on the right."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return exif


def test_openais_masks_are_white_where_they_are_wholly_transparent():
    alpha = np.array([[0, 1], [128, 255]])
    white = np.asarray(Image.open(BytesIO(transparent(rgba(alpha)))))
    assert white.tolist() == [[255, 0], [0, 0]]
    assert transparent(picture()) is None and transparent(rgba(alpha.clip(1))) is None
    with pytest.raises(DarkroomError, match="nowhere transparent"):
        mask_for(picture(), picture(), MOST)
    with pytest.raises(DarkroomError, match="differ in size"):
        mask_for(rgba(alpha), picture(), MOST)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_masks_fit_pictures_as_they_are_seen(format):
    photo = picture(format, (16, 8), exif=turned())
    assert decode(photo).pixels.shape == (16, 8, 3)
    upright, lying = (rgba(np.eye(*shape) * 255) for shape in ((16, 8), (8, 16)))
    with Image.open(BytesIO(mask_for(upright, photo, MOST))) as mask:
        assert mask.size == (8, 16)
    with pytest.raises(DarkroomError, match="differ in size"):
        mask_for(lying, photo, MOST)


def test_what_is_transparent_is_so_as_the_picture_is_seen():
    alpha = np.full((8, 16), 255)
    alpha[0, :] = 0
    white = np.asarray(Image.open(BytesIO(transparent(rgba(alpha, exif=turned())))))
    assert white.shape == (16, 8) and (white == np.where(np.arange(8) == 7, 255, 0)).all()


def test_filling_takes_colours_from_around_and_leaves_the_rest():
    image = Image.new("RGB", (64, 64), "red")
    image.paste("blue", (32, 0, 64, 64))
    image.paste("white", (16, 16, 48, 48))
    mask = Image.new("L", (64, 64))
    mask.paste(255, (16, 16, 48, 48))
    shown, before, inside = (np.asarray(one, int) for one in (filled(image, mask), image, mask))
    assert (shown[inside == 0] == before[inside == 0]).all()
    red, blue = shown[32, 17], shown[32, 46]
    assert red[0] > 150 > 80 > red[2] and blue[2] > 150 > 80 > blue[0]  # white is gone, each side has its own
    assert (np.asarray(filled(image, Image.new("L", (64, 64), 255))) == before).all()  # nothing to take from
