"""Whole pictures from folders that diffusers wrote: ours and its own differ by 1 of 255 at most."""

import numpy as np
import pytest

pytest.importorskip("diffusers")
pytest.importorskip("transformers")
from tests.families import pictures, tiny


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return pictures.given_in(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of each tiny model, written once."""
    root, made = tmp_path_factory.mktemp("models"), {}

    def of(name):
        if name not in made:
            made[name] = tiny.save(getattr(tiny, name)(), root / name)
        return made[name]

    return of


def check(made, expected):
    assert made.std() > 10
    assert np.abs(made - expected).max() <= 1


@pytest.mark.parametrize("task", pictures.TASKS)
@pytest.mark.parametrize("sampler", pictures.SCHEDULERS)
@pytest.mark.parametrize("family", pictures.FAMILIES)
def test_stable_diffusion(folder, given, family, sampler, task):
    check(*pictures.stable_diffusion(family, sampler, task, folder(family), given))


@pytest.mark.parametrize("task", pictures.TASKS)
@pytest.mark.parametrize("family", pictures.FLOWS)
def test_flows(folder, given, family, task):
    check(*pictures.flow(family, task, folder(family), given))
