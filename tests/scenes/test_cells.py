"""What a cell is said to show stands there in the picture."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from darkroom.data.scenes.cells import ASPECTS, COVERED, LETTERS, cell_classes, cell_map, coverage
from darkroom.data.scenes.dataset import SceneDataset
from darkroom.data.scenes.drawings import aspect
from darkroom.data.scenes.graph import Box, Scene, Thing
from darkroom.data.scenes.props import letter_boxes
from darkroom.data.scenes.render import annotate, parts, render
from darkroom.data.scenes.world import small_world

WORLD = small_world()
SCENES = SceneDataset(WORLD)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6))
@example(484_359)  # a banana before a book: its box covers a cell that its thin drawing hardly does
def test_a_cell_that_a_thing_fills_names_it_or_what_has_its_box_before_it(number):
    scene = SCENES.scene(number)
    cells = cell_map(scene, WORLD, 8)
    shown = annotate(scene, 128).segmentation.reshape(8, 16, 8, 16).swapaxes(1, 2).reshape(8, 8, -1)
    drawn = [{p.kind for p in parts(scene) if p.owner == i} for i in range(len(scene.things))]
    for i, kinds in enumerate(drawn):
        for row, column in np.argwhere((shown == i + 1).mean(-1) > 0.75):
            before = {
                part.kind
                for part in parts(scene)
                if scene.things[part.owner].depth <= scene.things[i].depth
                and coverage(part.box, 8)[row, column] > COVERED
            }
            assert WORLD.kinds[cells[0, row, column] - 1] in kinds | before
            assert cells[2, row, column] > 0


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6))
def test_values_fit_their_classes_and_empty_cells_say_nothing(number):
    cells = cell_map(SCENES.scene(number), WORLD, 8)
    assert (cells.reshape(len(ASPECTS), -1).max(1) < cell_classes(WORLD)).all()
    assert not cells[:, cells[2] == 0].any()


def test_the_nearer_thing_wins_and_has_its_colour():
    whole = Box(0, 0, 1, 1)
    scene = Scene((Thing("cube", whole, "red", depth=0.2), Thing("cube", whole, "blue", depth=0.8)))
    assert set(cell_map(scene, WORLD, 4)[1].flat) == {1 + WORLD.colours.index("red")}


def test_parts_of_a_thing_are_numbered_row_by_row():
    scene = Scene((Thing("square", Box(0, 0, 1, 1), "red"),))
    assert (cell_map(scene, WORLD, 4)[2] == 1 + np.arange(16).reshape(4, 4)).all()


@given(st.floats(0, 0.9), st.floats(0, 0.9), st.floats(0.05, 1), st.floats(0.05, 1), st.integers(1, 12))
def test_coverage_adds_up_to_what_of_the_box_is_inside(left, top, width, height, count):
    box = Box(left, top, left + width, top + height)
    inside = (min(box.right, 1) - left) * (min(box.bottom, 1) - top)
    assert coverage(box, count).sum() / count**2 == pytest.approx(inside, abs=1e-9)


def sign(word: str | None, side: float = 0.5) -> Scene:
    box = Box(0.25, 0.25, 0.25 + side, 0.25 + side / aspect("sign"))
    return Scene((Thing("sign", box, "white", word=word),))


@pytest.mark.parametrize("word", ["OPEN", "FISH", "CAT", "GO", "QUARTZ", "ILL"])
def test_letters_stand_in_their_boxes(word):
    box = sign(word).things[0].box
    ink = np.abs(render(sign(word), 512).astype(int) - render(sign(None), 512)).max(-1) > 100
    seen = np.zeros_like(ink)
    for a, b, c, d in letter_boxes(word, box.width / box.height):
        left, right = (round((box.left + x * box.width) * 512) for x in (a, c))
        top, bottom = (round((box.top + y * box.height) * 512) for y in (b, d))
        assert ink[top:bottom, left:right].mean() > 0.1
        seen[top - 6 : bottom + 6, left - 6 : right + 6] = True
    assert not (ink & ~seen).any()


@pytest.mark.parametrize("word", ["OPEN", "FISH", "BOOK"])
def test_a_sign_reads_from_left_to_right(word):
    letters = cell_map(sign(word), WORLD, 8)[3]
    rows = ["".join(chr(ord("A") + n - 1) for n in row if n) for row in letters if row.any()]
    assert rows and all(row == word for row in rows)
    assert letters.max() <= LETTERS
