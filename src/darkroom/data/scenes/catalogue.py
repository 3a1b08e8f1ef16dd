"""What can stand in a scene: every kind of thing, its names, and what may be done to it."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, cast

from .kinds import TABLES

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
    glasses, hats and crowns; ``supports`` whether other things can stand on top of it; ``wearable`` whether it
    can be worn; ``pair`` whether the name is plural in form, so that one of it is "a pair of gloves".
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
    pair: bool = False


def _read(group: str, line: str) -> Kind:
    head, plural, synonyms, marks = [field.strip() for field in (line + "|" * 3).split("|")[:4]]
    emoji, name = head.split(" ", 1)
    source = cast(Source, group if group in ("solid", "shape", "prop") else "emoji")
    return Kind(
        name,
        plural or name + "s",
        source,
        group,
        emoji if source == "emoji" else None,
        tuple(s.strip() for s in synonyms.split(",") if s.strip()),
        **dict.fromkeys(marks.split(), True),
    )


def _kinds() -> Iterator[Kind]:
    for group, table in TABLES.items():
        for line in table.strip().splitlines():
            yield _read(group, line)


CATALOGUE: dict[str, Kind] = {kind.name: kind for kind in _kinds()}


def kind(name: str) -> Kind:
    """The catalogue's entry of that name; a ValueError that offers the nearest names if there is none."""
    if name not in CATALOGUE:
        near = ", ".join(get_close_matches(name, CATALOGUE, 3)) or "see darkroom.data.scenes.catalogue"
        raise ValueError(f"no kind of thing is called {name!r}; nearest: {near}")
    return CATALOGUE[name]
