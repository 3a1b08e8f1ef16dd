"""What can stand in a scene: every kind of thing, its names, and what may be done to it."""

from dataclasses import dataclass
from typing import Literal

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 40, 40),
    "orange": (245, 140, 30),
    "yellow": (250, 210, 40),
    "green": (60, 165, 70),
    "blue": (45, 100, 215),
    "purple": (135, 65, 180),
    "pink": (245, 130, 180),
    "brown": (130, 80, 45),
    "black": (35, 35, 38),
    "white": (245, 245, 245),
    "grey": (140, 143, 148),
}

Source = Literal["emoji", "solid", "shape", "prop"]


@dataclass(frozen=True)
class Kind:
    """One entry of the catalogue.

    ``name`` is the everyday English singular and the key; ``emoji`` the character sequence it is drawn from
    (None for what is drawn in code); ``group`` one of animal, food, plant, vehicle, person, clothing, building, object, sky,
    solid, shape, prop; ``recolour`` whether it comes in COLOURS; ``wears`` whether it has a face that can wear
    glasses, hats and crowns; ``supports`` whether other things can stand on top of it; ``wearable`` whether it can be worn.
    """

    name: str
    plural: str
    source: Source
    group: str
    emoji: str | None = None
    synonyms: tuple[str, ...] = ()
    recolour: bool = False
    wears: bool = False
    supports: bool = False
    wearable: bool = False


CATALOGUE: dict[str, Kind] = {}
