"""The rules on boxes: what stands where, who wears and holds, and which figure things form."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.data.scenes.graph import Box
from darkroom.evaluation.geometry import (
    ARRANGEMENTS,
    RELATIONS,
    circle,
    held_by,
    iou,
    on_top_of,
    pyramid,
    shared,
    worn_by,
)


def square(x: float, y: float, side: float = 0.2) -> Box:
    return Box(x - side / 2, y - side / 2, x + side / 2, y + side / 2)


share = st.floats(0.1, 0.9)
boxes = st.builds(square, share, share, st.floats(0.05, 0.4))
OPPOSITES = [("left of", "right of"), ("above", "below"), ("in front of", "behind")]


@given(boxes, boxes, st.sampled_from(OPPOSITES))
def test_a_relation_and_its_opposite_read_the_same_from_either_side_and_never_both_hold(a, b, names):
    one, other = (RELATIONS[name] for name in names)
    assert one(a, b) == other(b, a)
    assert not (one(a, b) and other(a, b))


@given(boxes, boxes)
def test_shared_area_over_both_is_symmetric_and_one_only_for_the_same_box(a, b):
    assert iou(a, b) == pytest.approx(iou(b, a))
    assert 0 <= iou(a, b) <= 1 + 1e-9
    assert iou(a, a) == pytest.approx(1)
    assert (iou(a, b) > 0) == (shared(a, b) > 0)


def test_boxes_nearly_level_are_in_no_sideways_relation():
    a, b = square(0.5, 0.2), square(0.52, 0.8)
    assert not RELATIONS["left of"](a, b) and not RELATIONS["right of"](a, b)
    assert RELATIONS["above"](a, b)


def test_on_top_means_standing_on_not_hovering_over_nor_beside():
    base = square(0.5, 0.7, 0.4)  # its upper edge is at 0.5
    assert on_top_of(square(0.5, 0.41), base)
    assert on_top_of(square(0.5, 0.44), base), "things sink a little into what bears them"
    assert not on_top_of(square(0.5, 0.25), base), "it hovers"
    assert not on_top_of(square(0.85, 0.41), base), "it stands beside"
    assert not on_top_of(square(0.5, 0.65), base), "it hangs in front"
    assert not on_top_of(base, square(0.5, 0.41)), "the base is not on what it bears"


def test_in_front_needs_overlap_and_the_nearer_foot():
    far, near = square(0.4, 0.4, 0.4), square(0.55, 0.55, 0.3)
    assert RELATIONS["in front of"](near, far) and RELATIONS["behind"](far, near)
    assert not RELATIONS["in front of"](square(0.85, 0.7), far), "apart, nothing hides anything"


def test_glasses_sit_on_a_face_and_hats_on_its_top():
    head = square(0.5, 0.6, 0.4)
    assert worn_by(Box(0.36, 0.53, 0.64, 0.62), head), "glasses"
    assert worn_by(Box(0.35, 0.25, 0.65, 0.45), head), "a hat"
    assert not worn_by(Box(0.36, 0.78, 0.64, 0.88), head), "around the neck"
    assert not worn_by(Box(0.72, 0.53, 0.95, 0.62), head), "beside the head"
    assert not worn_by(Box(0.48, 0.58, 0.52, 0.6), head), "a doll's"


def test_what_is_held_touches_or_nearly_does():
    person = Box(0.4, 0.4, 0.6, 0.9)
    assert held_by(Box(0.35, 0.1, 0.7, 0.5), person)
    assert held_by(Box(0.62, 0.6, 0.7, 0.7), person)
    assert not held_by(Box(0.75, 0.6, 0.9, 0.7), person)


def figure(name: str, n: int) -> list[Box]:
    if name == "row":
        return [square(0.15 + 0.2 * i, 0.5, 0.15) for i in range(n)]
    if name == "column":
        return [square(0.5, 0.15 + 0.2 * i, 0.15) for i in range(n)]
    if name == "circle":
        turns = [2 * math.pi * i / n for i in range(n)]
        return [square(0.5 + 0.3 * math.sin(a), 0.5 - 0.3 * math.cos(a), 0.15) for a in turns]
    rows = [(r, i) for r in range(3) for i in range(r + 1)][:n]
    return [square(0.5 + 0.2 * (i - r / 2), 0.3 + 0.2 * r, 0.15) for r, i in rows]


SIZES = {"row": 4, "column": 4, "circle": 6, "pyramid": 6}


@pytest.mark.parametrize("name", ARRANGEMENTS)
@pytest.mark.parametrize("shown", SIZES)
def test_each_figure_is_found_and_no_other(name, shown):
    assert ARRANGEMENTS[name](figure(shown, SIZES[shown])) == (name == shown)


@pytest.mark.parametrize("name", ARRANGEMENTS)
def test_a_figure_with_one_thing_out_of_place_is_none(name):
    boxes = figure(name, SIZES[name])
    boxes[-1] = square(0.93, 0.07, 0.12)
    assert not ARRANGEMENTS[name](boxes)


def test_a_pyramid_stands_on_its_base():
    upright = figure("pyramid", 3)
    assert pyramid(upright)
    assert not pyramid([Box(b.left, 1 - b.bottom, b.right, 1 - b.top) for b in upright])
    assert not pyramid(upright[1:]), "two in a row are none"


def test_four_around_a_fifth_are_no_circle():
    assert circle(figure("circle", 5))
    assert not circle([*figure("circle", 4), square(0.5, 0.5, 0.15)])
