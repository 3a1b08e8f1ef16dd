"""What sampling starts from: draws in order, noise alone, a picture under noise, and what is kept of it."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from darkroom.diffusion.grids import GRIDS
from darkroom.diffusion.levels import Flow, Level
from darkroom.diffusion.prediction import predict_velocity
from darkroom.diffusion.process import Process
from darkroom.studio.request import Request
from darkroom.studio.start import NOISES, Draws, Given, given_of, kept, noise_alone, start_of

SHAPE = (2, 4, 4)
GRID = GRIDS["trailing"](Flow(2.0), 8)


@dataclass
class Code:
    """A model whose code is the picture's mean over 8x8 pixels, as random as ``deviation`` says."""

    deviation: float | None = None
    sees_mask: bool = False
    downscale: int = 8

    def latent_shape(self, width: int, height: int) -> tuple[int, int, int]:
        return SHAPE[0], height // 8, width // 8

    def process_at(self, width: int, height: int) -> Process:
        return Process(Flow(2.0), predict_velocity)

    def encode_pictures(self, pictures):
        code = torch.nn.functional.avg_pool2d(pictures, 8)[:, :2]
        return code, None if self.deviation is None else torch.full_like(code, self.deviation)

    def mask_condition(self, mask, masked):
        return torch.cat([torch.nn.functional.avg_pool2d(mask, 8), masked], dim=1)


def request(**settings) -> Request:
    return Request(prompt="a cone", seed=5, width=32, height=32, **settings)


@pytest.fixture
def picture(tmp_path):
    """A picture, grey from left to right, and a mask of its right half."""
    values = np.tile(np.linspace(0, 255, 32, dtype=np.uint8), (32, 1))
    Image.fromarray(np.stack([values] * 3, -1)).save(tmp_path / "picture.png")
    Image.fromarray(np.where(np.arange(32) < 16, 0, 255).astype(np.uint8)[None].repeat(32, 0)).save(
        tmp_path / "mask.png"
    )
    return {"init_image": tmp_path / "picture.png", "mask": tmp_path / "mask.png"}


@given(st.integers(1, 4), st.integers(0, 3), st.sampled_from(sorted(NOISES)))
def test_the_sampler_goes_on_where_the_start_stopped(taken, draw, name):
    """Draw 0 is the noise to start from, so a sampler's first own draw is number 1."""
    noise = NOISES[name]((5,), SHAPE)
    draws = Draws(NOISES[name]((5,), SHAPE))
    for i in range(taken):
        assert torch.equal(draws.take(), noise(i))
    assert torch.equal(draws.rest()(draw + 1), noise(draw + taken))


@given(st.floats(0, 1), st.floats(1e-3, 1))
def test_noise_alone_is_as_strong_as_signal_and_noise_together(alpha, sigma):
    eps = torch.ones(1, *SHAPE)
    level = Level(torch.tensor(0.5), torch.tensor(alpha), torch.tensor(sigma))
    made = noise_alone(eps, level)
    assert torch.allclose(made, eps * (alpha**2 + sigma**2) ** 0.5, rtol=1e-6)


def test_from_nothing_it_is_the_seeds_own_noise():
    start = start_of(request(), Code(), Given(), GRID)
    eps = NOISES["philox"]((5,), SHAPE)(0)
    assert torch.equal(start.x, noise_alone(eps, GRID.start)) and start.kept is None and start.concat is None
    other = start_of(request(variation_seed=9, variation_strength=1.0), Code(), Given(), GRID)
    there = noise_alone(NOISES["philox"]((9,), SHAPE)(0), GRID.start)
    torch.testing.assert_close(other.x, there)


@pytest.mark.parametrize("deviation", [None, 0.5])
@pytest.mark.parametrize("noise", ["philox", "torch"])
def test_a_picture_lies_under_noise_and_a_random_code_draws_first_where_others_do(picture, noise, deviation):
    model, grid = Code(deviation), GRID.cut(0.5)
    asked = request(init_image=picture["init_image"], noise=noise, strength=0.5)
    given = given_of(asked, model)
    start = start_of(asked, model, given, grid)
    drawn = NOISES[noise]((5,), SHAPE)
    first = noise == "torch" and deviation is not None
    known = given.latents + (deviation * drawn(0) if first else 0)
    level = grid.start
    torch.testing.assert_close(start.x, level.alpha * known + level.sigma * drawn(int(first)))
    assert torch.equal(start.noise(1), drawn(1 + int(first)))


def test_what_the_mask_keeps_is_kept_to_the_bit(picture):
    asked, model = request(**picture, strength=0.5), Code()
    given = given_of(asked, model)
    kept = start_of(asked, model, given, GRID.cut(0.5)).kept
    settled = kept.settle(torch.full((1, *SHAPE), 7.0))
    assert torch.equal(settled[..., :2], given.latents[..., :2]) and bool((settled[..., 2:] == 7).all())


def test_a_network_that_sees_masks_is_shown_them_and_the_rest_of_the_picture(picture):
    model = Code(sees_mask=True)
    asked = request(**picture, strength=1.0)
    given = given_of(asked, model)
    start = start_of(asked, model, given, GRID)
    assert start.kept is None
    assert torch.equal(start.x, noise_alone(NOISES["philox"]((5,), SHAPE)(0), GRID.start))
    mask, masked = start.concat[:, :1], start.concat[:, 1:]
    assert bool((mask[..., :2] == 0).all() and (mask[..., 2:] == 1).all())
    assert torch.equal(masked[..., :2], given.latents[..., :2]) and bool((masked[..., 2:] == 0).all())
    blank = start_of(request(), model, Given(), GRID).concat
    assert bool((blank[:, :1] == 1).all() and (blank[:, 1:] == 0).all())


def test_a_stroke_within_a_large_cell_makes_it_anew_and_small_cells_are_read_by_one_pixel():
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 17:20, 17:20] = 1
    large, small = (kept(torch.zeros(1, 2, side, side), torch.zeros(1), mask) for side in (4, 8))
    assert large is not None and small is not None
    assert large.mask[0, 0].nonzero().tolist() == [[1, 1]] and not small.mask.any()
