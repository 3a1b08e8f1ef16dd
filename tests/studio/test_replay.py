"""How close a picture made again came to the one in the file."""

import os
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from darkroom.errors import DarkroomError
from darkroom.studio import replay as replaying
from darkroom.studio.attachments import Attachments, Control, ImagePrompt, Lora
from darkroom.studio.develop import develop
from darkroom.studio.digests import digest
from darkroom.studio.pictures import sheet
from darkroom.studio.replay import Likeness, compare, located, read_record, replay
from darkroom.studio.request import Picture, Record, Request

RECORD = Record(
    request=Request(prompt="a cone", seed=1, width=24, height=16), model_hash="ab", version="1", torch="2"
)
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


@pytest.mark.parametrize("count", [1, 3, 5])
def test_a_file_of_another_size_than_its_record_says_is_refused_before_the_work(tmp_path, count, monkeypatch):
    monkeypatch.setattr("darkroom.studio.develop.develop_many", None)
    record = replace(RECORD, request=Request(prompt="x", seed=1, width=24, height=16, count=count))
    whole = sheet([PIXELS] * count)
    read_record(Picture(whole, record).save(tmp_path / "whole.png"))
    path = Picture(whole[::2], record).save(tmp_path / "x.png")
    with pytest.raises(DarkroomError, match=f"{whole.shape[1]} x {len(whole[::2])}, not as its record says"):
        replay(path)


@pytest.mark.parametrize(
    "odd", [{"request": Request(prompt="x", seed=1)}, {"further": (Request(prompt="x", width=8, height=8),)}]
)
def test_a_record_of_no_one_size_is_refused(tmp_path, odd):
    path = Picture(PIXELS, replace(RECORD, **odd)).save(tmp_path / "x.png")
    with pytest.raises(DarkroomError, match="not as its record says"):
        replay(path)


SMALL = {"seed": 3, "steps": 1, "width": 32, "height": 32}


@pytest.mark.parametrize("now", ["moved/first.png", "moved/sub/first.png", "elsewhere.png", "home"])
def test_what_a_picture_was_made_from_may_have_moved(tmp_path, monkeypatch, now):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path / "home"))
    first = Path("sub/first.png")
    first.parent.mkdir()
    Image.fromarray(PIXELS).save(first)
    request = Request(prompt="a cone", init_image=first, strength=0.9, **SMALL)
    path = develop(request)[0].save(tmp_path / "moved" / "x.png")
    assert replay(path)[1].same_file
    target = tmp_path / ("home/wildcards/first.png" if now == "home" else now)
    target.parent.mkdir(parents=True, exist_ok=True)
    first.rename(target)
    monkeypatch.chdir(tmp_path / "home" if now == "home" else tmp_path / "moved")
    sources = () if now.startswith("moved") else (path, target)
    assert replay(path, sources=sources)[1].same_file
    Image.fromarray(PIXELS[::-1]).save(target)
    with pytest.raises(DarkroomError, match=r"'sub/first\.png', which .* with --source\.$"):
        replay(path, sources=sources)


def test_a_lora_that_lies_in_ones_own_folder_is_found_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path / "home"))
    own = tmp_path / "home" / "loras" / "ink.safetensors"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"ink")
    theirs = Path("/home/them/.darkroom/loras/ink.safetensors")
    request = Request(prompt="x", attached=Attachments(loras=(Lora(theirs),)))
    record = replace(RECORD, request=request, hashes={str(theirs): digest(own)})
    found = located(record, tmp_path)
    assert found.files() == (own,) and found.hashes == {str(own): digest(own)}


def test_a_file_without_a_record_is_refused(tmp_path: Path):
    Image.fromarray(PIXELS).save(tmp_path / "x.png")
    with pytest.raises(DarkroomError, match="carries no Darkroom record"):
        read_record(tmp_path / "x.png")


def test_a_model_that_only_the_file_names_is_not_fetched(tmp_path: Path):
    pytest.importorskip("huggingface_hub")
    record = replace(RECORD, request=replace(RECORD.request, model="someone/evil"))
    with pytest.raises(DarkroomError, match="not fetched because a file names it"):
        replay(Picture(PIXELS, record).save(tmp_path / "x.png"))


NOTHING = sha256(b"").hexdigest()
"""What a stranger may write as the hash of what has no bytes."""


def of_stranger(folder: Path, hashes: dict, **asked) -> Path:
    """A picture whose record names files of this machine."""
    record = replace(RECORD, request=replace(RECORD.request, **asked), hashes=hashes)
    return Picture(PIXELS, record).save(folder / "stranger.png", overwrite=True)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A folder as a ControlNet may be one."""
    folder = tmp_path / "net"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """Whoever opens it waits for good."""
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def test_pipes_devices_and_folders_are_no_pictures_and_not_read(tmp_path, pipe, weights, monkeypatch):
    monkeypatch.setattr(replaying, "digest", lambda path: pytest.fail(f"{path} was read"))
    for path in (pipe, Path("/dev/zero"), Path("/dev/null"), tmp_path, weights, Path("/proc/self/status")):
        hashes, control = {str(path): NOTHING}, tmp_path / "net" / "model.safetensors"
        for asked in (
            {"init_image": path},
            {"attached": Attachments(loras=(Lora(tmp_path if path == weights else path),))},
            {"attached": Attachments(embeddings=(path,))},
            {"attached": Attachments(controls=(Control(control, path),))},
        ):
            with pytest.raises(DarkroomError, match="is gone or changed"):
                replay(of_stranger(tmp_path, hashes | {str(control): ""}, **asked))


def test_a_folder_is_read_only_where_a_network_may_be_one_and_is(tmp_path, pipe, weights):
    picture, empty = tmp_path / "stranger.png", tmp_path / "empty"
    empty.mkdir()
    Image.fromarray(PIXELS).save(tmp_path / "seen.png")
    seen = {str(tmp_path / "seen.png"): digest(tmp_path / "seen.png")}
    for path, known in ((weights, digest(weights)), (empty, NOTHING), (pipe, NOTHING), (weights, "0" * 64)):
        parts = Attachments(
            loras=(Lora(path),),
            controls=(Control(path, tmp_path / "seen.png"),),
            image_prompts=(ImagePrompt(path, path, tmp_path / "seen.png"),),
        )
        record = read_record(of_stranger(tmp_path, seen | {str(path): known}, attached=parts))
        if known == digest(weights):
            assert located(record, tmp_path) == record
            continue
        with pytest.raises(DarkroomError, match="is gone or changed"):
            replay(picture)


def test_a_model_that_is_a_pipe_or_any_folder_is_not_opened(tmp_path, pipe):
    for path in (pipe, Path("/dev/zero"), tmp_path):
        with pytest.raises(DarkroomError, match="is no model"):
            replay(of_stranger(tmp_path, {}, model=str(path)))


def test_a_pipe_has_no_hash(pipe):
    assert digest(pipe) == digest(Path("/dev/null")) == ""
