"""Tiles and slices: the answers of the whole where the network allows it, in memory that stays bounded."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from darkroom.errors import InvalidRequest
from darkroom.networks.autoencoder_kl import AutoencoderKL, AutoencoderKLConfig
from darkroom.networks.posterior import Posterior
from darkroom.networks.tiled import Tiled, strips


class Local(nn.Module):
    """An autoencoder of convolutions alone, which looks two latent positions far at most."""

    downscale = 4

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.down = nn.ModuleList(nn.Conv2d(n, 6, 3, stride=2) for n in (3, 6))
        self.up = nn.ModuleList(nn.Conv2d(n, 3, 3, padding=1) for n in (3, 3))

    def encode(self, pictures: Tensor) -> Posterior:
        x = pictures
        for layer in self.down:
            x = layer(F.pad(x.tanh(), (0, 1, 0, 1)))
        mean, deviation = x.chunk(2, dim=1)
        return Posterior(mean, deviation.exp())

    def decode(self, latents: Tensor) -> Tensor:
        x = latents
        for layer in self.up:
            x = layer(F.interpolate(x.tanh(), scale_factor=2.0))
        return x


def real(groups: int = 4) -> AutoencoderKL:
    torch.manual_seed(0)
    config = AutoencoderKLConfig(block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=groups)
    return AutoencoderKL(config).eval().requires_grad_(False)


@given(st.integers(1, 70), st.integers(1, 20), st.data())
def test_tiles_cover_a_side_with_shares_that_sum_to_one(length, tile, data):
    overlap = data.draw(st.integers(0, tile - 1))
    made = data.draw(st.integers(1, 3))
    found = strips(length, tile, overlap, taken=2, made=made)
    total = torch.zeros(length * made)
    for strip in found:
        total[strip.made] += strip.share
        assert (strip.made.stop - strip.made.start) == min(tile, length) * made
        assert strip.taken.start * made == strip.made.start * 2
    torch.testing.assert_close(total, torch.ones_like(total))
    for one, two in pairwise(found):
        assert one.made.stop - two.made.start >= overlap * made
    assert found[-1].taken.stop is None  # what is left of the input beyond a whole position


@settings(max_examples=25)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(9, 16))
@torch.no_grad()
def test_with_enough_overlap_tiles_of_a_local_network_equal_the_whole(high, wide, tile):
    whole, tiled = Local(), Tiled(Local(), tile=tile, overlap=8)
    latents = torch.randn(2, 3, high, wide)
    torch.testing.assert_close(tiled.decode(latents), whole.decode(latents), rtol=0, atol=1e-5)
    pictures = torch.randn(1, 3, 4 * high + wide % 4, 4 * wide + high % 4)
    ours, theirs = tiled.encode(pictures), whole.encode(pictures)
    torch.testing.assert_close(ours.mean, theirs.mean, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.std, theirs.std, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_with_too_little_overlap_a_seam_shows():
    """Which shows that the test above can fail."""
    latents = torch.randn(1, 3, 24, 24)
    assert (Tiled(Local(), 8, 1).decode(latents) - Local().decode(latents)).abs().max() > 1e-2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_what_fits_in_one_tile_is_done_as_without(dtype):
    network = real().to(dtype)
    tiled = Tiled(network, tile=16, overlap=4)
    for high, wide in ((16, 16), (5, 11)):
        latents = torch.randn(2, 4, high, wide, dtype=dtype)
        assert tiled.decode(latents).equal(network.decode(latents))
        pictures = torch.rand(2, 3, 2 * high, 2 * wide + 1, dtype=dtype)
        ours, theirs = tiled.encode(pictures), network.encode(pictures)
        assert ours.mean.equal(theirs.mean) and ours.std.equal(theirs.std)


@torch.no_grad()
def test_precision_and_sides_are_those_of_the_whole():
    network = real().bfloat16()
    tiled = Tiled(network, tile=8, overlap=3)
    latents = torch.randn(1, 4, 5, 19)
    for dtype in (torch.float32, torch.bfloat16):
        picture = tiled.decode(latents.to(dtype))
        assert (picture.dtype, picture.shape) == (dtype, (1, 3, 10, 38))
        posterior = tiled.encode(picture[..., :-1])
        assert (posterior.mean.dtype, posterior.std.shape) == (dtype, (1, 4, 5, 18))


class Levelled(Local):
    """Draws every tile around its own mean, as group norms do in the large."""

    def decode(self, latents: Tensor) -> Tensor:
        return F.interpolate(latents - latents.mean(dim=(2, 3), keepdim=True), scale_factor=4.0)


def test_tiles_of_different_level_fade_into_each_other_without_a_seam():
    latents = torch.arange(32.0).expand(1, 3, 32, 32)

    def step(overlap: int) -> float:
        error = Tiled(Levelled(), tile=16, overlap=overlap).decode(latents) - Levelled().decode(latents)
        return error.diff(dim=-1).abs().max().item()

    assert step(0) == pytest.approx(16)
    assert step(8) < 16 * 1.6 / 16  # the steepest of a fading over four positions of four pixels


@torch.no_grad()
def test_the_real_architecture_stays_near_the_whole():
    network = real()
    latents = torch.randn(1, 4, 48, 48)
    whole = network.decode(latents)
    error = (Tiled(network, tile=24, overlap=8).decode(latents) - whole).square().mean().sqrt()
    assert 0 < error < 0.15 * whole.std()


class Peak(TorchDispatchMode):
    """The most bytes that tensors made inside, beside the ``given`` one, held at once."""

    def __init__(self, given: Tensor) -> None:
        super().__init__()
        self.given = given.data_ptr()
        self.live: Any = WeakIdKeyDictionary()
        self.most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self.live[storage] = storage.nbytes() if storage.data_ptr() != self.given else 0
        self.most = max(self.most, sum(self.live.values()))
        return made


def peak(work: Callable[[Tensor], Any], given: Tensor) -> int:
    with torch.no_grad(), Peak(given) as watched:
        work(given)
    return watched.most


def test_four_times_the_picture_takes_only_its_own_pixels_more():
    network = real()
    tiled = Tiled(network, tile=16, overlap=4)
    small, large = torch.randn(1, 4, 32, 32), torch.randn(1, 4, 64, 64)
    pixels = 4 * 3 * (128**2 - 64**2)  # bytes
    assert peak(tiled.decode, large) - peak(tiled.decode, small) <= 1.05 * pixels
    assert peak(network.decode, large) - peak(network.decode, small) > 5 * pixels
    small, large = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 128, 128)
    positions = 4 * 8 * (64**2 - 32**2)
    assert peak(tiled.encode, large) - peak(tiled.encode, small) <= 1.05 * positions
    assert peak(network.encode, large) - peak(network.encode, small) > 5 * positions


def test_tiles_that_would_not_advance_are_refused():
    with pytest.raises(InvalidRequest, match="tiles of 8 positions cannot overlap by 8"):
        Tiled(Local(), tile=8, overlap=8)
