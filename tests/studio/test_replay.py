"""How close a picture made again came to the one in the file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from darkroom.errors import DarkroomError
from darkroom.studio.replay import Likeness, compare, read_record, replay
from darkroom.studio.request import Picture, Record, Request

RECORD = Record(request=Request(prompt="a cone", seed=1), model_hash="ab", version="1", torch="2")
PIXELS = np.random.default_rng(0).integers(20, 230, (16, 24, 3), np.uint8)


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.webp"])
def test_the_same_pixels_make_the_same_file(tmp_path, name):
    path = Picture(PIXELS, RECORD).save(tmp_path / name)
    assert read_record(path) == RECORD
    likeness = compare(path, RECORD, Picture(PIXELS, replace(RECORD, torch="3")))
    assert likeness == Likeness(True, 0, 0.0, 0.0, True)
    assert str(likeness) == "identical, every byte of the file"


def test_a_difference_is_measured(tmp_path):
    path = Picture(PIXELS, RECORD).save(tmp_path / "x.png")
    other = PIXELS.copy()
    other[0, 0] += np.array([3, 0, 1], np.uint8)
    other[5, 5, 1] -= 7
    likeness = compare(path, RECORD, Picture(other, replace(RECORD, model_hash="cd")))
    assert not likeness.same_file and likeness.largest == 7
    assert likeness.mean == pytest.approx(11 / PIXELS.size) and likeness.share == pytest.approx(2 / (16 * 24))
    assert not likeness.same_model and "other weights" in str(likeness) and "7 of 255" in str(likeness)


def test_the_same_pixels_in_a_file_packed_otherwise(tmp_path):
    path = Picture(PIXELS, RECORD).save(tmp_path / "x.png")
    with Image.open(path) as image:
        image.save(path, optimize=True)
    assert str(compare(path, RECORD, Picture(PIXELS, RECORD))) == "identical, every pixel"


def test_a_resized_file_is_refused(tmp_path):
    path = Picture(PIXELS[::2], RECORD).save(tmp_path / "x.png")
    with pytest.raises(DarkroomError, match="24 x 8, not as its record says"):
        compare(path, RECORD, Picture(PIXELS, RECORD))


def test_a_file_without_a_record_is_refused(tmp_path: Path):
    Image.fromarray(PIXELS).save(tmp_path / "x.png")
    with pytest.raises(DarkroomError, match="carries no Darkroom record"):
        read_record(tmp_path / "x.png")


def test_a_model_that_only_the_file_names_is_not_fetched(tmp_path: Path):
    pytest.importorskip("huggingface_hub")
    record = replace(RECORD, request=Request(prompt="a cone", seed=1, model="someone/evil"))
    with pytest.raises(DarkroomError, match="not fetched because a file names it"):
        replay(Picture(PIXELS, record).save(tmp_path / "x.png"))
