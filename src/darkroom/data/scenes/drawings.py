"""What a thing is made of: its own drawing, what it wears and what it holds, laid out in proportion."""

from dataclasses import dataclass, replace
from functools import lru_cache

from ...errors import InvalidRequest
from .catalogue import kind as catalogue_kind
from .faces import BESIDE_HEAD, FACES, HANDS, Face
from .graph import Box
from .proportions import footing, own_aspect
from .props import check_word
from .sprites import check_colour

__all__ = ["Piece", "aspect", "compose", "footing"]

Held = tuple[str, str | None] | None

# relative to the head: a hat's width, and how much of its height sinks below the brow
HATS: dict[str, tuple[float, float]] = {
    "top hat": (1.0, 0.16),
    "crown": (0.95, 0.12),
    "cap": (1.25, 0.25),
    "hat": (1.45, 0.27),
    "party hat": (0.62, 0.1),
}
EYEWEAR = ("sunglasses", "glasses")
ALOFT = ("umbrella", "balloon", "flag")  # held by their lower end


@dataclass(frozen=True)
class Piece:
    """One drawing within a thing: ``box`` in fractions of the thing, ``itself`` unless it is worn or held."""

    kind: str
    colour: str | None
    box: Box
    itself: bool = False


@lru_cache(maxsize=8192)
def compose(
    kind: str, colour: str | None, worn: tuple[str, ...], held: Held
) -> tuple[float, tuple[Piece, ...]]:
    """Width / height of a thing and its pieces from back to front; InvalidRequest if it cannot be drawn."""
    check_colour(kind, colour)
    width = own_aspect(kind)
    pieces = [Piece(kind, colour, Box(0, 0, width, 1), True)]  # in units of the body's height
    pieces += [Piece(name, None, _worn_box(kind, name, width)) for name in worn]
    if held is not None:
        check_colour(*held)
        piece = Piece(*held, _held_box(kind, held[0], width))
        pieces = [piece, *pieces] if kind not in HANDS and held[0] in ALOFT else [*pieces, piece]
    return _normalised(pieces)


def aspect(kind: str, worn: tuple[str, ...] = (), held: Held = None, word: str | None = None) -> float:
    """Width / height of a thing with all it wears and holds; InvalidRequest if it cannot be drawn."""
    if word is not None:
        check_word(word)
    return compose(kind, None, tuple(worn), held)[0]


def _normalised(pieces: list[Piece]) -> tuple[float, tuple[Piece, ...]]:
    left, top = min(p.box.left for p in pieces), min(p.box.top for p in pieces)
    width = max(p.box.right for p in pieces) - left
    height = max(p.box.bottom for p in pieces) - top

    def within(box: Box) -> Box:
        return Box(
            (box.left - left) / width,
            (box.top - top) / height,
            (box.right - left) / width,
            (box.bottom - top) / height,
        )

    return width / height, tuple(replace(p, box=within(p.box)) for p in pieces)


def _face(kind: str, worn: str) -> Face:
    if not catalogue_kind(worn).wearable:
        raise InvalidRequest(f"a {worn} cannot be worn; wear one of {', '.join([*EYEWEAR, *HATS])}")
    if kind not in FACES:
        raise InvalidRequest(
            f"a {kind} has no face to wear {worn} on; choose a kind whose catalogue entry wears"
        )
    return FACES[kind]


def _worn_box(kind: str, worn: str, width: float) -> Box:
    face = _face(kind, worn)
    if worn in EYEWEAR:
        (x, y), wide = face.eyes, face.glasses * width
        high = wide / own_aspect(worn)
        return Box(x * width - wide / 2, y - high / 2, x * width + wide / 2, y + high / 2)
    (x, y), (factor, sink) = face.brow, HATS[worn]
    wide = face.hat * factor * width
    high = wide / own_aspect(worn)
    return Box(x * width - wide / 2, y + sink * high - high, x * width + wide / 2, y + sink * high)


def _held_box(kind: str, held: str, width: float) -> Box:
    if not catalogue_kind(kind).holds:
        raise InvalidRequest(f"a {kind} cannot hold a {held}; choose a kind whose catalogue entry holds")
    if kind not in HANDS and held in ALOFT:
        return _over_head(held, width)
    (x, y), high = HANDS.get(kind, BESIDE_HEAD), 0.95 if held in ALOFT else 0.34
    wide, foot = high * own_aspect(held), y if held in ALOFT else y + high / 2
    return Box(x * width - wide / 2, foot - high, x * width + wide / 2, foot)


def _over_head(held: str, width: float) -> Box:
    # behind a head that has no hands: the handle is hidden and what is held shows above
    wide, foot = (1.2 * width, 0.44) if held == "umbrella" else (0.66 * width, 0.3)
    high = wide / own_aspect(held)
    return Box(width / 2 - wide / 2, foot - high, width / 2 + wide / 2, foot)
