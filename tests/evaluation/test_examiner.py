"""The examiner as a whole: it learns, it judges, its file is its own, and its recipe repeats."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from darkroom.data.scenes.render import render
from darkroom.data.scenes.world import full_world, small_world
from darkroom.errors import DarkroomError, UnknownName
from darkroom.evaluation.calibration import threshold
from darkroom.evaluation.command import world_of
from darkroom.evaluation.examiner import Examiner, ExaminerConfig, as_images
from darkroom.evaluation.findings import truth
from darkroom.evaluation.judge import THRESHOLD, Judge, load, save
from darkroom.evaluation.lessons import Lessons, anywhere
from darkroom.evaluation.reader import boards
from darkroom.evaluation.reading import reader
from darkroom.evaluation.recipe import TruePictures, config_of, examiner, losses
from darkroom.evaluation.ship import main, ship
from darkroom.evaluation.wear import worn_out
from darkroom.training import command
from darkroom.training.command import find
from darkroom.training.data import Batches
from darkroom.training.loop import train, weights

SMALL = ExaminerConfig(("cat", "sign"), ("red",), ("white", "blue"), ("day", "rain"), (8, 16, 16), 16)


def test_a_file_gives_back_what_was_saved_in_half_precision(tmp_path):
    torch.manual_seed(0)
    judge, path = Judge(Examiner(SMALL), thresholds=[0.3, 0.5]), tmp_path / "examiner.safetensors"
    save(judge, path)
    back = load(path)
    assert back.config == SMALL and back.thresholds == [0.3, 0.5]
    for part, other in ((judge.network, back.network), (judge.reader, back.reader)):
        pairs = zip(part.state_dict().values(), other.state_dict().values(), strict=True)
        assert all(torch.allclose(a.float(), b.float(), atol=1e-3, rtol=1e-3) for a, b in pairs)
    weights = sum(p.numel() for part in (judge.network, judge.reader) for p in part.parameters())
    assert path.stat().st_size < 2.5 * weights + 20_000


def test_a_wrong_file_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(DarkroomError, match="train one"):
        load(tmp_path / "none.safetensors")
    damaged, other = tmp_path / "damaged.safetensors", tmp_path / "other.safetensors"
    damaged.write_bytes(b"\xff" * 100)
    save_file({"a": torch.zeros(1)}, other)
    with pytest.raises(DarkroomError, match="damaged"):
        load(damaged)
    with pytest.raises(DarkroomError, match="no examiner"):
        load(other)


def test_pictures_of_any_size_are_looked_at_and_the_empty_batch_too():
    judge = Judge(Examiner(SMALL))
    assert len(judge.look(np.zeros((3, 200, 160, 3), np.uint8))) == 3
    assert judge.look(np.zeros((0, 128, 128, 3), np.uint8)) == []


def test_the_world_is_the_one_that_the_examiner_knows():
    for world in (small_world(), full_world()):
        judge = Judge(Examiner(config_of(world, (8, 8, 8), 8)))
        assert world_of(judge).kinds == world.kinds


def test_an_examiner_learns_two_pictures_by_heart_and_then_judges_them_right():
    torch.manual_seed(0)
    world = anywhere(small_world())
    lessons = Lessons(world, 21)
    numbers = [i for i in range(40) if lessons.scene(i).skill in ("two", "word", "count")][:2]
    scenes = [lessons.scene(i) for i in numbers]
    config = config_of(world, (16, 24, 32), 24)
    batches = Batches(TruePictures(_Only(scenes), config, len(scenes), wear=False))
    network, batch = Examiner(config), batches[0]
    optimizer = torch.optim.AdamW(network.parameters(), 4e-3)
    for step in range(90):
        optimizer.zero_grad()
        losses(network, batch, torch.Generator().manual_seed(step))["loss"].backward()
        optimizer.step()
    for _ in range(60):  # the running statistics follow
        network((batch["images"].permute(0, 3, 1, 2).float()) / 127.5 - 1)
    found = Judge(network).look(np.stack([render(scene) for scene in scenes]))
    for scene, seen in zip(scenes, found, strict=True):
        wanted = sorted((f.kind, f.colour or "") for f in truth(scene).things)
        assert sorted((f.kind, f.colour or "") for f in seen.things) == wanted
        assert (seen.ground, seen.light) == (scene.ground, scene.light)


class _Only:
    """Lessons of a few scenes."""

    seed = 0

    def __init__(self, scenes):
        self.scenes = scenes

    def scene(self, index):
        return self.scenes[index % len(self.scenes)]


def test_batches_are_functions_of_their_step():
    recipe = examiner("smoke")
    one, again, other = recipe.batch(2), recipe.batch(2), recipe.batch(3)
    assert all(np.array_equal(one[name], again[name]) for name in one)
    assert not np.array_equal(one["images"], other["images"])
    assert one["images"].shape == (8, 128, 128, 3) and one["images"].dtype == np.uint8


def test_an_examiner_goes_on_from_the_eyes_of_another(tmp_path):
    path = tmp_path / "judge.safetensors"
    save(Judge(examiner("smoke", 5).build()), path)
    recipe = find("examiner", "smoke", 6, path)
    begun, before = recipe.build().state_dict(), load(path).network.state_dict()
    assert all(torch.equal(begun[name], before[name]) for name in before)
    assert recipe.optimizer.rate.peak == examiner("smoke").optimizer.rate.peak / 2
    train(replace(recipe, steps=2), tmp_path / "run", quiet=True)
    after = weights(tmp_path / "run", recipe).heat.weight
    assert not torch.equal(after, before["heat.weight"])


def test_eyes_of_other_sizes_are_refused(tmp_path):
    path = tmp_path / "judge.safetensors"
    save(Judge(examiner("smoke", 5).build()), path)
    with pytest.raises(DarkroomError, match="other sizes than the preset 'cpu'"):
        find("examiner", "cpu", 6, path)
    for nowhere in ("nowhere.safetensors", str(tmp_path)):
        with pytest.raises(DarkroomError, match=r"no examiner at.*name a file"):
            command.train("examiner", "smoke", tmp_path / "run", start=nowhere)
    assert not (tmp_path / "run").exists()


def judges(folder: Path) -> tuple[str, str]:
    """The files of two examiners to begin with."""
    for seed in (5, 6):
        save(Judge(examiner("smoke", seed).build()), folder / f"{seed}.safetensors")
    return str(folder / "5.safetensors"), str(folder / "6.safetensors")


def test_a_run_of_an_examiner_keeps_to_what_it_began_with(tmp_path):
    one, other = judges(tmp_path)
    short = {"steps": 1, "quiet": True}
    command.train("examiner", "smoke", tmp_path / "bare", **short)
    with pytest.raises(DarkroomError, match=r"bare' has begun without a start; choose another.*--out"):
        command.train("examiner", "smoke", tmp_path / "bare", start=one, **short)
    command.train("examiner", "smoke", tmp_path / "begun", start=one, **short)
    with pytest.raises(DarkroomError, match=r"begun' has begun with another examiner; choose.*--out"):
        command.train("examiner", "smoke", tmp_path / "begun", start=other, **short)
    with pytest.raises(DarkroomError, match="reader always begins with nothing"):
        command.train("reader", "smoke", tmp_path / "begun", start="nowhere", **short)
    assert command.train("examiner", "smoke", tmp_path / "begun", start=one, **short)


def test_a_run_of_an_examiner_carries_on_at_its_own_rate_without_naming_its_start(tmp_path):
    one, _ = judges(tmp_path)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    command.train("examiner", "smoke", whole, start=one, steps=3, quiet=True)
    command.train("examiner", "smoke", stopped, start=one, steps=3, max_minutes=0, quiet=True)
    command.train("examiner", "smoke", stopped, steps=3, quiet=True)
    assert (stopped / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()


def test_the_smoke_recipes_train_and_their_weights_judge(tmp_path):
    for recipe in (examiner("smoke", 5), reader("smoke", 5)):
        train(recipe, tmp_path / recipe.name, quiet=True)
    path = tmp_path / "judge.safetensors"
    judge = ship(tmp_path / "examiner", tmp_path / "reader", "smoke", 5, path, scenes=8)
    assert len(judge.look(examiner("smoke").batch(0)["images"])) == 8
    read = weights(tmp_path / "reader", reader("smoke", 5)).layers[0].weight
    assert torch.allclose(judge.reader.layers[0].weight, read, atol=1e-3)


@pytest.mark.parametrize(
    ("given", "said"),
    [([], "--eyes or --reader"), (["--reader", "."], "no checkpoint"), (["--reader", "no"], "exist")],
)
def test_what_cannot_be_shipped_is_said_in_a_sentence(given, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, [*given, "--out", "judge.safetensors"])
    assert result.exit_code and said in result.output and not list(tmp_path.iterdir())


def test_the_readers_signs_say_anything_and_lie_where_they_are_said_to():
    recipe = reader("smoke")
    batch = Batches(recipe.batch)[0]
    assert len(batch["words"]) == len(batch["boxes"]) == len(batch["picture"]) >= 8
    assert len({len(word) for word in batch["words"]}) > 2
    cut = boards(as_images(batch["images"]), batch["picture"], batch["boxes"])
    assert (cut.amax((1, 2, 3)) - cut.amin((1, 2, 3))).min() > 0.5, "letters differ from their board"


def test_an_unknown_preset_is_named():
    with pytest.raises(UnknownName, match="smoke"):
        examiner("smok")


def test_wear_keeps_the_size_and_is_a_function_of_its_draws():
    picture = render(Lessons(anywhere(small_world()), 3).scene(0))
    for seed in range(20):
        one, again = (worn_out(picture, np.random.default_rng(seed)) for _ in range(2))
        assert one.shape == picture.shape and one.dtype == np.uint8
        assert np.array_equal(one, again)
        assert np.abs(one.astype(int) - picture).mean() < 20, "a person still sees everything"


def test_thresholds_part_right_from_wrong_and_stay_at_the_common_one_where_nothing_speaks():
    assert threshold([], []) == pytest.approx(THRESHOLD, abs=0.01)
    assert 0.5 < threshold([0.6] * 50, [0.5] * 50) < 0.6
    assert threshold([0.9] * 50, [0.2] * 50) == pytest.approx(THRESHOLD, abs=0.01)
