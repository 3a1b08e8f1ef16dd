"""Whole pictures from folders that diffusers wrote: ours and its own differ by 1 of 255 at most."""

import numpy as np
import pytest

pytest.importorskip("diffusers")
pytest.importorskip("transformers")
from tests.families import pictures


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return pictures.given_in(tmp_path_factory.mktemp("pictures"))


def check(made, expected):
    assert made.std() > 10
    assert np.abs(made - expected).max() <= 1


@pytest.mark.parametrize("task", pictures.TASKS)
@pytest.mark.parametrize("sampler", pictures.SCHEDULERS)
@pytest.mark.parametrize("family", pictures.FAMILIES)
def test_stable_diffusion(folders, given, family, sampler, task):
    check(*pictures.stable_diffusion(family, sampler, task, folders(family), given))


@pytest.mark.parametrize("task", pictures.TASKS)
@pytest.mark.parametrize("family", pictures.FLOWS)
def test_flows(folders, given, family, task):
    check(*pictures.flow(family, task, folders(family), given))
