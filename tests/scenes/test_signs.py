"""Words on signs can be told apart at 128 pixels."""

import string

import numpy as np
import pytest

from darkroom.data.scenes.assets import letter
from darkroom.data.scenes.chance import philox
from darkroom.data.scenes.drawings import aspect
from darkroom.data.scenes.graph import Box, Scene, Thing
from darkroom.data.scenes.props import letter_boxes, word_mask
from darkroom.data.scenes.render import render
from darkroom.data.scenes.skills import draw
from darkroom.data.scenes.world import small_world

HALF = Box(0.25, 0.2, 0.75, 0.2 + 0.5 / aspect("sign"))


def shown(word: str, colour: str | None, style: str) -> np.ndarray:
    sign = Thing("sign", HALF, colour, word=word)
    return render(Scene((sign,), ground="grass", style=style)).astype(float)


LOOKALIKES = {"A": "HR", "E": "FB", "N": "MH", "O": "QDCG", "P": "RFB", "Q": "OG", "R": "PBK", "T": "IYF"}
LOOKALIKES |= {"U": "VJ", "Z": "S", "I": "LTJ"}


@pytest.mark.parametrize("style", ["flat", "watercolour", "pencil sketch", "neon"])
@pytest.mark.parametrize("colour", [None, "red", "black"])
@pytest.mark.parametrize("word", ["QUARTZ", "OPEN", "I"])
def test_no_letter_can_be_taken_for_another(word: str, colour: str | None, style: str) -> None:
    right = shown(word, colour, style)
    for i, written in enumerate(word):
        for other in LOOKALIKES[written]:
            wrong = shown(word[:i] + other + word[i + 1 :], colour, style)
            differs = np.abs(right - wrong).max(-1) > (60 if style == "flat" else 40)
            assert differs.sum() >= 4, (word, written, other)


def test_letters_are_whole_and_of_one_size() -> None:
    """Q alone hangs below the line, and no letter is cut off at a side."""
    assert {c for c in string.ascii_uppercase if letter(c)[-8:].any()} == {"Q"}
    assert len({letter(c).shape for c in string.ascii_uppercase}) == 1
    for character in string.ascii_uppercase:
        glyph = letter(character)
        assert glyph.max() == 255
        assert not glyph[:, [0, -1]].any()


def test_a_word_is_its_letters_side_by_side() -> None:
    wide, narrow = word_mask("MM"), word_mask("M")
    assert wide.height == narrow.height
    assert 2 * narrow.width < wide.width < 2.3 * narrow.width
    assert np.array_equal(np.asarray(wide)[:, : narrow.width], np.asarray(narrow))
    assert word_mask("ILL").size == word_mask("MOW").size


def test_letters_of_short_words_are_as_large_as_those_of_four() -> None:
    def sizes(word: str) -> list[float]:
        return [
            n for left, top, right, bottom in letter_boxes(word, 1.5) for n in (right - left, bottom - top)
        ]

    assert sizes("I") + sizes("GO") + sizes("CAT") == pytest.approx(3 * sizes("GO"))
    assert sizes("CAT")[:2] == pytest.approx(sizes("OPEN")[:2])
    assert sizes("QUARTZ")[0] < sizes("OPEN")[0]


def test_letters_stand_between_the_lines_of_the_grid() -> None:
    world = small_world()
    for i in range(60):
        scene = draw(philox(9, i), world, "word")
        (sign,) = (thing for thing in scene.things if thing.word)
        for left, _, right, _ in letter_boxes(sign.word, sign.box.width / sign.box.height):
            middle = sign.box.left + (left + right) / 2 * sign.box.width
            assert 0.3 < middle / world.snap % 1 < 0.7, (i, sign.word)
        for other in set(scene.things) - {sign}:
            assert (
                other.box.right < sign.box.left
                or other.box.left > sign.box.right
                or (other.box.bottom < sign.box.top or other.box.top > sign.box.bottom)
            )
