"""Reads key facts back from a caption without the grammar's help, and says which of them the scene denies."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from darkroom.data.scenes.catalogue import CATALOGUE
from darkroom.data.scenes.graph import Box, Scene, Thing

NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, **{str(n): n for n in range(1, 7)}}
COLOUR = r"(?:red|orange|yellow|green|blue|purple|pink|brown|black|white|grey|gray)"
NUMBER = r"(?:one|two|three|four|five|six|[1-6])"
# Words of the setting that are also names of things, or of places.
SETTING = (
    "under [a-z ]*sky|among the trees of a forest|among the stars in space|in the light of the setting sun"
    "|the sun is setting|on wooden boards|wooden boards|two things|three things"
)
SIDES = {
    "left": r"(?:to the |on the )?left (?:side )?of",
    "right": r"(?:to the |on the )?right (?:side )?of",
    "above": r"above|over|higher up than",
    "below": r"below|under(?:neath)?|beneath",
}


@dataclass(frozen=True)
class Mention:
    start: int
    end: int
    kind: str
    colour: str | None
    things: tuple[Thing, ...]


def names_of(kind: str) -> list[str]:
    """Every name of a kind with its plausible plurals."""
    entry = CATALOGUE[kind]
    names = {entry.name, entry.plural, *entry.synonyms}
    names |= {name + s for name in (entry.name, *entry.synonyms) for s in ("s", "es")}
    names |= {name[:-1] + "ies" for name in names if name.endswith("y")}
    return sorted(names, key=len, reverse=True)


def plain(caption: str, scene: Scene) -> str:
    """The caption in lower case without a sign's lettering and without the setting's own nouns."""
    for thing in scene.things:
        if thing.word:
            caption = re.sub(rf"(?<![\w]){thing.word}(?![\w])", "@", caption, count=1, flags=re.I)
    return re.sub(SETTING, "", caption.lower()).replace("gray", "grey")


def mentions(text: str, scene: Scene) -> list[Mention]:
    """Every thing that the text names, in order, with the things of the scene that it can mean."""
    found = []
    for kind in dict.fromkeys(thing.kind for thing in scene.things):
        pattern = rf"(?:({COLOUR}) )?\b(?:{'|'.join(map(re.escape, names_of(kind)))})\b"
        for match in re.finditer(pattern.lower(), text):
            colour = match[1]
            things = tuple(t for t in scene.things if t.kind == kind and colour in (None, t.colour))
            found.append(Mention(match.start(), match.end(), kind, colour, things))
    return _longest(sorted(found, key=lambda m: (m.start, -m.end)))


def _longest(found: list[Mention]) -> list[Mention]:
    """ "top hat" is not also a hat."""
    kept: list[Mention] = []
    for mention in found:
        if not kept or mention.start >= kept[-1].end:
            kept.append(mention)
    return kept


def holds(side: str, a: Box, b: Box) -> bool:
    (ax, ay), (bx, by) = a.centre, b.centre
    return {"left": ax < bx, "right": ax > bx, "above": ay < by, "below": ay > by}[side]


def contradictions(caption: str, scene: Scene) -> list[str]:
    """What the caption says and the scene denies; empty for a true caption."""
    text = plain(caption, scene)
    named = mentions(text, scene)
    return [
        *_wrong_colours(text, named, scene),
        *_wrong_counts(text, scene),
        *_wrong_sides(text, named, scene),
    ]


def _wrong_colours(text: str, named: list[Mention], scene: Scene) -> Iterator[str]:
    there = {thing.colour for thing in scene.things} | {scene.ground}
    there |= {thing.held[1] for thing in scene.things if thing.held}
    if scene.ground == "grass":
        there.add("green")
    for colour in re.findall(rf"\b{COLOUR}\b", text):
        if colour not in there:
            yield f"{colour} is nowhere"
    for mention in named:
        if mention.colour and not mention.things:
            yield f"no {mention.kind} is {mention.colour}"


def _wrong_counts(text: str, scene: Scene) -> Iterator[str]:
    if scene.skill == "crowd":
        return
    for kind in {thing.kind for thing in scene.things}:
        names = "|".join(map(re.escape, names_of(kind))).lower()
        pattern = rf"\b({NUMBER}) (?:pairs? of )?(?:({COLOUR}) )?(?:pairs? of )?(?:{names})\b(?! hat| that)"
        for number, colour in re.findall(pattern, text):
            n = sum(t.kind == kind and colour in ("", t.colour) for t in scene.things)
            if n != NUMBERS[number]:
                yield f"there are {n}, not {number} {colour} {kind}"
    for number, colour in re.findall(rf"\b({NUMBER}) (?:of them )?({COLOUR})(?=,|\)|\.| and|$)", text):
        counts = [
            sum(t.kind == k and t.colour == colour for t in scene.things)
            for k in {t.kind for t in scene.things}
        ]
        if NUMBERS[number] not in counts:
            yield f"there are not {number} {colour}"


def _wrong_sides(text: str, named: list[Mention], scene: Scene) -> Iterator[str]:
    """Checks "a left of b", "left of b is a" and "b with a to its left", for things of different kinds."""
    for side, pattern in SIDES.items():
        for match in re.finditer(rf"\b(?:{pattern})\b(?!,| (?:it|them)\b)", text):
            start = text.rfind(". ", 0, match.start()) + 1
            before = [m for m in named if start <= m.start and m.end <= match.start()]
            after = [m for m in named if m.start >= match.end()]
            pair = [before[-1], after[0]] if before and after else after[1::-1]
            yield from _denied(side, pair)
    for match in re.finditer(r"\b(?:to|on) (?:its|their) (left|right)", text):
        before = [m for m in named if m.end <= match.start()]
        after = [m for m in named if m.start >= match.end()]
        if re.search(r"(?:and, |\. ?)$", text[: match.start()]):
            yield from _denied(match[1], [*after[:1], *before[-1:]])
        elif re.search(r"(?:next to|beside) [^,]*, $", text[: match.start()]):
            yield from _denied(match[1], before[-2:])
        elif len(before) > 1:
            yield from _denied(match[1], before[-1:-3:-1])


def _denied(side: str, pair: list[Mention]) -> Iterator[str]:
    if len(pair) == 2 and pair[0].kind != pair[1].kind:
        a, b = pair
        if not all(holds(side, x.box, y.box) for x in a.things for y in b.things):
            yield f"{a.kind} is not {side} of {b.kind}"
