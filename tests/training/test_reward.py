"""Reward tuning: what the judge likes becomes likelier, and nothing that is held out is practised."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from darkroom.data.scenes.captions import exact_caption
from darkroom.data.scenes.chance import chance, philox
from darkroom.data.scenes.heldout import is_held_out, kinds_shown
from darkroom.data.scenes.skills import draw
from darkroom.data.scenes.world import small_world
from darkroom.errors import DarkroomError, UnknownName
from darkroom.evaluation import judge
from darkroom.evaluation.findings import Findings, truth
from darkroom.evaluation.told import requirements_of
from darkroom.families.starter import Starter, load
from darkroom.training import reward as module
from darkroom.training.command import train
from darkroom.training.presets import preset
from darkroom.training.reward import advantages, dwelling_on, judge_of, painted, practised, reward, rewards
from darkroom.training.state import State


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Starter:
    return load(train("starter", "smoke", tmp_path_factory.mktemp("run"), quiet=True))


class Sees:
    """A judge that sees what it is told to."""

    device = torch.device("cpu")

    def __init__(self, *seen: Findings) -> None:
        self.seen = list(seen)

    def look(self, pictures: np.ndarray) -> list[Findings]:
        return self.seen


def test_a_right_picture_earns_one_and_a_wrong_one_the_less_the_more_is_wrong():
    scene = draw(philox(0, 0), small_world(), "colour")
    all_there = truth(scene)
    less = replace(all_there, things=all_there.things[1:])
    sees = Sees(all_there, less, Findings((), scene.ground, scene.light))
    (earned,) = rewards(sees, np.zeros((3, 8, 8, 3), np.uint8), [requirements_of(scene)]).tolist()
    assert earned[0] == 1 and 0.3 > earned[1] > earned[2] > 0


def test_a_word_with_one_wrong_letter_is_nearer_than_another_word():
    scene = draw(philox(1, 0), small_world(), "word")
    word = next(thing.word for thing in scene.things if thing.word)

    def saying(text: str) -> Findings:
        right = truth(scene)
        things = tuple(replace(t, word=text) if t.word else t for t in right.things)
        return replace(right, things=things)

    sees = Sees(saying(word), saying(word[:-1] + "#"), saying("####"), saying(""))
    (earned,) = rewards(sees, np.zeros((4, 8, 8, 3), np.uint8), [requirements_of(scene)]).tolist()
    assert earned[0] == 1 and 0.9 > earned[1] > 0.3 and earned[2] == earned[3] == pytest.approx(0.2)


def test_pictures_are_compared_with_those_of_their_own_prompt():
    gains = advantages(torch.tensor([[1.0, 1.0], [0.2, 0.0], [1.0, 0.0]]))
    assert gains.tolist() == [[0, 0], pytest.approx([0.25, -0.25]), [1, -1]]


def test_what_is_wrong_is_pushed_away_less_the_further_it_is():
    losses = torch.tensor([0.1, 1.0, 9.0, 0.1, 9.0], requires_grad=True)
    practised(losses, torch.tensor([-1.0, -1.0, -1.0, 0.5, 0.5])).sum().backward()
    near, far, gone, *liked = losses.grad.tolist()  # type: ignore[union-attr]
    assert -1 < near < 1.5 * far < 5 * gone < 0
    assert liked == [0.5, 0.5]


def test_prompts_to_practise_are_never_held_out_and_tell_all(start: Starter):
    recipe = reward("smoke", start, steps=4, seed=3)
    batch = recipe.batch(1)
    scenes = recipe.batch.scenes  # type: ignore[attr-defined]
    numbers = range(module.PROMPTS, 2 * module.PROMPTS)
    assert not any(is_held_out(scenes.scene(i)) for i in numbers)
    counts = [chance(philox(scenes.seed, i, module._COUNTS), 0.5) for i in numbers]
    captions = [
        exact_caption(scenes.scene(i), philox(scenes.seed, i, module._EXACT), count)
        for i, count in zip(numbers, counts, strict=True)
    ]
    expected = start.tokenizer.encode(captions, batch["prompts"].shape[1])
    assert (batch["prompts"] == expected.words).all()
    assert batch["wanted"] == [
        tuple(requirements_of(scenes.scene(i), count, strictly=True))
        for i, count in zip(numbers, counts, strict=True)
    ]


def test_half_of_practice_can_be_about_one_skill():
    weights = dict(dwelling_on("crowd"))
    assert weights.pop("crowd") == pytest.approx(sum(weights.values()))
    with pytest.raises(UnknownName, match="colour"):
        dwelling_on("color")


def test_half_of_practice_can_be_about_one_thing(start: Starter):
    practice = reward("smoke", start, steps=4, thing="apple").batch
    scenes = [practice.scene(i) for i in range(300)]  # type: ignore[attr-defined]
    assert 0.42 < sum("apple" in kinds_shown(scene.things[:1]) for scene in scenes) / len(scenes) < 0.62
    assert not any(is_held_out(scene) for scene in scenes)
    assert len({scene.skill for scene in scenes if "apple" in kinds_shown(scene.things[:1])}) > 5
    with pytest.raises(UnknownName, match="apple"):
        reward("smoke", start, thing="appel")
    with pytest.raises(DarkroomError, match="leave --thing out"):
        train("lesson", "smoke", thing="apple")


def test_what_earns_more_becomes_likelier(start: Starter, monkeypatch: pytest.MonkeyPatch):
    """Where brightness is rewarded in place of what is right, pictures grow brighter."""
    assert _brightness_after(start, monkeypatch, 1.0) > _brightness_after(start, monkeypatch, -1.0) + 0.02


def _brightness_after(start: Starter, monkeypatch: pytest.MonkeyPatch, liking: float) -> float:
    def earned(judge: object, pictures: np.ndarray, wanted: list[object]) -> torch.Tensor:
        return (
            torch.from_numpy(liking * pictures.mean((1, 2, 3)) / 255).float().unflatten(0, (len(wanted), -1))
        )

    monkeypatch.setattr(module, "rewards", earned)
    monkeypatch.setattr(module, "PROMPTS", 2)
    monkeypatch.setattr(module, "SPREAD", 0.02)
    monkeypatch.setattr(module, "HOLD", 0.01)
    monkeypatch.setattr(module, "KEEP", 0.0)
    state = State(reward("smoke", start, steps=45))
    for step in range(45):
        state.advance(_tensors(state.recipe.batch(step)))
    batch = _tensors(state.recipe.batch(99))
    words, letters = (batch[k].repeat_interleave(16, 0) for k in ("prompts", "prompt letters"))
    draw = torch.Generator().manual_seed(5)
    return float(start.decode_latents(painted(state.network, words, letters, start, draw)).mean())  # type: ignore[arg-type]


def _tensors(batch: dict) -> dict:
    return {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in batch.items()}


def test_there_must_be_a_starter_to_tune(tmp_path: Path):
    with pytest.raises(DarkroomError, match="--from starter"):
        train("reward", "smoke", tmp_path)


def test_a_world_that_the_judge_does_not_know_is_refused():
    with pytest.raises(DarkroomError, match=r"does not know .* the preset 'cpu'"):
        judge_of(preset("gpu"))


def test_the_judge_that_tunes_is_not_the_one_that_measures():
    tutor, examiner = judge.load(judge.TUTOR).network, judge.load().network
    assert not torch.allclose(tutor.heat.weight, examiner.heat.weight, atol=0.01)


def test_a_tuned_starter_is_a_starter_that_says_so(start: Starter, tmp_path: Path):
    start.save(tmp_path / "start.safetensors")
    begun = str(tmp_path / "start.safetensors")
    path = train("reward", "smoke", tmp_path / "run", start=begun, skill="crowd", thing="top hat", quiet=True)
    tuned = load(path)
    told = "darkroom train reward --skill crowd --thing 'top hat' --preset smoke"
    assert tuned.config.about["tuned by"] == told
    assert tuned.config.vocabulary == start.config.vocabulary
    assert not torch.equal(tuned.painter.network.final.weight, start.painter.network.final.weight)
