"""A line: the unit of which a caption's text is put together."""

from typing import NamedTuple

from .nouns import Phrase


class Line(NamedTuple):
    """A sentence, or if ``bare`` a noun phrase that can follow "a picture of"; no capital, no full stop.

    ``plural`` is its number after "there is"; ``comma`` asks for one before what follows.
    """

    text: str
    bare: bool = False
    plural: bool = False
    comma: bool = False


def bare(phrase: Phrase) -> Line:
    return Line(phrase.text, True, phrase.plural, phrase.comma)
