"""Where pictures go: what -o means, and what is noticed of it before the work."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from darkroom.errors import InvalidRequest
from darkroom.studio.replay import read_record


@pytest.fixture
def idle(developing):
    """A darkroom in which no work may begin."""
    developing.develop_many = lambda *_, **__: pytest.fail("the work began")


def saved(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*") if path.is_file())


@pytest.mark.parametrize("name", ["v1.0/", "v1.0/.", ".png/", "x.png/"])
def test_a_slash_names_a_folder(darkroom, tmp_path, name):
    done = darkroom("generate", "a cone", "-s", 1, "-o", name)
    assert done.exit_code == 0, done.stderr
    assert saved(tmp_path) == [f"{Path(name)}/0001-a-cone.png"]
    assert darkroom("generate", "a cone", "a cube", "-o", name).exit_code == 0


def test_a_folder_that_is_there_is_one_whatever_its_name(darkroom, tmp_path):
    for name in ("v1.0", "x.png", ".png"):
        (tmp_path / name).mkdir()
        assert darkroom("generate", "a cone", "-o", name).stdout.startswith(f"{name}/0001-a-cone.png")


@pytest.mark.parametrize("name", [".png", ".PNG", "shapes/.jpg"])
def test_an_ending_alone_is_no_name(darkroom, tmp_path, idle, name):
    done = darkroom("generate", "a cone", "-o", name)
    assert done.exit_code == 2 and f"'{name}' is an ending without a name" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def start(tmp_path) -> Path:
    """A picture, and a link to it."""
    Image.new("RGB", (8, 8), "red").save(tmp_path / "start.png")
    (tmp_path / "link.png").symlink_to("start.png")
    (tmp_path / "here").symlink_to(tmp_path)
    return tmp_path / "start.png"


@pytest.mark.parametrize("output", ["start.png", "./start.png", "here/start.png", "link.png"])
@pytest.mark.parametrize("source", ["start.png", "link.png"])
def test_a_picture_never_takes_the_place_of_its_own_source(darkroom, start, idle, source, output):
    before = start.read_bytes()
    done = darkroom("generate", "a cone", "-i", source, "-o", output, "--overwrite")
    assert done.exit_code == 2 and done.stderr.count("\n") == 1
    assert f"'{Path(output)}' is what the picture is made from" in done.stderr
    assert start.read_bytes() == before


def test_nor_does_one_of_a_batch_nor_a_sheet(darkroom, start, idle):
    for name, more in (("x-2.png", ["-b", 2]), ("x-grid.png", ["--grid"])):
        start.rename(start.with_name(name))
        done = darkroom("generate", "a cone", "-i", name, "-o", "x.png", "--overwrite", *more)
        assert done.exit_code == 2 and f"'{name}' is what the picture is made from" in done.stderr
        start.with_name(name).rename(start)


def test_another_picture_may_be_replaced(darkroom, start):
    start.with_name("x.png").write_bytes(b"old")
    assert darkroom("generate", "a cone", "-i", "start.png", "-o", "x.png", "--overwrite").exit_code == 0


CHOICES = "{a|b|c|d|e|f|g} cone"


def test_a_sheet_whose_record_is_too_long_is_refused_before_the_work(darkroom, tmp_path, idle):
    done = darkroom("generate", CHOICES, "-s", 1, "-b", 120, "--grid", "-o", "x.jpg")
    assert done.exit_code == 2 and "save it as PNG" in done.stderr and list(tmp_path.iterdir()) == []


def test_a_sheet_that_fits_is_saved(darkroom, tmp_path):
    for count, name, prompt in ((20, "x.jpg", CHOICES), (120, "y.png", CHOICES), (120, "z.jpg", "a cone")):
        done = darkroom("generate", prompt, "-s", 1, "-b", count, "--grid", "-o", name)
        assert done.exit_code == 0, done.stderr
        sheet = read_record(tmp_path / name.replace(".", "-grid."))
        assert len(sheet.requests) == (1 if prompt == "a cone" else count)


@pytest.fixture
def sheetless(monkeypatch):
    """No sheet can be saved, which nobody could have known."""

    def fail(*_):
        raise InvalidRequest("the sheet is lost.")

    monkeypatch.setattr("darkroom.cli.target.Target.save_sheet", fail)


def test_what_was_saved_before_a_sheet_failed_is_printed(darkroom, tmp_path, sheetless):
    done = darkroom("generate", "a cone", "-s", 3, "-b", 2, "--grid", "-o", "x.png")
    assert (done.exit_code, done.stderr) == (2, "darkroom: the sheet is lost.\n")
    assert done.stdout == "x-1.png  seed 3\nx-2.png  seed 4\n"
    done = darkroom("generate", "a cone", "-s", 3, "-b", 2, "--grid", "-o", "y.png", "--json")
    (run,) = json.loads(done.stdout)["runs"]
    assert [os.path.basename(one["path"]) for one in run["pictures"]] == ["y-1.png", "y-2.png"]


def test_a_later_prompt_that_names_no_lora_is_noticed_before_the_first_is_made(darkroom, tmp_path, idle):
    for json_too in ([], ["--json"]):
        done = darkroom("generate", "a red apple", "b <lora:nosuch:1>", *json_too, "-o", "made/")
        assert done.exit_code == 2 and done.stdout == "" and "'nosuch'" in done.stderr
    assert saved(tmp_path) == []


def test_runs_before_one_that_fails_are_told_of(darkroom, developing):
    exact = developing.develop

    def only_cones(request, progress=None):
        if request.prompt != "a cone":
            raise InvalidRequest("only cones can be made.")
        return exact(request, progress)

    developing.develop = only_cones
    words = ("generate", "a cone", "a cube", "a cone", "-s", 3, "-o", "made/")
    done = darkroom(*words)
    assert done.stdout == "made/0001-a-cone.png  seed 3\n"
    assert (done.exit_code, done.stderr) == (2, "darkroom: only cones can be made.\n")
    done = darkroom(*words, "--json")
    (run,) = json.loads(done.stdout)["runs"]
    assert run["pictures"][0]["path"] == "made/0002-a-cone.png" and done.exit_code == 2


def test_a_replay_keeps_to_the_same_rules(darkroom, tmp_path, start):
    made = darkroom("generate", "a cone", "-s", 1, "-i", "start.png", "-o", "x.png")
    assert made.exit_code == 0, made.stderr
    before = start.read_bytes()
    refused = darkroom("replay", "x.png", "-o", "start.png", "--overwrite")
    assert refused.exit_code == 2 and "is what the picture is made from" in refused.stderr
    assert start.read_bytes() == before
    assert "--overwrite needs the file" in darkroom("replay", "x.png", "--overwrite").stderr
    done = darkroom("replay", "x.png", "-o", "v1.0/")
    assert done.exit_code == 0, done.stderr
    start.rename(tmp_path / "v1.0" / "other.png")
    kept = ("--source", "v1.0/other.png", "-o", "v1.0/other.png", "--overwrite")
    assert "is what the picture is made from" in darkroom("replay", "x.png", *kept).stderr
    assert "say where it is with --source" in darkroom("replay", "x.png").stderr
    again = darkroom("replay", "x.png", "--source", "v1.0/other.png")
    assert again.stdout == "x.png: identical, every byte of the file\n"
