"""``darkroom generate`` and what other commands read from its files."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from darkroom.studio.pictures import read
from darkroom.studio.replay import read_record


def pictures(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_picture_gets_the_next_number_and_its_seed_is_printed(darkroom, tmp_path):
    first, second = darkroom("generate", "a red apple"), darkroom("generate", "a red apple")
    found = re.fullmatch(r"pictures/0001-a-red-apple\.png  seed (\d+)\n", first.stdout)
    assert found and first.exit_code == 0 and first.stderr == ""
    assert read_record(tmp_path / "pictures" / "0001-a-red-apple.png").request.seed == int(found[1])
    assert (
        second.stdout.startswith("pictures/0002-a-red-apple.png")
        and first.stdout[-11:] != second.stdout[-11:]
    )


def test_every_flag_reaches_the_record(darkroom, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "start.png")
    words = shlex.split(
        "-n blur -s 5 -W 32 -H 48 --steps 7 --cfg-scale 2.5 --sampling-method heun --scheduler karras "
        "--noise torch-gpu --subseed 8 --subseed-strength 0.25"
    )
    done = darkroom("generate", "-p", "a cone", *words, "-i", "start.png", "--strength", 0.5, "-o", "x.webp")
    assert done.stdout == "x.webp  seed 5\n"
    made = read_record(tmp_path / "x.webp").request
    assert (made.prompt, made.negative, made.seed) == ("a cone", "blur", 5)
    assert (made.width, made.height, made.steps, made.cfg_scale) == (32, 48, 7, 2.5)
    assert (made.sampler, made.scheduler, made.strength) == ("heun", "karras", 0.5)
    assert (made.noise, made.variation_seed, made.variation_strength) == ("torch-gpu", 8, 0.25)
    assert made.init_image == Path("start.png") and read(tmp_path / "x.webp").pixels.shape == (48, 32, 3)


@pytest.mark.parametrize(
    ("flag", "name", "value"),
    [("--cfg", "cfg_scale", 3.0), ("--guidance-scale", "cfg_scale", 3.0), ("--sampler", "sampler", "heun")],
)
def test_other_names_for_flags(darkroom, tmp_path, flag, name, value):
    darkroom("generate", "a cone", flag, value, "-o", "x.png")
    assert getattr(read_record(tmp_path / "x.png").request, name) == value


def test_what_steers_reaches_the_record(darkroom, tmp_path):
    steered = ["--cfg-interval", "0.3", "5", "--pag-scale", "2", "--seed-resize-from", "96", "64"]
    darkroom("generate", "a cone", "-s", 2, *steered, "-o", "x.png")
    made = read_record(tmp_path / "x.png").request
    assert (made.cfg_interval, made.pag_scale, made.seed_size) == ((0.3, 5.0), 2.0, (96, 64))
    darkroom("generate", "a cone", "-s", 2, "--guide", "cfg_pp", "--cfg-rescale", 0.5, "-o", "y.png")
    made = read_record(tmp_path / "y.png").request
    assert (made.guide, made.cfg_rescale) == ("cfg_pp", 0.5)
    refused = darkroom("generate", "a cone", "--guide", "cgf")
    assert refused.exit_code == 2 and "did you mean 'cfg'?" in refused.stderr


def test_a_batch_is_the_same_as_its_pictures_alone(darkroom, tmp_path):
    assert darkroom("generate", "a cone", "-b", 3, "-s", 10, "-o", "x.png").stdout.split()[::3] == [
        "x-1.png",
        "x-2.png",
        "x-3.png",
    ]
    darkroom("generate", "a cone", "-s", 11, "-o", "alone.png")
    assert (tmp_path / "x-2.png").read_bytes() == (tmp_path / "alone.png").read_bytes()


def test_several_prompts_share_a_seed_and_a_folder(darkroom, tmp_path):
    done = darkroom("generate", "a cone", "a cube", "-p", "a ball", "-s", 3, "-o", "shapes")
    assert pictures(tmp_path / "shapes") == ["0001-a-cone.png", "0002-a-cube.png", "0003-a-ball.png"]
    assert done.stdout.count("seed 3\n") == 3
    refused = darkroom("generate", "a", "red", "apple", "-o", "x.png")
    assert refused.exit_code == 2 and "3 prompts cannot share 'x.png'" in refused.stderr


def test_nothing_is_overwritten_unless_asked(darkroom, tmp_path, developing):
    (tmp_path / "x.png").write_text("mine")
    developing.develop = lambda *_: pytest.fail("the work began although the name was taken")
    refused = darkroom("generate", "a cone", "-o", "x.png")
    assert refused.exit_code == 2 and "x.png" in refused.stderr and "--overwrite" in refused.stderr
    assert (tmp_path / "x.png").read_text() == "mine"


def test_overwriting_when_asked(darkroom, tmp_path):
    (tmp_path / "x.png").write_text("mine")
    assert darkroom("generate", "a cone", "-o", "x.png", "--overwrite").exit_code == 0
    assert read(tmp_path / "x.png").pixels.shape == (16, 16, 3)


def test_by_products(darkroom, tmp_path):
    done = darkroom("generate", "a cone", "-b", 2, "-s", 1, "--grid", "--watch", "-o", "x.png")
    assert pictures(tmp_path) == ["x-1.gif", "x-1.png", "x-2.gif", "x-2.png", "x-grid.png"]
    assert done.stdout.splitlines()[2:] == ["x-grid.png", "x-1.gif", "x-2.gif"]
    assert read(tmp_path / "x-grid.png").pixels.shape == (16, 36, 3)
    with Image.open(tmp_path / "x-1.gif") as film:
        assert film.n_frames >= 1
    assert darkroom("replay", "x-grid.png").stdout == "x-grid.png: identical, every byte of the file\n"


def test_a_by_product_in_the_way_is_found_before_the_work(darkroom, tmp_path, developing):
    (tmp_path / "x.gif").touch()
    developing.develop = lambda *_: pytest.fail("the work began although a name was taken")
    assert "'x.gif' is there already" in darkroom("generate", "a cone", "--watch", "-o", "x.png").stderr


def test_json_for_programs(darkroom):
    done = darkroom("generate", "a cone", "a cube", "-s", 4, "--json")
    runs = json.loads(done.stdout)["runs"]
    assert [run["pictures"][0]["request"]["prompt"] for run in runs] == ["a cone", "a cube"]
    assert Path(runs[0]["pictures"][0]["path"]).is_file() and runs[0]["pictures"][0]["request"]["seed"] == 4
    assert set(runs[0]["seconds"]) == {"import", "network"}


def test_replay_says_how_close(darkroom, tmp_path):
    darkroom("generate", "a cone", "-s", 4, "-o", "x.png")
    assert darkroom("replay", "x.png").stdout == "x.png: identical, every byte of the file\n"
    again = darkroom("replay", "x.png", "-o", "y.png", "--json")
    assert json.loads(again.stdout) == {
        "file": "x.png",
        "saved": "y.png",
        "same_file": True,
        "largest": 0,
        "mean": 0.0,
        "share": 0.0,
        "same_model": True,
    }
    assert (tmp_path / "y.png").read_bytes() == (tmp_path / "x.png").read_bytes()


def test_replay_of_another_outcome(darkroom, developing):
    darkroom("generate", "a cone", "-s", 4, "-o", "x.png")
    exact = developing.develop

    def drifted(request, progress=None):
        result = exact(request, progress)
        return type(result)(tuple(np.bitwise_xor(image, 1) for image in result.images), result.record)

    developing.develop = drifted
    assert (
        darkroom("replay", "x.png").stdout
        == "x.png: largest difference 1 of 255, mean 1.000, in 100.0% of the pixels\n"
    )


def test_replay_wants_the_first_picture_as_it_was(darkroom, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "start.png")
    darkroom("generate", "a cone", "-i", "start.png", "-o", "x.png")
    assert darkroom("replay", "x.png").exit_code == 0
    Image.new("RGB", (8, 8), "red").save(tmp_path / "start.png")
    refused = darkroom("replay", "x.png")
    assert (
        refused.exit_code == 2
        and "'start.png', which this picture was made from, is gone or changed" in refused.stderr
    )


def test_show_reads_our_record_and_that_of_others(darkroom, tmp_path):
    darkroom("generate", "a cone: 漢", "-s", 4, "-o", "x.jpg")
    shown = darkroom("show", "x.jpg").stdout
    assert re.search(r"^prompt +a cone: 漢$", shown, re.M) and re.search(r"^seed +4$", shown, re.M)
    assert json.loads(darkroom("show", "x.jpg", "--json").stdout)["sampler"] == "dpmpp_2m"
    Image.new("RGB", (8, 8)).save(tmp_path / "bare.png")
    assert "does not say what made it" in darkroom("show", "bare.png").stderr


def test_samplers_are_listed_as_the_registry_has_them(darkroom):
    from darkroom.diffusion.grids import GRIDS
    from darkroom.diffusion.samplers import SAMPLERS
    from darkroom.studio.guides import GUIDES

    listed = json.loads(darkroom("samplers", "--json").stdout)
    assert [one["name"] for one in listed["samplers"]] == list(SAMPLERS)
    assert [one["name"] for one in listed["schedulers"]] == list(GRIDS)
    assert [one["name"] for one in listed["guides"]] == list(GUIDES)
    assert all(name in darkroom("samplers").stdout for name in (*SAMPLERS, *GRIDS, *GUIDES))
