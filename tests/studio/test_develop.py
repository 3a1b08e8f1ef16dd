"""From requests to pictures, with the model that ships."""

import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from darkroom.errors import InvalidRequest
from darkroom.studio.develop import develop, develop_many
from darkroom.studio.files import sha256
from darkroom.studio.metadata import from_json, to_json
from darkroom.studio.models import SHIPPED, open_model
from darkroom.studio.request import NOISES, Progress, Request
from darkroom.studio.room import Room
from darkroom.studio.start import NOISES as SOURCES
from darkroom.studio.start import Draws, start_noise

SMALL = Request(prompt="a cat", seed=5, steps=2, width=64, height=64)
WIDE = Request(
    prompt="a house on a beach", seed=9, steps=3, width=96, height=48, sampler="euler", cfg_scale=1.0
)


def test_requests_of_different_sizes_and_lengths_are_made_and_previewed_together():
    heard: list[Progress] = []
    previews: list[list[tuple[int, ...]]] = []

    def progress(step: Progress) -> None:
        heard.append(step)
        previews.append([picture.shape for picture in step.preview()])

    together = develop_many([SMALL, WIDE], progress)
    assert [result.images[0].shape for result in together] == [(64, 64, 3), (48, 96, 3)]
    assert [(step.step, step.steps) for step in heard] == [(1, 3), (2, 3), (3, 3)]
    assert previews == [[(64, 64, 3), (48, 96, 3)]] * 3


def test_a_picture_made_beside_others_is_the_one_made_alone():
    together = develop_many([SMALL, WIDE])
    for request, result in zip((SMALL, WIDE), together, strict=True):
        alone = develop(request).images[0].astype(int)
        assert (
            np.abs(alone - result.images[0]).max() <= 1
        )  # one level: the network's kernels may round by batch


def test_the_start_is_the_noise_that_was_asked_for():
    """Torch on a CPU, and between two seeds as far as the variation says."""
    shape = (4, 6, 8)

    def start(request: Request) -> torch.Tensor:
        return start_noise(request, Draws(SOURCES[request.noise]((request.seed,), shape)), shape)

    for noise in NOISES:
        assert torch.equal(start(replace(SMALL, noise=noise)), SOURCES[noise]((SMALL.seed,), shape)(0))
    torch.testing.assert_close(
        start(replace(SMALL, noise="torch"))[0],
        torch.randn(shape, generator=torch.Generator().manual_seed(SMALL.seed)),
    )
    one = replace(SMALL, noise="torch", variation_seed=6, variation_strength=1.0)
    torch.testing.assert_close(start(one), start(replace(SMALL, noise="torch", seed=6)))


def test_on_a_brownian_path_more_steps_make_much_the_same_picture():
    def moved(noise: str) -> float:
        few, many = (
            develop(replace(SMALL, noise=noise, sampler="euler_a", steps=steps)).images[0].astype(int)
            for steps in (16, 48)
        )
        return float(np.abs(few - many).mean())

    assert moved("brownian") < 0.6 * moved("philox")


def test_a_batch_of_variations_is_made_as_each_alone():
    run = replace(SMALL, count=2, variation_seed=8, variation_strength=0.3)
    made = develop(run)
    for i, image in enumerate(made.images):
        alone = develop(made[i].record.request).images[0].astype(int)
        assert np.abs(alone - image).max() <= 1
    assert (made.images[0] != made.images[1]).any()


@pytest.mark.parametrize("scheduler", ["leading", "dpm", "ddim_original"])
def test_more_steps_than_a_scheduler_has_are_refused(scheduler):
    with pytest.raises(InvalidRequest, match="has no 1000 steps to take; take fewer"):
        develop(Request(prompt="a cone", scheduler=scheduler, steps=1000))


def test_a_room_loads_its_model_once():
    open_model.cache_clear()
    Room("starter").generate("a cone", steps=1, seed=1)
    assert open_model.cache_info().misses == 1


def test_a_model_that_was_replaced_on_disk_is_read_anew(tmp_path):
    path = tmp_path / "own.safetensors"
    shutil.copy(SHIPPED["starter"], path)
    first = open_model(str(path))
    assert open_model(str(path)) is first
    (tmp_path / "new").write_bytes(path.read_bytes())
    (tmp_path / "new").replace(path)
    second = open_model(str(path))
    assert second is not first and open_model(str(path)) is second


def test_the_record_tells_of_files_as_they_were_read(tmp_path):
    path = tmp_path / "start.png"
    Image.new("RGB", (64, 64), "red").save(path)
    read = sha256(path)
    made = develop(replace(SMALL, init_image=path), lambda _: Image.new("RGB", (64, 64), "blue").save(path))
    assert made.record.hashes == {str(path): read} and sha256(path) != read


def test_schedulers_go_by_the_names_of_other_tools():
    made = develop(replace(SMALL, scheduler="DDIM Uniform"))
    assert made.record.request.scheduler == "leading"


def test_a_seed_of_another_size_lies_in_the_middle():
    shape, small = (4, 6, 8), (4, 2, 4)
    for request in (SMALL, replace(SMALL, variation_seed=6, variation_strength=0.4)):

        def start(shape, *seed_shape, request=request):
            return start_noise(request, Draws(SOURCES["philox"]((request.seed,), shape)), shape, *seed_shape)

        own = SOURCES["philox"]((SMALL.seed,), shape)(0)
        expected = own.clone()
        expected[..., 2:4, 2:6] = start(small)
        assert torch.equal(start(shape, small), expected)


STEERED: dict[str, dict[str, Any]] = {
    "rescale": {"cfg_rescale": 0.8},
    "interval": {"cfg_interval": (0.3, 3.0)},
    "cfg_pp": {"guide": "cfg_pp", "sampler": "euler"},
    "apg": {"guide": "apg"},
    "cfg_zero": {"guide": "cfg_zero"},
    "pag": {"pag_scale": 3.0},
    "pag alone": {"pag_scale": 3.0, "cfg_scale": 1.0},
    "seed size": {"seed_size": (48, 48)},
    "reuse": {"reuse": 2},
}


@pytest.mark.parametrize("options", STEERED.values(), ids=STEERED)
def test_what_steers_changes_the_picture_and_is_in_its_record(options):
    request = replace(SMALL, steps=3, cfg_scale=None, count=2)
    plain, made = develop(request), develop(replace(request, **options))
    for i, image in enumerate(made.images):
        assert np.abs(image.astype(int) - plain.images[i]).max() > 1
        record = from_json(to_json(made[i].record))
        assert record == made[i].record
        again = develop(record.request).images[0].astype(int)
        assert np.abs(again - image).max() <= 1, "also in a batch a guide remembers its own picture alone"


def test_the_size_of_a_seed_must_fit_the_model_too():
    with pytest.raises(InvalidRequest, match="multiples"):
        develop(replace(SMALL, seed_size=(50, 48)))


@pytest.mark.parametrize(
    "wish", [{"emphasis": "comfy"}, {"variant": "lcm"}, {"clip_skip": 2}, {"guidance": 3.0}]
)
def test_what_a_model_cannot_do_is_refused_rather_than_passed_over(wish):
    with pytest.raises(InvalidRequest, match=f"takes no {next(iter(wish)).replace('_', ' ')}"):
        develop(replace(SMALL, **wish))
