"""Furniture, signs and a paper hat, drawn in code; a sign carries a word."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from ...errors import InvalidRequest
from . import assets

SUPERSAMPLE = 3
LONGEST_WORD = 6
RGB = tuple[int, int, int]
Pen = Callable[[list[tuple[float, float]], float], None]  # corners in 0 to 1, brightness


def _tint(rgb: RGB, brightness: float) -> RGB:
    r, g, b = (round(min(255, max(c, 24) * brightness)) for c in rgb)
    return r, g, b


def _table(pen: Pen) -> None:
    for left in (0.14, 0.79):
        pen([(left, 0.1), (left + 0.06, 0.1), (left + 0.05, 0.84), (left + 0.01, 0.84)], 0.5)
    for left in (0.04, 0.88):
        pen([(left, 0.2), (left + 0.08, 0.2), (left + 0.07, 1.0), (left + 0.01, 1.0)], 0.78)
    pen([(0.1, 0.0), (0.9, 0.0), (1.0, 0.15), (0.0, 0.15)], 1.12)
    pen([(0.0, 0.15), (1.0, 0.15), (1.0, 0.25), (0.0, 0.25)], 0.88)
    pen([(0.05, 0.25), (0.95, 0.25), (0.95, 0.31), (0.05, 0.31)], 0.62)


def _shelf(pen: Pen) -> None:
    for left in (0.14, 0.8):
        pen([(left, 0.5), (left + 0.06, 0.5), (left + 0.06, 0.75), (left + 0.02, 1.0), (left, 1.0)], 0.6)
    pen([(0.05, 0.0), (0.95, 0.0), (1.0, 0.34), (0.0, 0.34)], 1.12)
    pen([(0.0, 0.34), (1.0, 0.34), (1.0, 0.62), (0.0, 0.62)], 0.86)


def _party_hat(pen: Pen) -> None:
    pen([(0.5, 0.08), (1.0, 1.0), (0.0, 1.0)], 1.0)
    for low, high in ((0.3, 0.46), (0.62, 0.8)):
        pen(
            [(0.5 - low / 2, low), (0.5 + low / 2, low), (0.5 + high / 2, high), (0.5 - high / 2, high)], 1.45
        )
    pen([(0.5 + 0.13 * np.cos(a), 0.11 + 0.1 * np.sin(a)) for a in np.linspace(0, 6.28, 24)], 1.6)


BOARD = 0.74  # of a sign's height; the rest is its post
LETTERED = 4  # letters fill a board; fewer are as large


def _sign(pen: Pen) -> None:
    pen([(0.46, BOARD - 0.02), (0.54, BOARD - 0.02), (0.54, 1.0), (0.46, 1.0)], -0.55)
    pen([(0.0, 0.0), (1.0, 0.0), (1.0, BOARD), (0.0, BOARD)], -0.3)
    pen([(0.025, 0.035), (0.975, 0.035), (0.975, BOARD - 0.035), (0.025, BOARD - 0.035)], 1.0)


POST_RGB = (120, 85, 55)
DARK_INK, LIGHT_INK = (30, 30, 34), (250, 250, 250)
PROPS: dict[str, Callable[[Pen], None]] = {
    "table": _table,
    "shelf": _shelf,
    "party hat": _party_hat,
    "sign": _sign,
}


def prop(kind: str, rgb: RGB, width: int, height: int) -> np.ndarray:
    """A prop filling (height, width), uint8 (H, W, 4)."""
    w, h = width * SUPERSAMPLE, height * SUPERSAMPLE
    image = Image.new("RGBA", (w, h))
    draw = ImageDraw.Draw(image)

    def pen(corners: list[tuple[float, float]], brightness: float) -> None:
        # a negative brightness is of the post's wood, whatever the colour
        fill = _tint(rgb, brightness) if brightness > 0 else _tint(POST_RGB, -brightness * 1.8)
        draw.polygon([(x * (w - 1), y * (h - 1)) for x, y in corners], fill=fill)

    PROPS[kind](pen)
    return np.asarray(image.resize((width, height), Image.Resampling.BOX))


def _luma(rgb: RGB) -> float:
    return 0.3 * rgb[0] + 0.59 * rgb[1] + 0.11 * rgb[2]


def check_word(word: str) -> None:
    """InvalidRequest unless a sign can carry the word: 1 to 6 letters from A to Z."""
    if not (1 <= len(word) <= LONGEST_WORD and word.isascii() and word.isalpha() and word.isupper()):
        raise InvalidRequest(
            f"a sign cannot say {word!r}; give it 1 to {LONGEST_WORD} capital letters from A to Z"
        )


def word_mask(word: str) -> Image.Image:
    """The coverage of a word in the sign's lettering: mode L, one letter's height tall.

    Letters are of one width, so where one stands depends on its place and the word's length alone.
    """
    check_word(word)
    glyphs = [assets.letter(character) for character in word]
    height, width = glyphs[0].shape
    mask = Image.new("L", (_letter_start(len(word) - 1, width, height) + width, height))
    for place, glyph in enumerate(glyphs):
        mask.paste(Image.fromarray(glyph), (_letter_start(place, width, height), 0))
    return mask


def _letter_start(place: int, width: int, height: int) -> int:
    """Where the letter at a place of its word begins, in pixels of letters of that width and height."""
    return place * (width + round(height * 0.04))


def _scale(width: float, height: float, word: str) -> float:
    """How much larger than its mask a word stands on a sign of that width and height.

    Words of up to LETTERED letters have letters of one size, so that each is learnt once.
    """
    mask = word_mask(word.ljust(LETTERED, "A"))
    return min(width * 0.92 / mask.width, height * BOARD * 0.7 / mask.height)


@lru_cache
def letter_boxes(word: str, aspect: float) -> list[tuple[float, float, float, float]]:
    """Left, top, right and bottom of each letter in fractions of a sign of that aspect, to a pixel or two."""
    mask, (height, width) = word_mask(word), assets.letter(word[0]).shape
    scale = _scale(1.0, 1 / aspect, word)
    high, start = height * scale * aspect, 0.5 - mask.width * scale / 2
    lefts = [start + _letter_start(place, width, height) * scale for place in range(len(word))]
    return [(left, (BOARD - high) / 2, left + width * scale, (BOARD + high) / 2) for left in lefts]


def lettered(board: Image.Image, word: str, rgb: RGB) -> Image.Image:
    """A copy of a sign whose board is of colour ``rgb``, with a word on it."""
    mask, copy = word_mask(word), board.copy()
    scale = _scale(board.width, board.height, word)
    mask = mask.resize((round(mask.width * scale), round(mask.height * scale)), Image.Resampling.HAMMING)
    corner = (board.width - mask.width) // 2, round((board.height * BOARD - mask.height) / 2)
    ink = DARK_INK if _luma(rgb) > 135 else LIGHT_INK
    copy.paste((*ink, 255), (*corner, corner[0] + mask.width, corner[1] + mask.height), mask)
    return copy
