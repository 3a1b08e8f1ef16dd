"""A prompt of any length as chunks of 77 tokens: start, 75 of its own, end.

Chunks break where AUTOMATIC1111's web UI breaks them: at BREAK, and in a prompt that is too long at a comma
among the last 20 tokens, where there is one. A learned word (textual inversion) takes a place per vector.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from darkroom.errors import InvalidRequest
from darkroom.text.emphasis import BREAK, Fragment
from darkroom.text.vocabulary import Vocabulary

LENGTH = 75
BACKTRACK = 20
"""How many tokens may move to the next chunk for the sake of a comma."""


@dataclass(frozen=True)
class Chunk:
    """What a text encoder reads at once.

    ``tokens`` and ``weights`` have LENGTH + 2 entries; the weights of frame and padding are 1. ``end`` is the
    place of the end token; ``vectors`` says which learned word, and which of its vectors, is at a place.
    """

    tokens: tuple[int, ...]
    weights: tuple[float, ...]
    end: int
    vectors: Mapping[int, tuple[str, int]] = field(default_factory=dict)


class Place(NamedTuple):
    """One token, or one vector of a learned word."""

    token: int
    weight: float
    vector: tuple[str, int] | None = None


def chunked(
    fragments: Sequence[Fragment], vocabulary: Vocabulary, learned: Mapping[str, int] | None = None
) -> list[Chunk]:
    """The chunks of a prompt, at least one. ``learned`` says how many vectors each learned word has.

    Raises InvalidRequest when a learned word has more vectors than a chunk has places.
    """
    names = _learned(learned or {}, vocabulary)
    filled: list[list[Place]] = [[]]
    for fragment in fragments:
        if fragment == BREAK:
            filled.append([])
            continue
        for group in _groups(vocabulary.ids(fragment.text), fragment.weight, names):
            _lay(filled, group, vocabulary.comma)
    if len(filled) > 1 and not filled[-1]:
        filled.pop()
    return [_framed(places, vocabulary) for places in filled]


class _Name(NamedTuple):
    ids: list[int]
    name: str
    vectors: int


def _learned(learned: Mapping[str, int], vocabulary: Vocabulary) -> list[_Name]:
    """The words to look for, the longest first; ComfyUI's users write "embedding:" before them."""
    for name, vectors in learned.items():
        if not 0 < vectors <= LENGTH:
            raise InvalidRequest(
                f"the embedding '{name}' has {vectors} vectors; expected 1 to {LENGTH}: leave it out."
            )
    written = [(f"{prefix}{name}", name) for name in learned for prefix in ("", "embedding:")]
    names = [_Name(vocabulary.ids(text), name, learned[name]) for text, name in written]
    return sorted((one for one in names if one.ids), key=lambda one: -len(one.ids))


def _groups(ids: list[int], weight: float, names: Sequence[_Name]) -> Iterator[list[Place]]:
    """What may not be parted: each token by itself, and the vectors of a learned word."""
    place = 0
    while place < len(ids):
        found = next((one for one in names if ids[place : place + len(one.ids)] == one.ids), None)
        if found:
            yield [Place(0, weight, (found.name, row)) for row in range(found.vectors)]
            place += len(found.ids)
        else:
            yield [Place(ids[place], weight)]
            place += 1


def _lay(filled: list[list[Place]], group: list[Place], comma: int | None) -> None:
    """Put a group behind the last one; what follows a comma near the end of a full chunk moves along."""
    last = filled[-1]
    if len(last) == LENGTH and group[0].token != comma:
        near = (place for place in reversed(range(LENGTH - BACKTRACK, LENGTH)) if last[place].token == comma)
        if (place := next(near, None)) is not None:
            filled.append(last[place + 1 :])
            del last[place + 1 :]
    if len(filled[-1]) + len(group) > LENGTH:
        filled.append([])
    filled[-1].extend(group)


def _framed(places: Sequence[Place], vocabulary: Vocabulary) -> Chunk:
    padding = LENGTH - len(places)
    return Chunk(
        (vocabulary.start, *(place.token for place in places), vocabulary.end, *[vocabulary.pad] * padding),
        (1.0, *(place.weight for place in places), *[1.0] * (padding + 1)),
        1 + len(places),
        {1 + i: place.vector for i, place in enumerate(places) if place.vector},
    )
