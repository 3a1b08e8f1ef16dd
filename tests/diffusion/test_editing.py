"""Editing: what is known stays to the bit, regions answer for themselves, tiles are one picture."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from darkroom.diffusion.editing import _spans, inpaint, regions, tiles
from darkroom.diffusion.grids import trailing
from darkroom.diffusion.guidance import cfg, guided, unguided
from darkroom.diffusion.levels import VE, VP, Flow
from darkroom.diffusion.noise import Philox
from darkroom.diffusion.samplers import ddim, ddpm, dpmpp_2m, euler, euler_a, heun, sample

SHAPE = (2, 12, 16)
LEVEL = Flow().at(torch.tensor([0.3, 0.7], dtype=torch.float64))
X = Philox.run(0, 2, SHAPE, dtype=torch.float64)(0)
LEFT = (torch.arange(16) < 7).double().expand(1, 1, 12, 16)


def answer(queries):
    return [torch.tanh(query.x * query.cond) + query.cond for query in queries]


def one(cond, x=X):
    return torch.tanh(x * cond) + cond


# ---- inpainting


@pytest.mark.parametrize("method", [ddpm, ddim, euler, euler_a, heun, dpmpp_2m], ids=lambda m: m.name)
@pytest.mark.parametrize("schedule", [Flow(), VP.linear(), VE()], ids=["flow", "vp", "ve"])
def test_the_known_region_is_kept_to_the_bit(method, schedule):
    known = torch.rand(2, *SHAPE)
    grid, noise = trailing(schedule, 5), Philox.run(4, 2, SHAPE)
    x = grid.start.alpha.float() * known + grid.start.sigma.float() * noise(0)
    guide = inpaint(cfg(2.0, -1.0, 3.0), known, noise(0), LEFT)
    end = sample(method(x, grid, noise), guided(guide, answer))
    right = LEFT[0, 0] == 0
    assert torch.equal(end[..., right], known[..., right])
    assert (end - known)[..., ~right].abs().min() > 0


def test_the_network_sees_the_known_region_under_the_noise_of_its_level():
    seen = []

    def look(queries):
        seen.extend(query.x for query in queries)
        return answer(queries)

    known, eps = torch.full_like(X, 0.25), torch.full_like(X, 10.0)
    guided(inpaint(unguided(1.0), known, eps, LEFT), look)(X, LEVEL)
    for row, t in enumerate((0.3, 0.7)):
        assert torch.equal(seen[0][row][..., :7], X[row][..., :7])
        kept = torch.full((2, 12, 9), (1 - t) * 0.25 + t * 10.0, dtype=torch.float64)
        torch.testing.assert_close(seen[0][row][..., 7:], kept)


def test_soft_masks_blend():
    known = torch.zeros_like(X)
    found = guided(inpaint(unguided(1.0), known, X, torch.full((1, 1, 1, 1), 0.25)), answer)(X, LEVEL)
    noised = 0.25 * X + 0.75 * LEVEL.sigma[:, None, None, None] * X
    torch.testing.assert_close(found, 0.25 * one(1.0, noised))


def test_with_everything_to_paint_nothing_changes():
    found = guided(inpaint(cfg(2.0, -1.0, 3.0), torch.rand_like(X), X, torch.ones(1, 1, 1, 1)), answer)(
        X, LEVEL
    )
    assert torch.equal(found, guided(cfg(2.0, -1.0, 3.0), answer)(X, LEVEL))


# ---- regions


def test_each_region_is_answered_by_its_own_guide_in_one_tuple():
    asked = []

    def listen(queries):
        asked.append([query.cond for query in queries])
        return answer(queries)

    found = guided(regions([(unguided(2.0), LEFT), (cfg(0.5, -1.0, 3.0), 1 - LEFT)]), listen)(X, LEVEL)
    assert torch.equal(found[..., :7], one(2.0)[..., :7])
    torch.testing.assert_close(found[..., 7:], (3 * one(0.5) - 2 * one(-1.0))[..., 7:])
    assert asked == [[2.0, 0.5, -1.0]]


def test_where_regions_overlap_they_are_averaged_by_their_weights():
    everywhere = torch.ones(1, 1, 1, 1)
    found = guided(regions([(unguided(2.0), 3 * LEFT), (unguided(0.5), everywhere)]), answer)(X, LEVEL)
    torch.testing.assert_close(found[..., :7], ((3 * one(2.0) + one(0.5)) / 4)[..., :7])
    torch.testing.assert_close(found[..., 7:], one(0.5)[..., 7:])


def test_one_region_is_the_whole():
    assert torch.equal(guided(regions([(unguided(2.0), torch.ones(1, 1, 1, 1))]), answer)(X, LEVEL), one(2.0))


def test_places_under_no_mask_are_refused():
    with pytest.raises(ValueError, match="under no mask"):
        regions([(unguided(2.0), LEFT)])


# ---- tiles


@pytest.mark.parametrize("size", [(12, 16), (40, 40)])
def test_one_tile_is_the_whole(size):
    found = guided(tiles(cfg(2.0, -1.0, 3.0), size, 4), answer)(X, LEVEL)
    torch.testing.assert_close(found, guided(cfg(2.0, -1.0, 3.0), answer)(X, LEVEL), rtol=1e-14, atol=1e-14)


@given(st.integers(2, 14), st.integers(2, 18), st.integers(0, 5))
@settings(max_examples=25)
def test_tiles_of_a_local_answer_are_the_whole(high, wide, overlap):
    """A network that looks at each position alone says the same in whatever window."""
    if overlap >= min(high, wide):
        overlap = 0
    found = guided(tiles(unguided(2.0), (high, wide), overlap), answer)(X, LEVEL)
    torch.testing.assert_close(found, one(2.0), rtol=1e-13, atol=1e-13)


@given(st.integers(1, 60), st.integers(1, 30), st.integers(0, 29))
def test_windows_cover_the_picture_overlap_and_stay_inside(length, size, overlap):
    if overlap >= size:
        overlap = size - 1
    spans = list(_spans(length, size, overlap))
    assert spans[0].start == 0
    assert spans[-1].stop == length
    assert all(span.stop - span.start == min(size, length) for span in spans)
    for a, b in pairwise(spans):
        assert a.start < b.start
        assert a.stop - b.start >= overlap


def test_windows_are_asked_together_and_blend_across_their_seam():
    shapes = []

    def by_place(queries):
        """Each window answers with its number."""
        shapes.append([tuple(query.x.shape[-2:]) for query in queries])
        return [torch.full_like(query.x, i) for i, query in enumerate(queries)]

    found = guided(tiles(unguided(2.0), (12, 10), 4), by_place)(X, LEVEL)
    assert shapes == [[(12, 10), (12, 10)]]
    line = found[0, 0, 5]
    assert torch.equal(line[:6], torch.zeros(6).double())
    assert torch.equal(line[10:], torch.ones(6).double())
    assert (line[6:10].diff() > 0).all()


@pytest.mark.parametrize(("size", "overlap"), [((8, 8), 8), ((8, 4), 5), ((8, 8), -1), ((0, 4), 0)])
def test_windows_that_would_not_move_on_are_refused(size, overlap):
    with pytest.raises(ValueError, match="does not fit"):
        tiles(unguided(2.0), size, overlap)


def test_editing_guides_nest():
    guide = inpaint(tiles(cfg(2.0, -1.0, 3.0), (12, 10), 4), torch.zeros_like(X), X, LEFT)
    found = guided(guide, answer)(X, LEVEL)
    assert (found[..., 7:] == 0).all()
    expected = guided(cfg(2.0, -1.0, 3.0), answer)(X, LEVEL)[..., :7]
    torch.testing.assert_close(found[..., :7], expected, rtol=1e-13, atol=1e-13)
