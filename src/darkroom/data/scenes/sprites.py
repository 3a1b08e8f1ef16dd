"""Drawings ready to be pasted: from the pack or from code, recoloured, scaled, set off from the ground."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from ...errors import InvalidRequest, UnknownName
from . import assets
from .bodies import BODIES
from .catalogue import COLOURS
from .catalogue import kind as catalogue_kind
from .proportions import own_aspect
from .props import lettered, prop
from .recolour import Body, Study, recolour, study
from .shapes import shape
from .solids import solid

DRAWN_HEIGHT = 144  # of what is drawn in code, before it is scaled
OWN_COLOUR = {"table": "brown", "shelf": "brown", "sign": "white", "party hat": "purple"}


def check_colour(kind: str, colour: str | None) -> None:
    """An error that helps if the kind or the colour is unknown or the kind does not come in the colour."""
    entry = catalogue_kind(kind)
    if colour is not None and colour not in COLOURS:
        raise UnknownName("colour", colour, COLOURS)
    if colour is not None and not entry.recolour:
        raise InvalidRequest(f"a {kind} comes in its own colours only; leave its colour out")


class Drawing(NamedTuple):
    """What to draw: a kind in a colour (None for its own), a sign's word, and which of its looks."""

    kind: str
    colour: str | None = None
    word: str | None = None
    look: int = 0


@lru_cache(maxsize=32)
def _study(kind: str, look: int) -> Study:
    return study(assets.sprite(kind, look), BODIES.get(kind, (Body(),)))


def master(drawing: Drawing) -> Image.Image:
    """A drawing at its largest, RGBa (multiplied by alpha), cropped to what shows."""
    if drawing.word is None:
        return _master(drawing.kind, drawing.colour, drawing.look)
    if drawing.kind != "sign":
        raise InvalidRequest(f"a {drawing.kind} carries no word; only a sign does")
    board = _master(drawing.kind, drawing.colour, drawing.look)
    return lettered(board, drawing.word, COLOURS[drawing.colour or OWN_COLOUR["sign"]])


@lru_cache(maxsize=2048)
def _master(kind: str, colour: str | None, look: int) -> Image.Image:
    return Image.fromarray(_pixels(kind, colour, look)).convert("RGBa")


def _pixels(kind: str, colour: str | None, look: int) -> np.ndarray:
    check_colour(kind, colour)
    source = catalogue_kind(kind).source
    if source == "emoji":
        return recolour(_study(kind, look), colour) if colour else assets.sprite(kind, look)
    draw = {"solid": solid, "shape": shape, "prop": prop}[source]
    return draw(
        kind,
        COLOURS[colour or OWN_COLOUR.get(kind, "grey")],
        round(DRAWN_HEIGHT * own_aspect(kind)),
        DRAWN_HEIGHT,
    )


def scaled(drawing: Drawing, width: int, height: int) -> Image.Image:
    """A drawing at (width, height) pixels, RGBA; scaled as RGBa, so that no edge darkens."""
    large = master(drawing)
    method = Image.Resampling.HAMMING if height < large.height else Image.Resampling.BICUBIC
    return large.resize((width, height), method).convert("RGBA")


def margin(side: int) -> int:
    """How many pixels a rim reaches beyond a drawing in a picture of this side."""
    return max(1, round(side / 42))


_RIM = [round(min(1.0, v / 255 * 1.5) * 118) for v in range(256)]


@lru_cache(maxsize=2048)
def rimmed(drawing: Drawing, width: int, height: int, reach: int) -> tuple[Image.Image, Image.Image]:
    """A scaled drawing and the coverage (mode L) of a soft rim, ``reach`` pixels wider on each side."""
    small = scaled(drawing, width, height)
    rim = Image.new("L", (width + 2 * reach, height + 2 * reach))
    rim.paste(small.getchannel("A"), (reach, reach))
    return small, rim.filter(ImageFilter.BoxBlur(reach * 0.5)).point(_RIM)
