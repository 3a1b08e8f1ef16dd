"""Picture files: what goes in comes out, other tools' files are read, and bad ones are refused."""

import struct
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from darkroom.errors import DarkroomError, InvalidRequest
from darkroom.studio import pictures
from darkroom.studio.metadata import from_json, read_infotext
from darkroom.studio.request import Picture, Record, Request

REQUEST = Request(
    prompt="a cone", seed=1, steps=9, sampler="dpmpp_2m", scheduler="karras", width=24, height=16
)
RECORD = Record(request=REQUEST, model_hash="ab" * 32, version="1", torch="2")
PIXELS = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)

prompts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60).filter(str.strip)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
@settings(max_examples=60)
@given(prompt=prompts, negative=prompts)
def test_every_format_carries_the_record_and_infotext(format, prompt, negative):
    record = replace(RECORD, request=replace(REQUEST, prompt=prompt, negative=negative))
    decoded = pictures.decode(pictures.encode(Picture(PIXELS, record), format))
    assert decoded.format == format
    assert from_json(decoded.texts.record) == record
    info = read_infotext(decoded.texts.parameters)
    assert info.settings["Sampler"] == "DPM++ 2M" and info.settings["Schedule type"] == "Karras"


@pytest.mark.parametrize(("format", "largest"), [("PNG", 0), ("WEBP", 0), ("JPEG", 64)])
def test_pixels_survive(format, largest):
    decoded = pictures.decode(pictures.encode(Picture(PIXELS, RECORD), format))
    assert np.abs(decoded.pixels.astype(int) - PIXELS).max() <= largest


def test_a_record_too_long_for_jpeg_says_so_and_fits_a_png():
    record = replace(RECORD, request=replace(REQUEST, prompt="漢" * 8000, negative="字" * 8000))
    with pytest.raises(DarkroomError, match=r"JPEG cannot hold .* save it as PNG"):
        pictures.encode(Picture(PIXELS, record), "JPEG")
    assert from_json(pictures.decode(pictures.encode(Picture(PIXELS, record), "PNG")).texts.record) == record


@pytest.mark.parametrize("order", ["utf-16-be", "utf-16-le"])
def test_infotext_in_exif_of_either_byte_order(order):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + "a café\nSteps: 20, Seed: 1, Size: 8x8".encode(order)
    file = BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG", exif=exif)
    texts = pictures.decode(file.getvalue()).texts
    assert texts.record is None and read_infotext(texts.parameters).prompt == "a café"


def test_a_file_that_says_nothing():
    file = BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG")
    assert pictures.decode(file.getvalue()).texts == pictures.Texts(None, None)


@settings(max_examples=40)
@given(st.sampled_from(["PNG", "JPEG", "WEBP"]), st.floats(0, 0.97))
def test_a_truncated_file_is_refused(format, share):
    data = pictures.encode(Picture(PIXELS, RECORD), format)
    with pytest.raises(DarkroomError):
        pictures.decode(data[: int(len(data) * share)])


@pytest.mark.parametrize("data", [b"", b"hello", b"GIF89a" + b"\0" * 50, b"%PDF-1.4"])
def test_what_is_no_picture_is_refused(data):
    with pytest.raises(DarkroomError, match="convert it"):
        pictures.decode(data)


def test_a_huge_claim_is_refused_before_it_is_decoded():
    file = BytesIO()
    Image.new("1", (8_000, 9_000)).save(file, "PNG")
    assert len(file.getvalue()) < 50_000
    with pytest.raises(DarkroomError, match="8000 x 9000"):
        pictures.decode(file.getvalue())


def test_a_text_bomb_is_refused():
    file, info = BytesIO(), PngInfo()
    info.add_text("parameters", "a" * 50_000_000, zip=True)
    Image.fromarray(PIXELS).save(file, "PNG", pnginfo=info)
    with pytest.raises(DarkroomError, match="damaged"):
        pictures.decode(file.getvalue())


def test_transparency_is_laid_on_white():
    file = BytesIO()
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(file, "PNG")
    assert (pictures.decode(file.getvalue()).pixels == 255).all()


def in_sixteen_bits(values: np.ndarray, **options) -> bytes:
    file = BytesIO()
    Image.fromarray(values.astype(np.uint16)).save(file, "PNG", **options)
    return file.getvalue()


def test_grey_of_16_bits_is_scaled_and_not_cut_off(tmp_path: Path):
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64)
    seen = pictures.decode(in_sixteen_bits(ramp)).pixels
    assert np.abs(seen - (ramp / 257)[..., None]).max() <= 1
    (tmp_path / "mask.png").write_bytes(in_sixteen_bits(ramp))
    assert pictures.read_mask(tmp_path / "mask.png", 64, 64).mean() == pytest.approx(0.5, abs=0.02)
    clear = pictures.decode(in_sixteen_bits(np.where(ramp > 9999, 300, ramp), transparency=300)).pixels
    assert (clear[ramp > 9999] == 255).all() and clear[0, 0, 0] == 0


def test_exif_that_cannot_be_packed_again_is_damage():
    """Pillow turns a picture upright and packs its EXIF anew; a text where a number belongs cannot be."""
    turned, width = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0), struct.pack("<HHI4s", 0x0100, 2, 4, b"abc\0")
    exif = b"Exif\0\0II*\0\x08\0\0\0\x02\0" + turned + width + bytes(4)
    file = BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG", exif=exif)
    with pytest.raises(DarkroomError, match="damaged"):
        pictures.decode(file.getvalue())


def test_a_photo_with_another_behind_it_is_a_jpeg(tmp_path: Path):
    """As cameras write them, under the name of JPEG."""
    first, path = Image.new("RGB", (24, 16), "red"), tmp_path / "photo.jpg"
    first.save(path, "MPO", save_all=True, append_images=[Image.new("RGB", (12, 8), "blue")])
    assert pictures.read(path).format == "JPEG"
    assert np.abs(pictures.read_to_fit(path, 24, 16).astype(int) - [255, 0, 0]).max() < 5


def test_a_format_must_hold_the_names_of_files_too():
    start = Path("/start", *["d" * 200] * 20)  # named twice: in the request, and with its hash
    pictures.check_holds([replace(REQUEST, prompt="\u6f22" * 7200)], "JPEG")
    with pytest.raises(DarkroomError, match="JPEG cannot hold"):
        pictures.check_holds([replace(REQUEST, prompt="\u6f22" * 7200, init_image=start)], "JPEG")


def test_a_first_picture_is_cropped_about_its_middle(tmp_path: Path):
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 200
    Image.fromarray(wide).save(tmp_path / "wide.png")
    fitted = pictures.read_to_fit(tmp_path / "wide.png", 10, 10)
    assert fitted.shape == (10, 10, 3) and (fitted[:, 2:-2] >= 199).all()


def test_reading_what_is_not_there(tmp_path: Path):
    with pytest.raises(DarkroomError, match="no such file"):
        pictures.read(tmp_path / "gone.png")
    with pytest.raises(DarkroomError, match="is a directory"):
        pictures.read(tmp_path)


def test_an_unknown_ending_names_the_known_ones():
    with pytest.raises(InvalidRequest, match=r"\.png, \.jpg, \.jpeg, \.webp"):
        pictures.format_of(Path("x.bmp"))
    assert pictures.format_of(Path("X.JPG")) == "JPEG"


@pytest.mark.parametrize(
    ("count", "shape"), [(1, (8, 8, 3)), (2, (8, 20, 3)), (5, (20, 32, 3)), (9, (32, 32, 3))]
)
def test_a_sheet_shows_each_picture_once(count, shape):
    shown = pictures.sheet([np.full((8, 8, 3), i, np.uint8) for i in range(count)])
    assert shown.shape == shape
    assert all((shown == i).all(axis=2).sum() == 64 for i in range(count))


def test_an_animation_has_every_frame():
    frames = [np.full((8, 8, 3), i * 50, np.uint8) for i in range(4)]
    with Image.open(BytesIO(pictures.animation(frames))) as film:
        assert film.n_frames == 4
