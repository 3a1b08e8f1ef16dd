"""Noun phrases: what a group of like things is called, with its number, colours, clothes and words."""

from functools import cache
from typing import NamedTuple

from ..catalogue import CATALOGUE, COLOURS, Kind
from .groups import Group
from .inflect import capitalised, listed, number, plural_of, with_article
from .voice import Voice

# Unicode names and stuffs that nobody would count or put an article before.
UNFIT = frozenset(
    {
        *("grapes", "broccoli", "garlic", "bread", "pancakes", "cheese", "milk", "coffee", "beer", "popcorn"),
        *(
            "wood",
            "candy",
            "yarn",
            "woman's clothes",
            "tennis",
            "racket and ball",
            "corn on the cob",
            "sweet",
        ),
        *("French fries", "couch and lamp", "fork and knife", "1st place medal", "high voltage", "Saturn"),
        *("planet Earth", "plus", "bowl with spoon", "person standing", "woman dancing", "person running"),
        *("merperson", "bug", "moai", "home", "hot beverage"),
    }
)
POSSESSIVES = {
    "man": "his",
    "boy": "his",
    "old man": "his",
    "woman": "her",
    "girl": "her",
    "old woman": "her",
}
VAGUE = ("several", "some", "a few", "a group of", "a number of", "multiple")


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


@cache
def synonyms(kind: Kind) -> tuple[str, ...]:
    """Other names to use: not those that name a colour, or another kind."""
    if kind.pair:
        return ()
    return tuple(
        s for s in kind.synonyms if s not in UNFIT and s not in CATALOGUE and s.split()[0] not in COLOURS
    )


def named(kind: Kind, voice: Voice) -> tuple[str, str]:
    """The singular and plural by which a caption calls a kind."""
    others = synonyms(kind)
    if others and voice.varies(0.12):
        name = voice.pick(others)
        return name, plural_of(name)
    return kind.name, kind.plural


class Noun:
    """One group within a caption, called the same each time it is mentioned."""

    def __init__(self, group: Group, names: tuple[str, str], voice: Voice, *, colours: bool) -> None:
        self.group, self.voice, self.colours = group, voice, colours
        self.one, self.many = names
        self.as_pair = group.kind.pair and voice.tells(0.6)

    @property
    def plural(self) -> bool:
        return self.group.count > 1 or (self.group.kind.pair and not self.as_pair)

    @property
    def adorned(self) -> bool:
        """Whether it wears, holds or says something, which what follows could be taken for a part of."""
        thing = self.group.things[0]
        return bool(thing.worn or thing.held or thing.word)

    @property
    def person(self) -> bool:
        return self.group.kind.group == "person"

    def indefinite(self) -> Phrase:
        """First mention: "a red apple", "three apples, two red and one green", "a cat wearing a crown"."""
        phrase = self._single() if self.group.count == 1 else self._several()
        extra = self._extra()
        return phrase.then(extra) if extra else phrase

    def uncoloured(self) -> Phrase:
        """The first mention of things whose colour is told later."""
        colours, self.colours = self.colours, False
        phrase = self.indefinite()
        self.colours = colours
        return phrase

    def definite(self, *, colour: bool = False) -> Phrase:
        """A later mention: "the apple", or "the red apple" where the colour tells it from another."""
        several = self.group.count > 1
        counted = number(self.group.count) + " " if several and self.voice.varies(0.3) else ""
        adjective = self._adjective() if colour else ""
        name = self._many(adjective) if several else adjective + self.one
        return Phrase(f"the {counted}{name}", several or self.group.kind.pair)

    def _adjective(self) -> str:
        colour = self.group.colour
        return f"{self.voice.colour(colour)} " if colour and self.colours else ""

    def _single(self) -> Phrase:
        adjective = self._adjective()
        if self.group.kind.pair:
            name = adjective + self.one
            return Phrase(f"a pair of {name}") if self.as_pair else Phrase(name, plural=True)
        if adjective and not self.voice.terse and self.voice.varies(0.06):
            who = "who" if self.person else "that"
            return Phrase(f"{self._article(self.one)} {who} is {adjective.strip()}")
        return Phrase(self._article(adjective + self.one))

    def _article(self, name: str) -> str:
        if self.voice.terse:
            return name
        return f"one {name}" if self.voice.varies(0.05) else with_article(name)

    def _many(self, adjective: str = "") -> str:
        if self.group.kind.pair:
            return f"pairs of {adjective}{self.one}"
        return adjective + self.many

    def _several(self) -> Phrase:
        if self.colours and not self.group.colour and self.group.colours[0][0]:
            return self._unlike()
        n, adjective = self.group.count, self._adjective()
        if n > 2 and not self.voice.tells(0.95):
            return Phrase(f"{self.voice.pick(VAGUE)} {self._many(adjective)}", plural=True)
        counted = number(n, self.voice.digits)
        if adjective and self.voice.varies(0.06):
            who = "who" if self.person else "that"
            return Phrase(f"{counted} {self._many()} {who} are {adjective.strip()}", plural=True)
        if self.voice.varies(0.22):
            return Phrase(self._emphatic(counted, self._many(adjective)), plural=True)
        return Phrase(f"{counted} {self._many(adjective)}", plural=True)

    def _emphatic(self, counted: str, many: str) -> str:
        exactly, total = f"exactly {counted} {many}", f"a total of {counted} {many}"
        return self.voice.pick((*[exactly] * 6, total, f"just {counted} {many}"))

    def _unlike(self) -> Phrase:
        """Several of one kind in different colours."""
        parts = [(n, self.voice.colour(str(name))) for name, n in self.group.colours]
        counts = [f"{number(n, self.voice.digits)} {colour}" for n, colour in parts]
        exactly = "exactly " if self.voice.varies(0.08) else ""
        total = f"{exactly}{number(self.group.count, self.voice.digits)} {self._many()}"
        of_them = listed([c.replace(" ", " of them ") for c in counts])
        options = [
            Phrase(f"{total}, {listed(counts)}", True, True),
            Phrase(listed([self._counted(n, colour) for n, colour in parts]), parts[0][0] > 1),
            Phrase(f"{total}, {listed(counts)}", True, True),
            Phrase(f"{total} ({', '.join(counts)})", True),
            Phrase(f"{total}, {of_them}", True, True),
        ]
        if parts[-1][0] > 1:
            options.append(Phrase(f"{listed(counts)} {self._many()}", True))
        return self.voice.pick(options)

    def _counted(self, n: int, colour: str) -> str:
        if n > 1:
            return f"{number(n, self.voice.digits)} {self._many(colour + ' ')}"
        name = f"pair of {colour} {self.one}" if self.group.kind.pair else f"{colour} {self.one}"
        bare = self.voice.digits or self.voice.terse or not self.voice.varies(0.6)
        return f"{number(1, self.voice.digits)} {name}" if bare else with_article(name)

    def _extra(self) -> str:
        thing = self.group.things[0]
        parts = [self._wearing(thing.worn)] if thing.worn else []
        if thing.held:
            parts.append(self._holding(*thing.held))
        if thing.word:
            parts.append(saying(thing.word, self.voice))
        return " and ".join(parts)

    def _wearing(self, worn: tuple[str, ...]) -> str:
        clothes = listed([garment(name, self.voice) for name in worn])
        who, its = "who" if self.person else "that", POSSESSIVES.get(self.group.kind.name, "its")
        options = [f"wearing {clothes}"] * 4 + [f"{who} wears {clothes}"]
        if any(CATALOGUE[name].pair for name in worn):
            options.append(f"with {clothes}")
        else:
            options += [f"in {clothes}", f"with {clothes} on {its} head"]
        return self.voice.pick(options)

    def _holding(self, kind: str, colour: str | None) -> str:
        verb = self.voice.pick(("holding", "holding", "with", "carrying", "who holds"))
        return f"{verb} {held_thing(kind, colour, self.voice)}"


def garment(name: str, voice: Voice) -> str:
    """A worn thing: "sunglasses", "a pair of sunglasses", "a crown"."""
    if CATALOGUE[name].pair:
        return f"a pair of {name}" if voice.varies(0.3) else name
    return name if voice.terse else with_article(name)


def held_thing(kind: str, colour: str | None, voice: Voice) -> str:
    told = f"{voice.colour(colour)} {kind}" if colour and voice.tells(0.95) else kind
    return told if voice.terse else with_article(told)


def saying(word: str, voice: Voice) -> str:
    """What stands on a sign: "that says OPEN"."""
    text = lettered(word, voice)
    plain = (
        f"that says {text}",
        f"that says {text}",
        f"saying {text}",
        f"that reads {text}",
        f"reading {text}",
    )
    return voice.pick(
        (*plain, f"with the word {text} on it", f"with {text} written on it", f"with the text {text}")
    )


def lettered(word: str, voice: Voice) -> str:
    """A sign's word as people type it: in capitals or not, in quotes or not."""
    shape = voice.pick((word, word, word, word, word.lower(), capitalised(word.lower())))
    return voice.pick((shape, f'"{shape}"', shape, f"'{shape}'"))
