"""The whole way at the smallest size: two runs, one file, one picture."""

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from darkroom import disk
from darkroom.data.scenes.world import small_world
from darkroom.errors import DarkroomError
from darkroom.families.starter import FORMAT, Starter, load
from darkroom.studio.develop import develop
from darkroom.studio.models import read_model
from darkroom.studio.request import Request
from darkroom.text.tokenizer import Tokenizer
from darkroom.training.command import train
from darkroom.training.starter import export


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train("starter", "smoke", tmp_path_factory.mktemp("run"), quiet=True)


def test_training_ends_with_a_file_that_draws(made):
    result = develop(Request(prompt="a red apple", seed=3, count=2, steps=3, model=str(made)))
    assert [image.shape for image in result.images] == [(64, 64, 3)] * 2
    assert (result.images[0] != result.images[1]).any()


def test_the_same_command_changes_nothing_once_it_is_done(made):
    before = made.read_bytes()
    assert train("starter", "smoke", made.parent, quiet=True) == made
    assert made.read_bytes() == before


def test_sheets_were_drawn_on_the_way(made):
    assert list((made.parent / "painter" / "sheets").glob("*.png"))


def test_the_file_holds_the_averaged_weights(made):
    from darkroom.training.painter import painter

    trained = load(made)
    again = painter("smoke", trained.autoencoder)
    assert trained.config.vocabulary == again.batch.tokenizer.vocabulary  # type: ignore[attr-defined]
    assert all(torch.isfinite(p).all() for p in trained.painter.parameters())


def test_most_times_are_near_noise_and_some_near_the_picture():
    from darkroom.training.painter import ANY_TIME, times

    drawn = Starter.process.schedule.at(times(20_000, torch.Generator().manual_seed(0), torch.device("cpu")))
    sigma = drawn.sigma / (drawn.alpha + drawn.sigma)
    assert (sigma > 0.8).float().mean() == pytest.approx(0.6 * (1 - ANY_TIME) + 0.33 * ANY_TIME, abs=0.03)
    assert (sigma < 0.3).float().mean() == pytest.approx(0.18 * ANY_TIME, abs=0.01)


def test_too_little_time_is_said(tmp_path):
    with pytest.raises(DarkroomError, match="same command carries on"):
        train("starter", "smoke", tmp_path, max_minutes=1e-6, quiet=True)


def test_a_training_that_is_not_there_offers_those_that_are(tmp_path):
    with pytest.raises(DarkroomError, match="'starter'"):
        train("startr", "smoke", tmp_path)


def test_batches_are_a_function_of_their_step():
    from darkroom.training.painter import painter
    from darkroom.training.presets import preset

    chosen = preset("smoke")
    from darkroom.networks.autoencoder import Autoencoder

    recipe = painter("smoke", Autoencoder(chosen.autoencoder))
    one, two = recipe.batch(5), recipe.batch(5)
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert not np.array_equal(one["picture"], recipe.batch(6)["picture"])


def test_a_run_begins_with_a_starter_and_keeps_its_words_and_its_decoder(made, tmp_path):
    again = train("starter", "smoke", tmp_path, start=str(made), seed=1, quiet=True)
    before, after = load(made), load(again)
    assert after.config.vocabulary == before.config.vocabulary
    assert after.config.about["pictures"] == str(2 * int(before.config.about["pictures"]))
    for name, tensor in after.autoencoder.state_dict().items():
        assert torch.equal(tensor, before.autoencoder.state_dict()[name])
    moved = [
        (new - old).abs().max() / old.abs().max().clamp(min=1e-6)
        for new, old in zip(after.painter.parameters(), before.painter.parameters(), strict=True)
    ]
    assert 0 < float(torch.stack(moved).median()) < 0.5  # it went on, it did not start anew


def test_a_run_that_began_with_a_starter_carries_on_without_naming_it(made, tmp_path):
    again = train("starter", "smoke", tmp_path, start=str(made), seed=1, quiet=True)
    before = again.read_bytes()
    assert train("starter", "smoke", tmp_path, seed=1, quiet=True).read_bytes() == before


def test_a_run_that_began_with_nothing_takes_no_start(made):
    with pytest.raises(DarkroomError, match="has begun without a start"):
        train("starter", "smoke", made.parent, start=str(made), quiet=True)


def test_a_start_of_other_sizes_is_refused(made, tmp_path):
    with pytest.raises(DarkroomError, match="other sizes than the preset 'cpu'"):
        train("starter", "cpu", tmp_path, start=str(made), quiet=True)


def test_a_start_that_is_no_starter_is_refused(tmp_path):
    (tmp_path / "wrong.safetensors").write_bytes(b"nothing")
    with pytest.raises(DarkroomError, match="cannot begin with"):
        train("starter", "smoke", tmp_path / "run", start=str(tmp_path / "wrong.safetensors"), quiet=True)
    assert not (tmp_path / "run").exists()  # the next try is not held to it


def test_a_run_keeps_to_the_starter_that_it_began_with(made, tmp_path):
    (tmp_path / "start.safetensors").write_bytes(made.read_bytes() + b"another")
    with pytest.raises(DarkroomError, match="another starter"):
        train("starter", "smoke", tmp_path, start=str(made), quiet=True)


def test_a_folder_is_no_start_of_a_run_that_has_begun(made, tmp_path):
    (tmp_path / "start.safetensors").write_bytes(made.read_bytes())
    with pytest.raises(DarkroomError, match=r"cannot begin with.*name the starter's file"):
        train("starter", "smoke", tmp_path, start=str(made.parent), quiet=True)


def test_a_run_whose_words_have_other_ids_now_is_not_carried_on(made, monkeypatch):
    before, counted = made.read_bytes(), Tokenizer.train

    def turned(captions: Iterator[str]) -> Tokenizer:
        return Tokenizer(counted(captions).vocabulary[::-1])

    monkeypatch.setattr(Tokenizer, "train", turned)
    with pytest.raises(DarkroomError, match=r"made with another vocabulary than this recipe has;.*--out"):
        train("starter", "smoke", made.parent, quiet=True)
    assert made.read_bytes() == before


def test_a_run_of_another_world_is_not_carried_on(made, monkeypatch):
    world = small_world()
    turned = replace(world, kinds=world.kinds[::-1])
    monkeypatch.setattr("darkroom.training.presets.small_world", lambda: turned)
    with pytest.raises(DarkroomError, match=r"made with another world than this recipe has;.*--out"):
        train("starter", "smoke", made.parent, quiet=True)


def test_what_always_begins_with_nothing_takes_no_start(made, tmp_path):
    with pytest.raises(DarkroomError, match="leave --from out"):
        train("reader", "smoke", tmp_path, start=str(made), quiet=True)


def test_a_part_of_what_was_learnt_can_be_taken(made: Path, tmp_path: Path):
    """From a run that is over, as often as one likes."""

    def weights(path: Path) -> torch.Tensor:
        return load(path).painter.network.final.weight

    how = {"start": str(made), "skill": "word", "quiet": True}
    before, after = weights(made), weights(train("lesson", "smoke", tmp_path, **how))
    path = train("lesson", "smoke", tmp_path, blend=0.25, **how)
    assert not torch.equal(before, after) and load(path).config.about["blend"] == "0.25"
    torch.testing.assert_close(weights(path), before + 0.25 * (after - before), rtol=2e-3, atol=1e-4)
    assert torch.equal(weights(train("lesson", "smoke", tmp_path, **how)), after)
    with pytest.raises(DarkroomError, match="leave --blend out"):
        train("starter", "smoke", tmp_path / "other", blend=0.5, quiet=True)


def test_a_folder_holds_one_training_alone(made: Path, tmp_path: Path):
    """Else the file of the first would go, and the second begin with what the first began with."""
    train("starter", "smoke", tmp_path, start=str(made), seed=2, quiet=True)
    before = (tmp_path / "starter.safetensors").read_bytes()
    with pytest.raises(DarkroomError, match="holds another training"):
        train("reward", "smoke", tmp_path, quiet=True)
    assert (tmp_path / "starter.safetensors").read_bytes() == before


@pytest.mark.parametrize("told", ["{}", "[]", '{"autoencoder": 5}'])
def test_a_damaged_configuration_is_named(made: Path, tmp_path: Path, told: str):
    path = tmp_path / "damaged.safetensors"
    save_file({"a": torch.zeros(1)}, path, {FORMAT: told})
    with pytest.raises(DarkroomError, match="configuration is damaged"):
        read_model(str(path))
    for start in (str(path), str(tmp_path)):
        with pytest.raises(DarkroomError, match="cannot begin with"):
            train("starter", "smoke", tmp_path / "run", start=start, quiet=True)


def test_a_full_disk_leaves_the_file_that_was_there(made: Path, tmp_path: Path, monkeypatch):
    path = tmp_path / "starter.safetensors"
    path.write_bytes(b"before")

    def full(file: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(disk, "flush", full)
    with pytest.raises(DarkroomError, match="the disk is full; free some space"):
        export(load(made), tmp_path)
    assert path.read_bytes() == b"before" and [*tmp_path.iterdir()] == [path]
