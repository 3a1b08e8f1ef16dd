"""Drawings ready to be pasted: found in the pack or drawn in code, recoloured, scaled, and set off from the ground."""

from functools import lru_cache
from typing import Literal

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


@lru_cache(maxsize=1600)
def master(kind: str, colour: str | None = None, word: str | None = None) -> Image.Image:
    """A kind's drawing at its largest, RGBA, cropped to what shows."""
    check_colour(kind, colour)
    entry = catalogue_kind(kind)
    if word is not None and kind != "sign":
        raise InvalidRequest(f"a {kind} carries no word; only a sign does")
    if entry.source == "emoji":
        pixels = assets.sprite(kind)
        return Image.fromarray(
            recolour(pixels, colour, BODIES.get(kind, Body())) if colour else pixels, "RGBA"
        )
    rgb = COLOURS[colour or OWN_COLOUR.get(kind, "grey")]
    size = round(DRAWN_HEIGHT * own_aspect(kind)), DRAWN_HEIGHT
    if entry.source == "prop":
        return Image.fromarray(prop(kind, rgb, *size, word=word), "RGBA")
    return Image.fromarray((solid if entry.source == "solid" else shape)(kind, rgb, *size), "RGBA")


@lru_cache(maxsize=4096)
def scaled(kind: str, colour: str | None, word: str | None, width: int, height: int) -> Image.Image:
    """A drawing at exactly (width, height) pixels; Pillow weights by alpha, so that edges stay clean."""
    return master(kind, colour, word).resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3)


def margin(side: int) -> int:
    """How many pixels a halo reaches beyond a drawing in a picture of this side."""
    return max(1, round(side / 42))


@lru_cache(maxsize=4096)
def haloed(
    kind: str, colour: str | None, word: str | None, width: int, height: int, halo: Halo, reach: int
) -> Image.Image:
    """A scaled drawing with a soft rim, ``reach`` pixels wider on each side, that sets it off from what is behind."""
    drawing = scaled(kind, colour, word, width, height)
    padded = Image.new("RGBA", (width + 2 * reach, height + 2 * reach))
    padded.paste(drawing, (reach, reach))
    rim = Image.new("L", padded.size)
    rim.paste(drawing.getchannel("A"), (reach, reach))
    rim = rim.filter(ImageFilter.BoxBlur(reach * 0.5)).point(_RIM)
    backdrop = Image.new("RGBA", padded.size, (18, 18, 28) if halo == "dark" else (235, 238, 255))
    backdrop.putalpha(rim)
    return Image.alpha_composite(backdrop, padded)


_RIM = [round(min(1.0, v / 255 * 1.5) * 118) for v in range(256)]
