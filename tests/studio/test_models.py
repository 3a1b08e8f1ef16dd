import json
import os
import time
from pathlib import Path

import pytest

from darkroom.errors import DarkroomError, UnknownName
from darkroom.studio import digests, home
from darkroom.studio.files import sha256
from darkroom.studio.models import SHIPPED, listed, locate


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    """A home and a cache of one's own."""
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_bare_name_stands_for_a_file_or_a_models_folder_in_ones_own_folder(own, monkeypatch):
    models = own / "home" / "models"
    (models / "sub" / "dream").mkdir(parents=True)
    (models / "sub" / "dream" / "model_index.json").write_text("{}")
    (models / "one.safetensors").write_bytes(b"x")
    (models / "notes.md").write_text("not a model")
    assert locate("one") == models / "one.safetensors"
    assert locate("dream") == models / "sub" / "dream"
    assert locate("starter") == SHIPPED["starter"]
    assert set(home.named("models")) == {"one", "dream"}
    assert {one.name for one in listed()} == {"dream", "one", "starter"}

    def unreadable(path):
        raise PermissionError(path)

    monkeypatch.setattr("darkroom.studio.models.digest", unreadable)
    assert {one.name: one.digest for one in listed()} == {"dream": "", "one": "", "starter": ""}


def test_what_lies_in_a_folder_that_counts_as_one_has_no_name_of_its_own(own):
    for kind, index in (("models", "model_index.json"), ("controlnets", "config.json")):
        part = own / "home" / kind / "whole" / "unet"
        part.mkdir(parents=True)
        (part.parent / index).write_text("{}")
        (part / "diffusion_pytorch_model.safetensors").write_bytes(b"x")
        (part / "config.json").write_text("{}")
        assert home.named(kind) == {"whole": part.parent}


def test_a_name_of_ones_own_goes_before_a_path_that_happens_to_be_called_so(own):
    lora = own / "home" / "loras" / "ink.safetensors"
    lora.parent.mkdir(parents=True)
    lora.touch()
    (own / "ink").mkdir()
    assert home.find("loras", "ink") == lora and home.find("loras", "./ink") == Path("ink")
    model = own / "home" / "models" / "ink.gguf"
    model.parent.mkdir()
    model.touch()
    assert locate("ink") == model
    with pytest.raises(UnknownName, match="no LoRA named"):
        home.finder(paths=False)("loras", str(lora))


def test_a_dot_in_a_name_is_no_ending(own):
    folder = own / "home" / "loras"
    (folder / "peft-1.0").mkdir(parents=True)
    (folder / "peft-1.0" / "adapter_config.json").write_text("{}")
    (folder / "peft-1.0" / "adapter_model.safetensors").touch()
    (folder / "detail_v1.5.safetensors").touch()
    found = home.named("loras")
    assert found.keys() == {"peft-1.0", "detail_v1.5"}
    assert [home.name_of(path) for path in found.values()] == list(found)
    assert home.name_of(Path("detail_v1.5")) == "detail_v1.5"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.safetensors", "no model file 'gone.safetensors'"),
        ("./gone", "no model file"),
        ("startr", "did you mean 'starter'"),
    ],
)
def test_what_is_not_there_is_said_in_one_sentence(name, message):
    with pytest.raises(DarkroomError, match=message):
        locate(name)


def test_a_name_on_the_hub_comes_from_the_cache_and_offline_says_so(own):
    """Laid out as huggingface_hub does; in a process of its own, as it reads its settings once."""
    pytest.importorskip("huggingface_hub")
    import subprocess
    import sys

    cache = own / "hf" / "hub" / "models--someone--tiny"
    snapshot = cache / "snapshots" / "0123456789abcdef"
    snapshot.mkdir(parents=True)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("0123456789abcdef")
    (snapshot / "model_index.json").write_text("{}")
    code = (
        "from darkroom.studio.models import locate\n"
        "from darkroom.errors import DarkroomError\n"
        "print(locate('someone/tiny'))\n"
        "try:\n    locate('someone/else')\nexcept DarkroomError as error:\n    print(error)\n"
        "from darkroom.studio.hub import unasked\n"
        "with unasked():\n"
        "    print(locate('someone/tiny'))\n"
        "    try:\n        locate('someone/else')\n    except DarkroomError as error:\n        print(error)\n"
    )
    environment = {**os.environ, "HF_HOME": str(own / "hf"), "HF_HUB_OFFLINE": "1"}
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    first, second, third, fourth = made.stdout.strip().splitlines()
    assert first == third == str(snapshot), made.stderr
    assert "there is no file or folder 'someone/else' here" in second and "not in the cache" in second
    assert "not fetched because a file names it" in fourth


def test_the_hash_of_a_large_file_is_remembered_until_the_file_changes(own, monkeypatch):
    path = own / "large"
    path.write_bytes(b"a" * 1000)
    monkeypatch.setattr(digests, "WORTH_REMEMBERING", 100)
    read: list[str] = []
    monkeypatch.setattr(digests, "sha256", lambda file: read.append(str(file)) or sha256(file))
    first = digests.digest(path)
    assert digests.digest(path) == first == sha256(path) and len(read) == 1
    time.sleep(0.01)
    path.write_bytes(b"b" * 1000)
    assert digests.digest(path) != first and len(read) == 2
    (own / "cache" / "darkroom" / "digests.json").write_text("{damaged")
    assert digests.digest(path) == sha256(path)
    assert json.loads((own / "cache" / "darkroom" / "digests.json").read_text())


def test_the_hash_of_a_folder_is_that_of_its_names_and_contents(own):
    folder = own / "model"
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "config.json").write_text("{}")
    before = digests.digest(folder)
    (folder / "unet" / "config.json").rename(folder / "unet" / "other.json")
    assert digests.digest(folder) != before
