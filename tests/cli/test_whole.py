"""The whole way from words to a file and back, with a tiny model of random weights."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import darkroom as package
from darkroom.cli.main import main
from darkroom.diffusion.samplers import SAMPLERS
from darkroom.errors import DarkroomError
from darkroom.families.starter import Painter, Starter, StarterConfig
from darkroom.networks.autoencoder import Autoencoder, AutoencoderConfig
from darkroom.networks.dit import DiTConfig
from darkroom.networks.text_encoder import TextEncoderConfig
from darkroom.studio import models
from darkroom.studio.files import sha256
from darkroom.studio.pictures import read
from darkroom.studio.replay import read_record
from darkroom.text.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A starter too small to know anything, whose every weight matters."""
    tokenizer = Tokenizer(("a", "red", "cone"), 4)
    text = TextEncoderConfig(tokenizer.word_count, tokenizer.letter_count, tokenizer.slots, 32, 1, 1)
    network = DiTConfig(channels=4, width=32, depth=1, heads=1, text_width=32)
    autoencoder = AutoencoderConfig(channels=4, widths=(8, 8, 8))
    config = StarterConfig(text, network, autoencoder, tokenizer.vocabulary, side=32)
    torch.manual_seed(0)
    starter = Starter(config, Painter(text, network), Autoencoder(autoencoder))
    for weight in (*starter.painter.parameters(), *starter.autoencoder.parameters()):
        torch.nn.init.normal_(weight, std=0.2)
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    starter.save(path)
    return path


@pytest.fixture
def darkroom(tmp_path, monkeypatch, model):
    """Run ``darkroom`` with these words, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda words: CliRunner().invoke(main, shlex.split(words.replace("TINY", str(model))))


def difference(one: Path | str, other: Path | str) -> int:
    return int(np.abs(read(Path(one)).pixels.astype(int) - read(Path(other)).pixels).max())


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_picture_replays_to_the_byte(darkroom, sampler):
    made = darkroom(f"generate 'a red cone' -m TINY -s 3 --steps 4 --sampler {sampler} -o x.png --json")
    (picture,) = json.loads(made.stdout)["runs"][0]["pictures"]
    assert picture["request"]["width"] == 32 and len(picture["model_hash"]) == 64
    assert read(Path("x.png")).pixels.std() > 1
    assert darkroom("replay x.png").stdout == "x.png: identical, every byte of the file\n"


def test_what_is_asked_matters(darkroom):
    darkroom("generate 'a red cone' -m TINY -s 3 --steps 4 -o x.png")
    for i, change in enumerate(["-s 4", "--cfg 9", "-n a", "--scheduler karras", "--steps 5", "-p a"]):
        prompt = "" if change == "-p a" else "'a red cone'"
        done = darkroom(f"generate {prompt} -m TINY -s 3 --steps 4 -o {i}.png {change}")
        assert done.exit_code == 0 and difference("x.png", f"{i}.png") > 0, change


def test_a_picture_of_a_batch_is_the_one_made_alone(darkroom):
    darkroom("generate 'a red cone' -m TINY -s 3 -b 3 --steps 4 -o x.png")
    darkroom("generate 'a red cone' -m TINY -s 5 --steps 4 -o alone.png")
    assert difference("x-3.png", "alone.png") <= 1
    assert read_record(Path("x-3.png")) == read_record(Path("alone.png"))


def test_a_picture_to_start_from(darkroom):
    noise = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    Image.fromarray(noise).save("start.png")
    done = darkroom("generate 'a red cone' -m TINY -s 3 --steps 10 -i start.png --strength 0.3 -o x.png")
    assert done.exit_code == 0, done.stderr
    assert darkroom("replay x.png").stdout == "x.png: identical, every byte of the file\n"
    Image.fromarray(255 - noise).save("start.png")
    assert "gone or changed" in darkroom("replay x.png").stderr


def test_watching_shows_every_step(darkroom):
    darkroom("generate 'a red cone' -m TINY -s 3 --steps 6 --watch -o x.png")
    with Image.open("x.gif") as film:
        assert film.n_frames == 6 and film.size == (32, 32)  # the last estimate is the picture


def test_from_python(model, tmp_path):
    room = package.open(str(model))
    steps = []
    picture = room.generate("a red cone", seed=3, steps=4, progress=lambda at: steps.append(at.step))[0]
    assert steps == [1, 2, 3, 4]
    assert read_record(picture.save(tmp_path / "x.png")) == picture.record
    with pytest.raises(DarkroomError, match="no model"):
        package.open("nobody")


def test_a_broken_model_is_refused_in_one_line(darkroom, model, tmp_path):
    (tmp_path / "cut.safetensors").write_bytes(model.read_bytes()[:-100])
    (tmp_path / "text.safetensors").write_text("not a model, only words")
    for name in ("cut.safetensors", "text.safetensors", "gone.safetensors"):
        done = darkroom(f"generate 'a red cone' -m {name}")
        assert done.exit_code == 2 and done.stderr.count("\n") == 1 and name in done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--sampler dpmpp_2n", "did you mean 'dpmpp_2m'?"),
        ("--scheduler kerras", "did you mean 'karras'?"),
        ("-W 33", "multiples of 16"),
        ("-i gone.png", "cannot read 'gone.png'"),
        ("-m startr", "did you mean 'starter'?"),
    ],
)
def test_what_only_the_model_knows_is_refused_in_one_line(darkroom, tmp_path, words, sentence):
    done = darkroom(f"generate 'a red cone' -m TINY {words}")
    assert done.exit_code == 2 and sentence in done.stderr and done.stderr.count("\n") == 1
    assert list((tmp_path / "pictures").iterdir()) == []


def test_models_are_listed_by_what_their_files_say(darkroom, model, monkeypatch):
    monkeypatch.setattr(models, "SHIPPED", {"tiny": model, "lost": model.with_name("lost.safetensors")})
    (found,) = json.loads(darkroom("models --json").stdout)
    assert (found["name"], found["family"], found["file"]) == ("tiny", "starter", str(model))
    assert found["hash"] == sha256(model)[:10] and found["hash"] in darkroom("models").stdout
