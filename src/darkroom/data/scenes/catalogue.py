"""What can stand in a scene: every kind of thing, its names, and what may be done to it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast

from ...errors import UnknownName
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
    (None for what is drawn in code) and ``looks`` all the sequences it may be drawn from, of one silhouette;
    ``group`` one of animal, food, plant, vehicle, person, clothing, building, object, sky, solid, shape,
    prop; ``recolour`` whether it comes in COLOURS; ``wears`` whether it has a face that can wear glasses,
    hats and crowns; ``supports`` whether other things can stand on it; ``wearable`` whether it can be worn;
    ``holds`` whether it can hold things (those without hands, above their heads or beside them); ``pair``
    whether the name is plural in form, so that one of it is "a pair of gloves".
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
    holds: bool = False
    pair: bool = False
    looks: tuple[str, ...] = ()


TONES = (
    "",
    "\N{EMOJI MODIFIER FITZPATRICK TYPE-1-2}",
    "\N{EMOJI MODIFIER FITZPATRICK TYPE-4}",
    "\N{EMOJI MODIFIER FITZPATRICK TYPE-6}",
)
GENDERS = ("", "\N{ZERO WIDTH JOINER}\N{FEMALE SIGN}", "\N{ZERO WIDTH JOINER}\N{MALE SIGN}")


def _looks(emoji: str, marks: set[str]) -> tuple[str, ...]:
    tones = TONES if "tones" in marks else TONES[:1]
    genders = GENDERS if "genders" in marks else GENDERS[:1]
    return tuple(emoji + tone + gender for gender in genders for tone in tones)


def _read(group: str, line: str) -> Kind:
    head, plural, synonyms, marks = [field.strip() for field in (line + "|" * 3).split("|")[:4]]
    emoji, name = head.split(" ", 1)
    source = cast(Source, group if group in ("solid", "shape", "prop") else "emoji")
    marked = set(marks.split())
    return Kind(
        name,
        plural or name + "s",
        source,
        group,
        emoji if source == "emoji" else None,
        tuple(s.strip() for s in synonyms.split(",") if s.strip()),
        looks=_looks(emoji, marked) if source == "emoji" else (),
        **dict.fromkeys(marked - {"tones", "genders"}, True),
    )


def _kinds() -> Iterator[Kind]:
    for group, table in TABLES.items():
        for line in table.strip().splitlines():
            yield _read(group, line)


CATALOGUE: dict[str, Kind] = {kind.name: kind for kind in _kinds()}


def kind(name: str) -> Kind:
    """The catalogue's entry of that name; UnknownName, with the nearest, if there is none."""
    if name not in CATALOGUE:
        raise UnknownName("kind of thing", name, CATALOGUE)
    return CATALOGUE[name]
