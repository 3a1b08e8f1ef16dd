"""LoRAs, ControlNets, picture prompts and embeddings by the command line, on a tiny Stable Diffusion."""

import json
import shlex
from pathlib import Path
from shutil import copy

import pytest
import torch
from click.testing import CliRunner

from darkroom.cli.main import main
from darkroom.studio.pictures import read

pytest.importorskip("diffusers")
from tests.families import hanging, tiny


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a model and what may hang on it, by plain names."""
    root, pipeline = tmp_path_factory.mktemp("files"), tiny.sd1()
    tiny.save(pipeline, root / "model")
    parts = {"unet": pipeline.unet, "text_encoder": pipeline.text_encoder}
    hanging.saved(hanging.as_kohya(hanging.factors(parts), single=True), root / "ink.safetensors")
    hanging.saved(
        hanging.as_kohya(hanging.factors({"transformer": tiny.flux().transformer}), False),
        root / "far.safetensors",
    )
    hanging.saved(hanging.unet_controlnet("sd1").state_dict(), root / "edges.safetensors")
    hanging.unet_controlnet("sdxl").save_pretrained(root / "large")
    hanging.saved({"emb_params": torch.randn(2, 768)}, root / "word.safetensors")
    hanging.picture(root / "hint.png", 1)
    return root


@pytest.fixture
def darkroom(files, tmp_path, monkeypatch):
    """Run ``darkroom`` with these words where the files lie; o/ is a folder for what it makes."""
    monkeypatch.chdir(files)
    monkeypatch.setenv("DARKROOM_HOME", str(files / "home"))

    def run(words):
        return CliRunner().invoke(main, shlex.split(words.replace("o/", f"{tmp_path}/")))

    return run


MAKE = "generate 'a cat' -m model -s 3 --steps 2 -W 64 -H 64 "
LORA = "--lora ink.safetensors:0.6 "
CONTROL = "--control-net edges.safetensors --control-image hint.png --control-strength 0.7 --control-end 0.5 "


def test_a_picture_with_a_lora_and_a_controlnet_replays_to_the_byte(darkroom, files):
    made = darkroom(MAKE + LORA + CONTROL + "-b 2 -o o/x.png")
    assert made.exit_code == 0 and len(made.stdout.splitlines()) == 2
    lora, control = made.stderr.splitlines()
    assert lora.startswith("ink.safetensors: matched ") and lora.endswith("unused 0, missing 0")
    assert control.startswith("edges.safetensors: matched ") and control.endswith("unused 0, missing 0")
    again = darkroom("replay o/x-2.png").stdout  # made beside another, so alike to kernel rounding
    assert "identical" in again or "largest difference 1 of 255" in again
    alone = darkroom(MAKE.replace("-s 3", "-s 4") + LORA + CONTROL + "-o o/alone.png --json")
    (run,) = json.loads(alone.stdout)["runs"]
    assert run["notices"] == [lora, control]
    attached = run["pictures"][0]["request"]["attached"]
    assert attached["loras"][0]["weight"] == 0.6
    assert (attached["controls"][0]["scale"], attached["controls"][0]["end"]) == (0.7, 0.5)
    assert darkroom(f"replay {run['pictures'][0]['path']}").stdout.endswith(
        "identical, every byte of the file\n"
    )
    shown = darkroom("show o/x-1.png").stdout
    assert "ink.safetensors" in shown and "edges.safetensors" in shown


@pytest.mark.parametrize("change", ["gone", "changed"])
def test_replay_wants_the_lora_as_it_was(darkroom, files, change):
    lora = files / "copy.safetensors"
    lora.write_bytes((files / "ink.safetensors").read_bytes())
    darkroom(MAKE + "--lora copy.safetensors -o o/x.png")
    if change == "gone":
        lora.unlink()
    else:
        hanging.saved({"lora_unet_x.diff": torch.ones(2)}, lora)
    refused = darkroom("replay o/x.png")
    assert refused.exit_code == 2
    assert "'copy.safetensors', which this picture was made from, is gone or changed" in refused.stderr


BAD = [
    ("--lora none.safetensors", "there is no file 'none.safetensors'"),
    ("--lora none", "there is no LoRA named 'none'"),
    ("--lora far.safetensors", "none of the 9 layers"),
    ("--lora edges.safetensors", "edges.safetensors"),
    ("--lora ink.safetensors:much", "write it as FILE or FILE:0.8"),
    ("--control-net edges.safetensors", "1 --control-net and 0 --control-image do not fit"),
    (CONTROL + "--control-strength 0.3", "2 --control-strength and 1 --control-net do not fit"),
    (CONTROL + "--control-start 0.5", "never acts"),
    (CONTROL + "--control-mode 1", "knows one kind of control picture"),
    ("--control-net edges.safetensors --control-image none.png", "there is no file 'none.png'"),
    ("--control-net edges.safetensors --control-image ink.safetensors", "is not a PNG"),
    ("--control-net ink.safetensors --control-image hint.png", "has no ControlNet but an adapter (LoRA)"),
    ("--control-net large --control-image hint.png", "context width is 128 and the model's 64"),
    ("--ip-adapter ink.safetensors", "needs --ip-adapter, --ip-image and --ip-encoder"),
    ("--ip-adapter ink.safetensors --ip-image hint.png --ip-encoder none", "there is no file 'none'"),
    (
        "--ip-adapter ink.safetensors --ip-image hint.png --ip-encoder model/vae",
        "has no IP-Adapter but an adapter (LoRA)",
    ),
    ("--embedding word.safetensors", "the embedding 'word' was made for another kind of model"),
    ("--embedding ink.safetensors", "is not an embedding"),
]


@pytest.mark.parametrize(("words", "sentence"), BAD)
def test_what_does_not_fit_is_answered_in_one_line(darkroom, words, sentence):
    done = darkroom(MAKE + words + " -o o/x.png")
    assert done.exit_code == 2 and done.stdout == "" and sentence in done.stderr
    assert done.stderr.startswith("darkroom: ") and done.stderr.count("\n") == 1


def test_names_of_the_users_own_files(darkroom, files):
    for kind, name in (("loras", "ink.safetensors"), ("controlnets", "edges.safetensors")):
        (files / "home" / kind).mkdir(parents=True)
        copy(files / name, files / "home" / kind / name)
    hanging.unet_controlnet("sd1").save_pretrained(files / "home" / "controlnets" / "folder")
    with_tag = MAKE.replace("'a cat'", "'a cat<lora:ink:0.6>'")
    darkroom(MAKE + "--lora ink:0.6 --control-net folder --control-image hint.png -o o/x.png")
    made = darkroom(with_tag + "--control-net edges --control-image hint.png -o o/y.png")
    assert made.exit_code == 0, made.stderr
    one, two = (read(Path(made.stdout.split()[0]).with_name(name)).pixels for name in ("x.png", "y.png"))
    assert (one == two).all()
