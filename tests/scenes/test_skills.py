"""Every drawn scene is what it says: relations hold in the boxes, numbers are exact, nothing touches."""

import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.data.scenes.catalogue import CATALOGUE, COLOURS
from darkroom.data.scenes.chance import philox
from darkroom.data.scenes.drawings import footing
from darkroom.data.scenes.graph import Box, Scene
from darkroom.data.scenes.layout import overlap
from darkroom.data.scenes.skills import SKILLS, sample_scene
from darkroom.data.scenes.skills.plain import herd
from darkroom.data.scenes.world import full_world, small_world
from darkroom.errors import InvalidRequest, UnknownName

WORLDS = {"small": small_world(), "full": full_world()}
TOUCHING = {"on top of", "in front of", "behind"}
seeds = st.integers(0, 2**32)
worlds = st.sampled_from(sorted(WORLDS))
skills = st.sampled_from(sorted(SKILLS))


def drawn(world: str, skill: str, seed: int) -> Scene:
    return sample_scene(philox(seed, 0), WORLDS[world], skill)


def relation_holds(kind: str, a: Box, b: Box, base: str) -> bool:
    (ax, ay), (bx, by) = a.centre, b.centre
    level, plumb = abs(ay - by) < abs(ax - bx), abs(ax - bx) < abs(ay - by)
    return {
        "left of": a.right < b.left and level,
        "right of": a.left > b.right and level,
        "above": a.bottom < b.top and plumb,
        "below": a.top > b.bottom and plumb,
        "on top of": math.isclose(a.bottom, b.top + footing(base) * b.height) and b.left < ax < b.right,
        "in front of": 0.1 < overlap(a, b) / (b.width * b.height) < 0.5 and a.bottom > b.bottom,
        "behind": 0.1 < overlap(a, b) / (a.width * a.height) < 0.5 and a.bottom < b.bottom,
    }[kind]


@given(worlds, skills, seeds)
def test_relations_are_true_in_the_boxes(world: str, skill: str, seed: int) -> None:
    scene = drawn(world, skill, seed)
    grouped = Counter((r.kind, r.object) for r in scene.relations)
    for r in scene.relations:
        a, b = scene.things[r.subject], scene.things[r.object]
        if grouped[r.kind, r.object] == 1:
            assert relation_holds(r.kind, a.box, b.box, b.kind), (r, a, b)
        elif r.kind in ("left of", "right of", "above", "below"):  # one of several: clear of the other thing
            edge = {"left of": (a.box.right, b.box.left), "right of": (b.box.right, a.box.left)}
            edge |= {"above": (a.box.bottom, b.box.top), "below": (b.box.bottom, a.box.top)}
            assert edge[r.kind][0] < edge[r.kind][1]
        if r.kind in TOUCHING:
            assert (a.depth < b.depth) == (r.kind != "behind")


@given(worlds, skills, seeds)
def test_all_is_inside_and_nothing_touches_by_accident(world: str, skill: str, seed: int) -> None:
    scene = drawn(world, skill, seed)
    touching = {frozenset((r.subject, r.object)) for r in scene.relations if r.kind in TOUCHING}
    for i, thing in enumerate(scene.things):
        box = thing.box
        assert box.left >= 0 and box.top >= 0 and box.right <= 1 and box.bottom <= 1
        for j in range(i):
            if frozenset((i, j)) not in touching:
                assert overlap(box, scene.things[j].box) == 0


@given(worlds, seeds)
def test_each_skill_shows_what_it_is_about(world: str, seed: int) -> None:
    count = drawn(world, "count", seed).things
    assert len({(t.kind, t.colour) for t in count}) == 1 and 1 <= len(count) <= 6
    assert len({t.kind for t in drawn(world, "two", seed).things}) == 2
    colours = [t.colour for t in drawn(world, "colour", seed).things]
    assert None not in colours and len(set(colours)) == len(colours) > 1
    assert len(drawn(world, "three", seed).relations) == 2
    assert any(t.worn for t in drawn(world, "worn", seed).things)
    assert all(t.held for t in drawn(world, "held", seed).things)
    assert drawn(world, "word", seed).things[0].word in WORLDS[world].words
    crowd = Counter(t.held for t in drawn(world, "crowd", seed).things)
    assert len(crowd) == 2 and 1 in crowd.values() and 3 <= crowd.total() <= 6


@given(seeds)
def test_formations_are_seen(seed: int) -> None:
    scene = drawn("full", "arrangement", seed)
    x, y = zip(*(t.box.centre for t in scene.things), strict=True)
    if scene.arrangement == "row":
        assert max(y) - min(y) < 1e-9
    elif scene.arrangement == "column":
        assert max(x) - min(x) < 1e-9
    elif scene.arrangement == "pyramid":
        assert sorted(Counter(round(v, 6) for v in y).items()) == sorted(
            zip(sorted({round(v, 6) for v in y}), range(1, 4), strict=False)
        )
        assert x[0] == pytest.approx(sum(x[1:3]) / 2)
    else:
        middle = (sum(x) / len(x), sum(y) / len(y))
        radii = [math.dist(middle, centre) for centre in zip(x, y, strict=True)]
        assert max(radii) == pytest.approx(min(radii))


@pytest.mark.parametrize("number", [3, 5, 6])
@pytest.mark.parametrize("kind", small_world().things)
def test_any_number_of_any_kind_has_room(kind: str, number: int) -> None:
    """There were no five apples once: three of them in a row had no room on the small world's grid."""
    rng = philox(number, 0)
    assert len({tuple(herd(rng, small_world(), kind, number)) for _ in range(8)}) > 1


def test_a_part_of_the_signs_is_plain() -> None:
    world = replace(small_world(), plain_signs=0.3)
    scenes = [sample_scene(philox(i, 0), world, "word") for i in range(300)]
    signs = [thing for scene in scenes for thing in scene.things if thing.word]
    assert sum(sign.colour is None for sign in signs) / len(signs) == pytest.approx(0.3, abs=0.1)


@given(skills, seeds)
def test_the_small_world_stays_small(skill: str, seed: int) -> None:
    world = WORLDS["small"]
    scene = drawn("small", skill, seed)
    assert scene.ground in world.grounds and scene.style in world.styles and scene.light in world.lights
    for thing in scene.things:
        assert thing.kind in world.kinds and thing.colour in (None, *world.colours)
        assert any(math.isclose(max(thing.box.width, thing.box.height), size) for size in world.sizes)
        if skill not in ("stack", "three"):
            assert all(math.isclose(c * 16, round(c * 16), abs_tol=1e-6) for c in thing.box.centre)


@given(worlds, skills, seeds)
def test_colours_show_and_belong(world: str, skill: str, seed: int) -> None:
    scene = drawn(world, skill, seed)
    for thing in scene.things:
        assert thing.colour is None or CATALOGUE[thing.kind].recolour
        assert thing.colour is None or thing.colour != scene.ground
        assert thing.colour is not None or CATALOGUE[thing.kind].group not in ("solid", "shape")


@given(skills, seeds)
def test_neon_glows_in_the_dark(skill: str, seed: int) -> None:
    scene = drawn("full", skill, seed)
    assert scene.style != "neon" or scene.ground == "black" or scene.ground not in COLOURS


def test_skills_come_as_often_as_their_weights_say() -> None:
    world, n = WORLDS["small"], 3000
    seen = Counter(sample_scene(philox(0, i), world).skill for i in range(n))
    total = sum(weight for _, weight in world.skills)
    for skill, weight in world.skills:
        p = weight / total
        assert abs(seen[skill] / n - p) < 5 * math.sqrt(p * (1 - p) / n), skill


@pytest.mark.parametrize(
    ("skill", "gone", "message"),
    [
        ("word", {"sign"}, "the kind sign"),
        ("crowd", {"umbrella", "balloon"}, "an umbrella"),
        ("worn", {"sunglasses", "crown", "top hat"}, "can be worn"),
    ],
)
def test_a_world_that_cannot_show_a_skill_says_what_it_lacks(
    skill: str, gone: set[str], message: str
) -> None:
    kinds = tuple(kind for kind in WORLDS["small"].kinds if kind not in gone)
    with pytest.raises(InvalidRequest, match=message):
        replace(WORLDS["small"], kinds=kinds, skills=((skill, 1.0),))


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(UnknownName, match="aple"):
        replace(WORLDS["small"], kinds=("aple",))
