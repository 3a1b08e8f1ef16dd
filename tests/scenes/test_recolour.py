"""A red apple is red: every recoloured drawing has its target's colour, and keeps the rest of itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darkroom.data.scenes import assets
from darkroom.data.scenes.bodies import BODIES
from darkroom.data.scenes.catalogue import CATALOGUE, COLOURS
from darkroom.data.scenes.recolour import Body, main_hue, oklab, recolour, srgb, study
from darkroom.data.scenes.sprites import Drawing, master

EMOJI = [k.name for k in CATALOGUE.values() if k.recolour and k.emoji]
DRAWN = [k.name for k in CATALOGUE.values() if k.recolour and not k.emoji]


def test_oklab_goes_and_comes_back() -> None:
    rgb = np.stack(np.meshgrid(*[np.arange(0, 256, 15)] * 3), -1)
    assert np.abs(srgb(oklab(rgb)) - rgb).max() < 0.5


def test_oklab_is_right_where_it_is_published() -> None:
    """White is (1, 0, 0), and sRGB red has the lightness and hue of Ottosson's tables."""
    assert oklab(np.array([255, 255, 255])) == pytest.approx([1, 0, 0], abs=1e-4)
    assert oklab(np.array([255, 0, 0])) == pytest.approx([0.62796, 0.22486, 0.12585], abs=1e-4)


@settings(max_examples=30)
@given(st.floats(0, 359))
def test_the_main_hue_is_found_all_round_the_circle(hue: float) -> None:
    hues = (hue + np.random.default_rng(0).normal(0, 3, 500)) % 360
    found = main_hue(hues, np.ones(500))
    assert abs((found - hue + 180) % 360 - 180) < 8


@pytest.mark.parametrize("kind", EMOJI)
def test_every_emoji_takes_every_colour(kind: str) -> None:
    sprite = assets.sprite(kind)
    studied = study(sprite, BODIES.get(kind, (Body(),)))
    weight = sum(region.weight[..., 0] for region in studied.regions)
    body = (weight > 0.9) & (sprite[..., 3] > 250)
    assert body.sum() > 0.08 * (sprite[..., 3] > 250).sum()
    for colour, rgb in COLOURS.items():
        out = recolour(studied, colour)
        got, target = np.median(oklab(out[..., :3][body]), axis=0), oklab(np.array(rgb))
        assert np.linalg.norm(got - target) < 0.11, (colour, got, target)
        assert np.array_equal(out[..., 3], sprite[..., 3])
        rest = (weight == 0) & (sprite[..., 3] > 0)
        if not (colour == "black" and studied.eyes):
            assert np.abs(out[rest].astype(int) - sprite[rest]).max(initial=0) <= 1


@pytest.mark.parametrize("kind", EMOJI + DRAWN)
def test_no_colour_is_taken_for_another(kind: str) -> None:
    """The body's median is nearer to its own colour than to any other of the eleven."""
    own = np.asarray(master(Drawing(kind, "red")).convert("RGBA")).astype(int)
    other = np.asarray(master(Drawing(kind, "blue")).convert("RGBA")).astype(int)
    body = (np.abs(own - other)[..., :3].sum(-1) > 150) & (own[..., 3] > 250)
    targets = {colour: oklab(np.array(rgb)) for colour, rgb in COLOURS.items()}
    for colour in COLOURS:
        pixels = np.asarray(master(Drawing(kind, colour)).convert("RGBA"))[..., :3][body]
        median = np.median(oklab(pixels), axis=0)
        assert min(targets, key=lambda c: np.linalg.norm(targets[c] - median)) == colour


def test_a_body_that_is_nowhere_is_an_error() -> None:
    with pytest.raises(ValueError, match="no pixel of the drawing"):
        study(assets.sprite("apple"), (Body(hue=260, width=5),))
