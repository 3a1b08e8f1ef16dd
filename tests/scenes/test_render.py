"""A scene's picture and its truth agree: places, boxes, order, what hides what; nothing depends on chance."""

import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darkroom.data.scenes.catalogue import CATALOGUE, COLOURS
from darkroom.data.scenes.drawings import aspect
from darkroom.data.scenes.graph import Box, Scene, Thing
from darkroom.data.scenes.grounds import DARK, GROUNDS
from darkroom.data.scenes.lights import LIGHTS
from darkroom.data.scenes.render import annotate, fitted, parts, render
from darkroom.data.scenes.styles import STYLES
from darkroom.errors import DarkroomError, InvalidRequest

MIDDLE = Box(0.1, 0.1, 0.9, 0.9)
FACES = [k.name for k in CATALOGUE.values() if k.wears]
WEARABLE = [k.name for k in CATALOGUE.values() if k.wearable]

boxes = st.builds(
    lambda x, y, w, h: Box(x, y, x + w, y + h),
    st.floats(0, 0.6), st.floats(0, 0.6), st.floats(0.12, 0.4), st.floats(0.12, 0.4),
)  # fmt: skip


@st.composite
def things(draw: st.DrawFn) -> Thing:
    kind = CATALOGUE[draw(st.sampled_from(sorted(CATALOGUE)))]
    return Thing(
        kind.name,
        draw(boxes),
        draw(st.sampled_from([None, *COLOURS])) if kind.recolour else None,
        depth=draw(st.floats(0, 0.9)),
        worn=(draw(st.sampled_from(WEARABLE)),) if kind.wears and draw(st.booleans()) else (),
        held=("umbrella", "red") if kind.holds and draw(st.booleans()) else None,
        word=draw(st.text("ABCJQWXYZ", min_size=1, max_size=6)) if kind.name == "sign" else None,
    )


scenes = st.builds(
    Scene,
    st.lists(things(), min_size=1, max_size=4).map(tuple),
    ground=st.sampled_from(GROUNDS),
    light=st.sampled_from(LIGHTS),
    style=st.sampled_from(STYLES),
    noise_seed=st.integers(0, 2**64 - 1),
)


@settings(max_examples=25)
@given(scenes, st.sampled_from([64, 96, 128]))
def test_a_scene_has_one_picture(scene: Scene, side: int) -> None:
    picture = render(scene, side)
    assert picture.shape == (side, side, 3) and picture.dtype == np.uint8
    assert np.array_equal(picture, render(scene, side))


ONE_OF_EACH = """
import hashlib, sys
from darkroom.data.scenes.graph import Box, Scene, Thing
from darkroom.data.scenes.render import render
digest = hashlib.sha256()
for style, light, ground in zip({styles}, {lights} * 2, ("beach", "city", "red", "space", "snow")):
    cat = Thing("cat", Box(0.1, 0.1, 0.9, 0.9), "blue", worn=("crown",))
    digest.update(render(Scene((cat,), ground=ground, light=light, style=style, noise_seed=5)).tobytes())
print(digest.hexdigest())
"""


def test_another_process_draws_the_same() -> None:
    code = ONE_OF_EACH.format(styles=STYLES, lights=LIGHTS)
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": s},
            capture_output=True,
            text=True,
            check=True,
        )
        for s in ("1", "2")
    ]
    assert len(runs[0].stdout.strip()) == 64 and runs[0].stdout == runs[1].stdout


def test_the_noise_seed_matters() -> None:
    scene = Scene((), ground="grass")
    pictures = {hashlib.sha256(render(replace(scene, noise_seed=s))).hexdigest() for s in range(20)}
    assert len(pictures) > 15


@pytest.mark.parametrize("side", [64, 128, 256, 512])
def test_any_size_shows_the_same_scene(side: int) -> None:
    scene = Scene(
        (Thing("apple", MIDDLE, "green"), Thing("cube", Box(0, 0, 0.3, 0.3), "red")), ground="forest"
    )
    small = render(scene, 32).astype(float)
    pooled = render(scene, side).reshape(32, side // 32, 32, side // 32, 3).mean((1, 3))
    assert np.abs(pooled - small).mean() < 12


@settings(max_examples=50)
@given(things())
def test_a_box_is_tight_about_what_is_drawn(thing: Thing) -> None:
    side = 128
    truth = annotate(Scene((thing,)), side)
    rows, columns = np.nonzero(truth.segmentation)
    left, top, right, bottom = truth.boxes[0] * side
    inside = (
        columns.min() >= left - 1,
        rows.min() >= top - 1,
        columns.max() < right + 1,
        rows.max() < bottom + 1,
    )
    assert all(inside)
    slack = 3 + 0.04 * max(right - left, bottom - top)  # thin tips and glows are fainter than half
    if max(right, bottom) <= side:
        faint = (
            0.25 * (bottom - top) * (thing.kind in ("cup", "comet"))
        )  # steam rises, a tail fades up and right
        assert columns.min() - left < slack and right - columns.max() - 1 < slack + faint
        assert rows.min() - top < slack + faint
        assert bottom - rows.max() - 1 < slack


@given(boxes, st.floats(0.2, 4))
def test_a_drawing_stands_in_its_box(box: Box, ratio: float) -> None:
    drawn = fitted(box, ratio)
    assert drawn.width / drawn.height == pytest.approx(ratio)
    assert drawn.bottom == box.bottom and drawn.centre[0] == pytest.approx(box.centre[0])
    assert drawn.width <= box.width + 1e-9 and drawn.height <= box.height + 1e-9
    assert drawn.width == pytest.approx(box.width) or drawn.height == pytest.approx(box.height)


@pytest.mark.parametrize("near", [0, 1])
def test_the_nearer_thing_covers_the_farther(near: int) -> None:
    depths = (0.2, 0.6) if near == 0 else (0.6, 0.2)
    squares = (
        Thing("square", Box(0.25, 0.25, 0.75, 0.75), "red", depths[0]),
        Thing("square", Box(0.5, 0.5, 1.0, 1.0), "blue", depths[1]),
    )
    scene = Scene(squares)
    truth, picture = annotate(scene), render(scene)
    assert truth.segmentation[80, 80] == near + 1
    assert truth.depth[80, 80] == np.float32(0.2) and truth.depth[2, 2] == 1
    assert np.abs(picture[80, 80].astype(int) - COLOURS[("red", "blue")[near]]).max() < 25
    assert truth.visible[near] == 1
    assert truth.visible[1 - near] == pytest.approx(0.75, abs=0.01)


def test_what_leaves_the_picture_is_hidden() -> None:
    truth = annotate(Scene((Thing("square", Box(0.75, 0.25, 1.25, 0.75), "red"),)))
    assert truth.visible[0] == pytest.approx(0.5, abs=0.01)


def test_no_things_no_truth() -> None:
    truth = annotate(Scene(()), 64)
    assert not truth.segmentation.any() and truth.boxes.shape == (0, 4) and truth.visible.shape == (0,)


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("worn", WEARABLE)
def test_worn_things_sit_on_the_head(face: str, worn: str) -> None:
    head, hat = parts(Scene((Thing(face, MIDDLE, worn=(worn,)),)))
    assert (head.kind, hat.kind, hat.owner) == (face, worn, 0)
    assert head.box.left < hat.box.centre[0] < head.box.right
    assert hat.box.bottom < head.box.top + 0.8 * head.box.height
    if "glasses" in worn:
        assert head.box.top - 0.02 < hat.box.top
    else:
        assert hat.box.top < head.box.top + 0.2 * head.box.height < hat.box.bottom + 0.2 * head.box.height
    assert aspect(face, (worn,)) <= aspect(face) * 1.35


@pytest.mark.parametrize("holder", [k.name for k in CATALOGUE.values() if k.holds])
def test_an_umbrella_is_held_over_the_head(holder: str) -> None:
    drawn = {p.kind: p for p in parts(Scene((Thing(holder, MIDDLE, held=("umbrella", "black")),)))}
    body, umbrella = drawn[holder].box, drawn["umbrella"].box
    assert drawn["umbrella"].colour == "black"
    assert umbrella.top < body.top < umbrella.bottom
    assert umbrella.left < body.centre[0] < umbrella.right


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("light", LIGHTS)
@pytest.mark.parametrize("style", STYLES)
def test_things_stay_visible(ground: str, light: str, style: str) -> None:
    """A thing of the ground's own colour, or the darkest or the lightest, changes the picture at its edge."""
    empty = Scene((), ground=ground, light=light, style=style, noise_seed=3)
    without = render(empty).astype(float)
    for colour in {ground if ground in COLOURS else "white", "black", "white"}:
        scene = replace(empty, things=(Thing("circle", Box(0.3, 0.3, 0.7, 0.7), colour),))
        change = np.abs(render(scene).astype(float) - without).max(-1)
        middle = np.hypot(*(np.mgrid[:128, :128] + 0.5 - 64))
        edge = (middle > 22) & (middle < 29)
        assert change[edge].mean() > (7 if style == "neon" and ground in DARK else 9), (
            colour,
            change[edge].mean(),
        )


def one(kind: str = "cat", **more: object) -> Scene:
    return Scene((replace(Thing(kind, MIDDLE), **more),))


@pytest.mark.parametrize(
    ("scene", "side", "says"),
    [
        (one("dragon"), 128, "there is no kind of thing named 'dragon'"),
        (one(colour="mauve"), 128, "there is no colour named 'mauve'"),
        (one("panda", colour="red"), 128, "a panda comes in its own colours only"),
        (one(worn=("book",)), 128, "a book cannot be worn; wear one of sunglasses"),
        (one("apple", worn=("crown",)), 128, "an? apple has no face"),
        (one("apple", held=("cup", None)), 128, "an? apple cannot hold"),
        (one("person", held=("cup", "mauve")), 128, "there is no colour named 'mauve'"),
        (one("sign", word="CLOSING"), 128, "1 to 6 capital letters"),
        (one("sign", word="open"), 128, "capital letters"),
        (one("sign", word=""), 128, "1 to 6 capital letters"),
        (one(word="OPEN"), 128, "a cat carries no word"),
        (one(box=Box(0.5, 0.5, 0.5, 0.9)), 128, "empty box"),
        (replace(one(), ground="beech"), 128, "there is no ground named 'beech'; did you mean 'beach'"),
        (replace(one(), light="noon"), 128, "there is no light named 'noon'"),
        (replace(one(), style="oil"), 128, "there is no style named 'oil'"),
        (replace(one(), noise_seed=-1), 128, "noise_seed cannot be -1"),
        (replace(one(), things=one().things * 256), 128, "at most 255 things, not 256"),
        (one(), 8, "cannot be 8 pixels wide; choose from 16"),
    ],
)
def test_what_cannot_be_drawn_is_said(scene: Scene, side: int, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        render(scene, side)
    with pytest.raises(DarkroomError, match=says):
        annotate(scene, side)
