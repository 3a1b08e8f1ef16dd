"""Noun phrases: what a group of like things is called, with its number, colours, clothes and words."""

from collections import Counter
from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple

from ..catalogue import CATALOGUE, Kind
from ..graph import Scene, Thing
from .inflect import capitalised, listed, number, plural_of, with_article
from .voice import Voice

# Synonyms that name a stuff or a pair, and so take neither an article nor a number.
UNCOUNTED = frozenset(
    [
        "grapes",
        "broccoli",
        "garlic",
        "bread",
        "pancakes",
        "cheese",
        "milk",
        "coffee",
        "beer",
        "popcorn",
        "wood",
        "candy",
        "trousers",
        "clothes",
        "eyeglasses",
        "spectacles",
    ]
)
VAGUE = ("several", "a few", "some", "a group of", "a number of", "multiple")


class Phrase(NamedTuple):
    """``comma``: what follows must be set off, as after "three apples, two red and one green"."""

    text: str
    plural: bool = False
    comma: bool = False

    def then(self, rest: str) -> "Phrase":
        return Phrase(f"{self.text}{',' if self.comma else ''} {rest}", self.plural)

    @property
    def verb(self) -> str:
        return "are" if self.plural else "is"


@dataclass(frozen=True)
class Group:
    """Things of one kind that stand in the same relations and wear, hold and say the same."""

    kind: Kind
    things: tuple[Thing, ...]
    members: tuple[int, ...]

    @cached_property
    def colours(self) -> list[tuple[str | None, int]]:
        return Counter(thing.colour for thing in self.things).most_common()

    @property
    def count(self) -> int:
        return len(self.things)


def grouped(scene: Scene) -> list[Group]:
    """The scene's things in groups, in order of first appearance."""
    found: dict[object, list[int]] = {}
    for i, thing in enumerate(scene.things):
        role = frozenset(
            (r.kind, i == r.subject, r.object if i == r.subject else r.subject)
            for r in scene.relations
            if i in (r.subject, r.object)
        )
        found.setdefault((thing.kind, role, thing.worn, thing.held, thing.word), []).append(i)
    # a thing that many relate to has one role for each, so its own key never splits a group
    return [
        Group(CATALOGUE[scene.things[m[0]].kind], tuple(scene.things[i] for i in m), tuple(m))
        for m in found.values()
    ]


@cache
def shared_names() -> frozenset[str]:
    """Names that could mean two kinds, which are not used as synonyms."""
    uses = Counter(name for k in CATALOGUE.values() for name in {k.name, *k.synonyms})
    return frozenset(name for name, n in uses.items() if n > 1)


@cache
def synonyms(kind: Kind) -> tuple[str, ...]:
    return tuple(
        s for s in kind.synonyms if s not in shared_names() | UNCOUNTED and not s.endswith("glasses")
    )


class Noun:
    """One group's name within a caption, the same word each time it is mentioned."""

    def __init__(self, group: Group, voice: Voice, *, colours: bool) -> None:
        self.group, self.voice, self.colours = group, voice, colours
        self.one, self.many = self._names()

    def _names(self) -> tuple[str, str]:
        kind = self.group.kind
        others = synonyms(kind)
        if others and self.voice.varies(0.12):
            name = self.voice.pick(others)
            return name, plural_of(name)
        return kind.name, kind.plural

    @property
    def plural(self) -> bool:
        return self.group.count > 1 or (self.group.kind.pair and not self._as_pair)

    @cached_property
    def _as_pair(self) -> bool:
        return self.voice.tells(0.6)

    @property
    def person(self) -> bool:
        return self.group.kind.group == "person"

    def indefinite(self) -> Phrase:
        """The first mention: "a red apple", "three apples, two red and one green", "a cat wearing a crown"."""
        n = self.group.count
        phrase = self._single(self._adjective()) if n == 1 else self._several()
        extra = self._extra()
        return phrase.then(extra) if extra else phrase

    def definite(self, *, colour: bool = False) -> Phrase:
        """A later mention: "the apple", or "the red apple" where the colour tells it from another."""
        n = self.group.count
        name = self.one if n == 1 else self.many
        adjective = self._adjective() if colour and self._one_colour else ""
        counted = number(n) + " " if n > 1 and self.voice.varies(0.3) else ""
        return Phrase(f"the {counted}{adjective}{name}", self.plural or (n == 1 and self.group.kind.pair))

    @property
    def _one_colour(self) -> bool:
        return len(self.group.colours) == 1

    def _adjective(self) -> str:
        colour = self.group.colours[0][0]
        return f"{self.voice.colour(colour)} " if colour and self.colours else ""

    def _single(self, adjective: str) -> Phrase:
        name = adjective + self.one
        if self.group.kind.pair:
            return Phrase(f"a pair of {name}") if self._as_pair else Phrase(name, plural=True)
        if adjective and self.voice.varies(0.07):
            return self._trailing(self._article(self.one), adjective.strip())
        return Phrase(self._article(name))

    def _article(self, name: str) -> str:
        if self.voice.terse:
            return name
        return f"one {name}" if self.voice.varies(0.06) else with_article(name)

    def _trailing(self, name: str, colour: str, be: str = "is") -> Phrase:
        who = "who" if self.person else "that"
        return Phrase(
            name + self.voice.pick((f" that {be} {colour}", f" in {colour}")).replace(" that", f" {who}", 1)
        )

    def _several(self) -> Phrase:
        if not self.colours or self._one_colour:
            return self._alike(self._adjective())
        return Phrase(*self._unlike())._replace(plural=True)

    def _many(self, n: int, adjective: str = "") -> str:
        if self.group.kind.pair and self.many == self.group.kind.plural:
            return self.many.replace("pairs of ", f"{'pair' if n == 1 else 'pairs'} of {adjective}")
        return adjective + (self.one if n == 1 else self.many)

    def _alike(self, adjective: str) -> Phrase:
        n = self.group.count
        if not self.voice.tells(0.95) and n > 2:
            return Phrase(f"{self.voice.pick(VAGUE)} {self._many(n, adjective)}", plural=True)
        exactly = "exactly " if self.voice.varies(0.12) else ""
        counted = f"{exactly}{number(n, self.voice.digits)}"
        if adjective and self.voice.varies(0.07):
            return self._trailing(f"{counted} {self._many(n)}", adjective.strip(), "are")._replace(
                plural=True
            )
        return Phrase(f"{counted} {self._many(n, adjective)}", plural=True)

    def _unlike(self) -> tuple[str, bool, bool]:
        """Several of one kind in different colours."""
        digits = self.voice.digits
        parts = [(number(c, digits), self.voice.colour(str(name)), c) for name, c in self.group.colours]
        total = f"{number(self.group.count, digits)} {self.many}"
        short = listed([f"{n} {colour}" for n, colour, _ in parts])
        whole = listed([self._counted(*part) for part in parts])
        options = [(f"{total}, {short}", True, True), (whole, True, False)]
        options.append((f"{total} ({', '.join(f'{n} {colour}' for n, colour, _ in parts)})", True, False))
        options.append(
            (f"{total}, {listed([f'{n} of them {colour}' for n, colour, _ in parts])}", True, True)
        )
        if parts[-1][2] > 1:
            options.append((f"{short} {self.many}", True, False))
        return self.voice.pick(options)

    def _counted(self, n: str, colour: str, count: int) -> str:
        if count == 1 and not self.voice.digits and not self.voice.terse and self.voice.varies(0.6):
            return with_article(f"{colour} {self.one}")
        return f"{n} {self._many(count, colour + ' ')}"

    def _extra(self) -> str:
        thing = self.group.things[0]
        parts = []
        if thing.worn:
            parts.append(self._wearing(thing.worn))
        if thing.held:
            parts.append(self._holding(*thing.held))
        if thing.word:
            parts.append(self._saying(thing.word))
        return " and ".join(parts)

    def _wearing(self, worn: tuple[str, ...]) -> str:
        clothes = listed([self._garment(name) for name in worn])
        options = [f"wearing {clothes}", f"wearing {clothes}", f"with {clothes} on", f"that wears {clothes}"]
        if all(CATALOGUE[name].pair for name in worn):
            options.append(f"with {clothes}")
        else:
            options.append(f"in {clothes}")
        text = self.voice.pick(options)
        return text.replace("that wears", "who wears") if self.person else text

    def _garment(self, name: str) -> str:
        if CATALOGUE[name].pair:
            return f"a pair of {name}" if self.voice.varies(0.3) else name
        return name if self.voice.terse else with_article(name)

    def _holding(self, kind: str, colour: str | None) -> str:
        told = f"{self.voice.colour(colour)} {kind}" if colour and self.voice.tells(0.95) else kind
        what = told if self.voice.terse else with_article(told)
        return self.voice.pick(("holding", "holding", "with", "carrying", "who holds")) + " " + what

    def _saying(self, word: str) -> str:
        text = lettered(word, self.voice)
        options = (f"that says {text}", f"that says {text}", f"saying {text}", f"that reads {text}")
        more = (
            f"reading {text}",
            f"with the word {text} on it",
            f"with {text} written on it",
            f"with the text {text}",
        )
        return self.voice.pick(options + more)


def lettered(word: str, voice: Voice) -> str:
    """A sign's word as people type it: in capitals or not, in quotes or not."""
    shape = voice.pick((word, word, word, word, word.lower(), capitalised(word.lower())))
    return voice.pick((shape, f'"{shape}"', shape, f"'{shape}'"))
