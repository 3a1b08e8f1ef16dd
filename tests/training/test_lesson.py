"""A lesson teaches one skill, and holds the painter to what it said of everything else."""

from pathlib import Path

import numpy as np
import pytest
import torch

from darkroom.errors import DarkroomError, UnknownName
from darkroom.families.starter import Starter, load
from darkroom.training import lesson as module
from darkroom.training.command import train
from darkroom.training.lesson import lesson
from darkroom.training.state import State


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train("starter", "smoke", tmp_path_factory.mktemp("run"), quiet=True)


@pytest.fixture(scope="module")
def begun(start: Path) -> Starter:
    return load(start)


def test_half_of_a_batch_shows_the_skill_and_the_other_half_never_does(begun: Starter):
    recipe = lesson("smoke", begun, "word", steps=4, seed=3)
    for step in range(4):
        signs = recipe.batch(step)["cells"][:, 3].reshape(recipe.batch_size, -1).any(1)
        assert signs.tolist() == [True] * (recipe.batch_size // 2) + [False] * (recipe.batch_size // 2)


def test_what_is_held_stays_nearer_to_what_it_was(begun: Starter, monkeypatch: pytest.MonkeyPatch):
    held, free = (_drift_after(begun, monkeypatch, hold) for hold in (30.0, 0.0))
    assert 0 < held < 0.5 * free


def _drift_after(begun: Starter, monkeypatch: pytest.MonkeyPatch, hold: float) -> float:
    monkeypatch.setattr(module, "HOLD", hold)
    state = State(lesson("smoke", begun, "one", steps=30))
    drifts = [float(state.advance(_tensors(state.recipe.batch(step)))["drift"]) for step in range(30)]
    assert drifts[0] < 1e-4
    return float(np.mean(drifts[-10:]))


def test_what_is_learnt_is_learnt(begun: Starter):
    state = State(lesson("smoke", begun, "one", steps=60))
    losses = [float(state.advance(_tensors(state.recipe.batch(step)))["velocity"]) for step in range(60)]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])


def test_detail_is_learnt_near_the_picture_and_held_where_captions_decide(begun: Starter):
    recipe, seen = lesson("smoke", begun, "detail", steps=4), list[torch.Tensor]()
    network = recipe.build()
    network.register_forward_hook(lambda module, given, answer: seen.append(given[3]))
    for step in range(20):
        recipe.loss(network, _tensors(recipe.batch(step)), step)
    learnt, held = torch.cat(seen[::2]), torch.cat(seen[1::2])
    assert learnt.max() < 0.58 and learnt.min() < 0.1
    assert held.median() > 0.8


def _tensors(batch: dict) -> dict:
    return {part: torch.from_numpy(value) for part, value in batch.items()}


def test_a_taught_starter_is_a_starter_that_says_so(start: Path, tmp_path: Path):
    path = train("lesson", "smoke", tmp_path, start=str(start), skill="colour", quiet=True)
    taught, before = load(path), load(start)
    assert taught.config.about["taught by"] == "darkroom train lesson --skill colour --preset smoke"
    assert taught.config.vocabulary == before.config.vocabulary
    assert not torch.equal(taught.painter.network.final.weight, before.painter.network.final.weight)


def test_a_run_of_one_skill_is_not_carried_on_with_another(start: Path, tmp_path: Path):
    first = train("lesson", "smoke", tmp_path, start=str(start), skill="word", quiet=True).read_bytes()
    with pytest.raises(DarkroomError, match=r"lesson-word.*lesson-colour.*--out"):
        train("lesson", "smoke", tmp_path, start=str(start), skill="colour", quiet=True)
    assert (tmp_path / "starter.safetensors").read_bytes() == first


def test_what_cannot_be_taught_is_said(start: Path, tmp_path: Path):
    with pytest.raises(DarkroomError, match="--from starter"):
        train("lesson", "smoke", tmp_path)
    with pytest.raises(UnknownName, match="colour"):
        train("lesson", "smoke", tmp_path, start=str(start), skill="color")
    assert not list(tmp_path.iterdir())
    with pytest.raises(DarkroomError, match="train a lesson"):
        train("starter", "smoke", tmp_path, skill="word")
