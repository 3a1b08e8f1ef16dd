"""Drawings ready to be pasted: found in the pack or drawn in code, recoloured, scaled, and set off from the ground."""

from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from ...errors import InvalidRequest, UnknownName
from . import assets
from .bodies import BODIES
from .catalogue import COLOURS
from .catalogue import kind as catalogue_kind
from .props import prop
from .proportions import own_aspect
from .recolour import Body, recolour
from .shapes import shape
from .solids import solid

DRAWN_HEIGHT = 192  # of what is drawn in code, before it is scaled
OWN_COLOUR = {"table": "brown", "shelf": "brown", "sign": "white", "party hat": "purple"}
Halo = Literal["dark", "light"]


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


@lru_cache(maxsize=1600)
def master(drawing: Drawing) -> Image.Image:
    """A drawing at its largest, RGBA, cropped to what shows."""
    kind, colour, word, look = drawing
    check_colour(kind, colour)
    entry = catalogue_kind(kind)
    if word is not None and kind != "sign":
        raise InvalidRequest(f"a {kind} carries no word; only a sign does")
    if entry.source == "emoji":
        pixels = assets.sprite(kind, look % len(entry.looks))
        return Image.fromarray(recolour(pixels, colour, BODIES.get(kind, (Body(),))) if colour else pixels)
    rgb = COLOURS[colour or OWN_COLOUR.get(kind, "grey")]
    size = round(DRAWN_HEIGHT * own_aspect(kind)), DRAWN_HEIGHT
    if entry.source == "prop":
        return Image.fromarray(prop(kind, rgb, *size, word=word))
    return Image.fromarray((solid if entry.source == "solid" else shape)(kind, rgb, *size))


@lru_cache(maxsize=4096)
def scaled(drawing: Drawing, width: int, height: int) -> Image.Image:
    """A drawing at exactly (width, height) pixels; Pillow weights by alpha, so that edges stay clean."""
    return master(drawing).resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3)


def margin(side: int) -> int:
    """How many pixels a halo reaches beyond a drawing in a picture of this side."""
    return max(1, round(side / 42))


@lru_cache(maxsize=4096)
def haloed(drawing: Drawing, width: int, height: int, halo: Halo, reach: int) -> Image.Image:
    """A scaled drawing with a soft rim, ``reach`` pixels wider on each side, that sets it off from what is behind."""
    small = scaled(drawing, width, height)
    padded = Image.new("RGBA", (width + 2 * reach, height + 2 * reach))
    padded.paste(small, (reach, reach))
    rim = Image.new("L", padded.size)
    rim.paste(small.getchannel("A"), (reach, reach))
    rim = rim.filter(ImageFilter.BoxBlur(reach * 0.5)).point(_RIM)
    backdrop = Image.new("RGBA", padded.size, (18, 18, 28) if halo == "dark" else (235, 238, 255))
    backdrop.putalpha(rim)
    return Image.alpha_composite(backdrop, padded)


_RIM = [round(min(1.0, v / 255 * 1.5) * 118) for v in range(256)]
