"""``darkroom evaluate`` from end to end, with a model and an examiner too small to be any good."""

import json
from pathlib import Path

import pytest
import torch

from darkroom import __version__
from darkroom.data.scenes.world import small_world
from darkroom.errors import DarkroomError, UnknownName
from darkroom.evaluation.command import default_folder, evaluate, studio
from darkroom.evaluation.examiner import Examiner
from darkroom.evaluation.judge import Judge, save
from darkroom.evaluation.recipe import config_of
from darkroom.families.starter import Painter, Starter, StarterConfig
from darkroom.networks.autoencoder import Autoencoder, AutoencoderConfig
from darkroom.networks.dit import DiTConfig
from darkroom.networks.text_encoder import TextEncoderConfig
from darkroom.text.tokenizer import Tokenizer


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    tokenizer = Tokenizer(("red", "apple"))
    config = StarterConfig(
        TextEncoderConfig(tokenizer.word_count, tokenizer.letter_count, width=32, depth=1, heads=2),
        DiTConfig(channels=4, width=32, depth=1, heads=2, text_width=32),
        AutoencoderConfig(4, (8, 8, 8), (0, 0, 0)),
        tokenizer.vocabulary,
        side=32,
    )
    painter = Painter(config.text, config.network)
    for parameter in painter.parameters():  # an untrained painter answers nothing at all
        torch.nn.init.normal_(parameter, std=0.2)
    starter = Starter(config, painter, Autoencoder(config.autoencoder))
    starter.save(tmp_path / "model.safetensors")
    return str(tmp_path / "model.safetensors")


@pytest.fixture
def examiner(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "examiner.safetensors"
    save(Judge(Examiner(config_of(small_world(), (8, 8, 8), 8))), path)
    return path


def test_the_studio_makes_one_picture_a_prompt_and_the_same_for_the_same_seed(model):
    generate, settings = studio(model, {"steps": 2, "sampler": None})
    one, two, again = generate(["a red apple", "a red apple", "a red apple"], [1, 2, 1])
    assert one.shape == (32, 32, 3) and len(settings["sha256"]) == 64
    assert settings["steps"] == 2 and settings["sampler"] == "dpmpp_2m"
    assert (one == again).all() and (one != two).any()


def test_an_evaluation_prints_json_and_goes_on_without_making_a_picture_again(
    model, examiner, tmp_path, capsys, monkeypatch
):
    settings = {"out": tmp_path / "out", "prompts": 2, "pictures": 1, "skills": ["one", "hard"], "steps": 1}
    monkeypatch.setattr("darkroom.evaluation.command.HARD_PICTURES", 1)
    first = evaluate(model, examiner=examiner, as_json=True, **settings)
    facts = json.loads(capsys.readouterr().out)
    assert [score["name"] for score in facts["skills"]] == ["one"] and len(facts["hard"]) == 8
    assert (tmp_path / "out" / "one.png").exists() and (tmp_path / "out" / "hard.png").exists()
    monkeypatch.setattr("darkroom.studio.develop.develop_many", None)  # nothing is left to be made
    assert evaluate(model, examiner=examiner, **settings) == first
    with pytest.raises(DarkroomError, match="another with --out"):
        evaluate(model, examiner=examiner, strictly=True, **settings)
    assert "What" in capsys.readouterr().out


def test_the_hard_prompts_can_be_measured_alone(model, examiner, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("darkroom.evaluation.command.HARD_PICTURES", 1)
    found = evaluate(model, examiner=examiner, skills=["hard"], out=tmp_path / "out", steps=1)
    assert len(found.hard) == 8 and not found.skills
    assert "mean of skills" not in capsys.readouterr().out
    written = (tmp_path / "out" / "skills.md").read_text()
    assert "exactly five apples" in written and "mean of skills" not in written


def test_mistakes_are_named_before_anything_is_made(model, examiner, tmp_path):
    with pytest.raises(UnknownName, match="count"):
        evaluate(model, examiner=examiner, skills=["counting"], out=tmp_path / "out")
    with pytest.raises(UnknownName, match="starter"):
        evaluate("startr", examiner=examiner, out=tmp_path / "out")
    with pytest.raises(DarkroomError, match="examiner"):
        evaluate(model, examiner=tmp_path / "none.safetensors", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_wrong_setting_leaves_no_run_behind(model, examiner, tmp_path):
    for wrong in ({"precision": "half"}, {"sampler": "eulr"}):
        with pytest.raises(DarkroomError, match="there is no"):
            evaluate(model, examiner=examiner, out=tmp_path / "run", **wrong)
    assert not (tmp_path / "run").exists()


def test_verdicts_of_another_examiner_are_not_taken_for_its_own(model, examiner, tmp_path):
    settings = {"out": tmp_path / "out", "prompts": 1, "pictures": 1, "skills": ["one"], "steps": 1}
    evaluate(model, examiner=examiner, **settings)
    torch.manual_seed(1)
    save(Judge(Examiner(config_of(small_world(), (8, 8, 8), 8))), examiner)
    with pytest.raises(DarkroomError, match="another with --out"):
        evaluate(model, examiner=examiner, **settings)


def test_verdicts_of_another_version_are_not_taken_for_its_own(model, examiner, tmp_path, monkeypatch):
    settings = {"out": tmp_path / "out", "prompts": 1, "pictures": 1, "skills": ["one"], "steps": 1}
    evaluate(model, examiner=examiner, **settings)
    monkeypatch.setattr("darkroom.evaluation.command.__version__", "99", raising=False)
    with pytest.raises(DarkroomError, match=rf"version {__version__}, not 99; choose another with --out"):
        evaluate(model, examiner=examiner, **settings)


def test_a_skill_that_is_named_twice_counts_once(model, examiner, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = evaluate(model, examiner=examiner, prompts=1, pictures=1, skills=["one", "two", "one"], steps=1)
    assert [score.name for score in found.skills] == ["one", "two"]
    assert (default_folder(model) / "skills.md").is_file()


def test_each_model_has_a_folder_of_its_own():
    names = {
        "starter": "evaluate-starter",
        "starter.safetensors": "evaluate-starter.safetensors",
        "runs/mine/starter.safetensors": "evaluate-runs-mine-starter",
        "models/sd1.4": "evaluate-models-sd1.4",
        "models/sd1.5": "evaluate-models-sd1.5",
        "/data/sd1.5.gguf": "evaluate-data-sd1.5",
        "owner/name": "evaluate-owner-name",
    }
    assert {name: default_folder(name).name for name in names} == names
    assert len({*names.values()}) == len(names)
    assert {default_folder(name).parent for name in names} == {Path("runs")}
