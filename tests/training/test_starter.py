"""The whole way at the smallest size: two runs, one file, one picture."""

from pathlib import Path

import numpy as np
import pytest
import torch

from darkroom.errors import DarkroomError
from darkroom.families.starter import load
from darkroom.studio.develop import develop
from darkroom.studio.request import Request
from darkroom.training.command import train


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
