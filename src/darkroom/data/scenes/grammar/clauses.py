"""What a scene shows, as one noun phrase or as a few sentences, before the setting is told."""

from collections.abc import Callable
from typing import NamedTuple

from ..graph import Box, RelationKind, Scene
from .inflect import listed, number
from .nouns import Group, Noun, Phrase, grouped, lettered
from .relations import PLACES, from_it, inverse, preposition
from .voice import Voice


class Line(NamedTuple):
    """``bare``: a noun phrase that can follow "a picture of"; else a sentence."""

    text: str
    bare: bool = False
    plural: bool = False
    comma: bool = False


def bare(phrase: Phrase) -> Line:
    return Line(phrase.text, True, phrase.plural, phrase.comma)


FORMATIONS = {
    "row": ("in a row", "in a row", "side by side in a row", "lined up in a row", "in a horizontal line"),
    "column": (
        "in a column",
        "in a column",
        "in a vertical line",
        "one above the other",
        "lined up in a column",
    ),
    "pyramid": (
        "in a pyramid formation",
        "in a pyramid formation",
        "arranged in a pyramid",
        "forming a pyramid",
        "in the shape of a pyramid",
    ),
    "circle": ("in a circle", "in a circle", "arranged in a circle", "forming a circle", "in a ring"),
}


def content(scene: Scene, voice: Voice) -> list[Line]:
    """The lines that tell what is there; the first may be bare."""
    if scene.skill == "crowd":
        return crowd(scene, voice)
    groups = grouped(scene)
    names = [group.kind.name for group in groups]
    nouns = [Noun(g, voice, colours=names.count(g.kind.name) > 1 or voice.tells(0.93)) for g in groups]
    links = _links(scene, groups)
    if not links and len(nouns) == 2 and voice.varies(0.45):
        links = seen_from_boxes(groups)
    if len(links) == 1 and len(nouns) == 2:
        (a, kind, b) = links[0]
        return related(nouns[a], kind, nouns[b], voice)
    if len(links) == 2:
        return chained([nouns[i] for i in _order(links)], [link[1] for link in links], voice)
    if len(nouns) == 1:
        return alone(nouns[0], scene.arrangement, voice)
    return together(nouns, voice)


Link = tuple[int, RelationKind, int]


def _links(scene: Scene, groups: list[Group]) -> list[Link]:
    of = {member: g for g, group in enumerate(groups) for member in group.members}
    return list(dict.fromkeys((of[r.subject], r.kind, of[r.object]) for r in scene.relations))


def _order(links: list[Link]) -> list[int]:
    (a, _, b), (_, _, c) = links
    return [a, b, c]


def seen_from_boxes(groups: list[Group]) -> list[Link]:
    """A relation that nobody set but that is plain to the eye, between two groups."""
    kind = plain_side([t.box for t in groups[0].things], [t.box for t in groups[1].things])
    return [(0, kind, 1)] if kind else []


def plain_side(first: list[Box], second: list[Box]) -> RelationKind | None:
    """Where the first boxes lie as seen from the second, if they are clear of them and mostly level."""
    (ax, ay), (bx, by) = _middle(first), _middle(second)
    if abs(ay - by) < 0.5 * abs(ax - bx):
        clear = max(b.right for b in first) < min(b.left for b in second)
        other = max(b.right for b in second) < min(b.left for b in first)
        return "left of" if clear else "right of" if other else None
    if abs(ax - bx) < 0.5 * abs(ay - by):
        clear = max(b.bottom for b in first) < min(b.top for b in second)
        other = max(b.bottom for b in second) < min(b.top for b in first)
        return "above" if clear else "below" if other else None
    return None


def _middle(boxes: list[Box]) -> tuple[float, float]:
    x, y = zip(*(box.centre for box in boxes), strict=True)
    return sum(x) / len(x), sum(y) / len(y)


def alone(noun: Noun, arrangement: str | None, voice: Voice) -> list[Line]:
    """One group: "five apples", "three cats in a row"."""
    thing = noun.group.things[0]
    if arrangement and voice.tells(0.93):
        return [bare(noun.indefinite().then(voice.pick(FORMATIONS[arrangement])))]
    if thing.word and voice.varies(0.2):
        return _sign(thing.word, voice)
    if len(noun.group.colours) == 1 and thing.colour and voice.varies(0.08):
        return [bare(_plainly(noun)), _its_colour(noun, voice)]
    return [bare(noun.indefinite())]


def _sign(word: str, voice: Voice) -> list[Line]:
    text = lettered(word, voice)
    return voice.pick(
        (
            [bare(Phrase("a sign")), Line(f"it says {text}")],
            [bare(Phrase("a sign")), Line(f"the sign says {text}")],
            [bare(Phrase("a sign")), Line(f"it reads {text}")],
            [bare(Phrase(f"the word {text} on a sign"))],
            [bare(Phrase(f"the word {text} written on a sign"))],
            [Line(f"a sign says {text}")],
        )
    )


def _plainly(noun: Noun) -> Phrase:
    """The first mention without its colour, which is told later."""
    colours, noun.colours = noun.colours, False
    phrase = noun.indefinite()
    noun.colours = colours
    return phrase


def _its_colour(noun: Noun, voice: Voice) -> Line:
    colour = voice.colour(str(noun.group.colours[0][0]))
    name = noun.definite()
    pronoun = "they are" if name.plural else "it is"
    return Line(voice.pick((f"{pronoun} {colour}", f"{name.text} {name.verb} {colour}")))


def together(nouns: list[Noun], voice: Voice) -> list[Line]:
    """Groups that stand in no relation: "a cat, a dog and a red apple"."""
    if voice.varies(0.4):
        nouns = nouns[::-1]
    tellable = all(len(n.group.colours) == 1 and n.group.things[0].colour for n in nouns)
    distinct = len({n.group.kind.name for n in nouns}) == len(nouns)
    if tellable and distinct and voice.varies(0.15):
        return _colours_later(nouns, voice)
    phrases = [noun.indefinite() for noun in nouns]
    if voice.varies(0.1):
        return [bare(phrases[0]), *(_also(p, voice) for p in phrases[1:])]
    return [_listed(phrases, voice)]


def _listed(phrases: list[Phrase], voice: Voice) -> Line:
    texts = [p.text for p in phrases]
    if voice.terse:
        return Line(", ".join(texts), True, phrases[0].plural)
    if len(phrases) == 2:
        joined = voice.pick(
            ("{} and {}", "{} and {}", "{} and {}", "{} with {}", "both {} and {}", "{} together with {}")
        )
        return Line(joined.format(*texts), True, phrases[0].plural, phrases[-1].comma)
    return Line(listed(texts, serial=voice.serial), True, phrases[0].plural, phrases[-1].comma)


def _also(phrase: Phrase, voice: Voice) -> Line:
    return Line(
        voice.pick((f"there {phrase.verb} also {phrase.text}", f"{phrase.text} {phrase.verb} there too"))
    )


def _colours_later(nouns: list[Noun], voice: Voice) -> list[Line]:
    parts = []
    for noun in nouns:
        name = noun.definite()
        parts.append(f"{name.text} {name.verb} {voice.colour(str(noun.group.colours[0][0]))}")
    return [_listed([_plainly(noun) for noun in nouns], voice), Line(listed(parts, serial=voice.serial))]


Form = Callable[[Noun, RelationKind, Noun, Voice], list[Line]]


def related(a: Noun, kind: RelationKind, b: Noun, voice: Voice) -> list[Line]:
    """Two groups and one relation, from either side, in one breath or in two."""
    forms: tuple[Form, ...] = (
        _straight,
        _inverted,
        _straight,
        _straight,
        _inverted,
        _with_it,
        _with_it,
        _stated,
    )
    forms += (_fronted, _two_steps, _two_steps, _beside)
    if kind in PLACES:
        forms += (_placed,)
    return voice.pick(forms)(a, kind, b, voice)


def _straight(a: Noun, kind: RelationKind, b: Noun, voice: Voice) -> list[Line]:
    object_ = b.indefinite()
    phrase = a.indefinite().then(f"{preposition(kind, voice)} {object_.text}")
    return [bare(phrase._replace(comma=object_.comma))]


def _inverted(a: Noun, kind: RelationKind, b: Noun, voice: Voice) -> list[Line]:
    object_ = a.indefinite()
    phrase = b.indefinite().then(f"{inverse(kind, voice)} {object_.text}")
    return [bare(phrase._replace(comma=object_.comma))]


def _with_it(a: Noun, kind: RelationKind, b: Noun, voice: Voice) -> list[Line]:
    subject = a.indefinite()
    place = from_it(kind, b, voice)
    if voice.varies(0.3):
        return [bare(b.indefinite().then(f"and, {place}, {subject.text}")._replace(comma=subject.comma))]
    comma = "," if subject.comma else ""
    return [bare(b.indefinite().then(f"with {subject.text}{comma} {place}"))]


def _stated(a: Noun, kind: RelationKind, b: Noun, voice: Voice) -> list[Line]:
    subject = a.indefinite()
    return [Line(subject.then(f"{subject.verb} {preposition(kind, voice)} {b.indefinite().text}").text)]


def _fronted(a: Noun, kind: RelationKind, b: Noun, voice: Voice) -> list[Line]:
    subject, place = a.indefinite(), f"{preposition(kind, voice)} {b.indefinite().text}"
    return [
        Line(
            voice.pick(
                (f"{place} {subject.verb} {subject.text}", f"{place} there {subject.verb} {subject.text}")
            )
        )
    ]


def _two_steps(a: Noun, kind: RelationKind, b: Noun, voice: Voice) -> list[Line]:
    first = _listed([a.indefinite(), b.indefinite()], voice)
    one_kind = a.group.kind == b.group.kind
    subject, object_ = a.definite(colour=one_kind), b.definite(colour=one_kind)
    if kind != "on top of" and voice.varies(0.3):
        return [first, Line(f"{object_.text} {object_.verb} {inverse(kind, voice)} {subject.text}")]
    return [first, Line(f"{subject.text} {subject.verb} {preposition(kind, voice)} {object_.text}")]


def _beside(a: Noun, kind: RelationKind, b: Noun, voice: Voice) -> list[Line]:
    """ "a cat next to a dog, on its left"."""
    if kind not in ("left of", "right of") or b.person:
        return _straight(a, kind, b, voice)
    object_ = b.indefinite()
    next_to = voice.pick(("next to", "beside"))
    return [bare(a.indefinite().then(f"{next_to} {object_.text}, {from_it(kind, b, voice)}"))]


def _placed(a: Noun, kind: RelationKind, b: Noun, voice: Voice) -> list[Line]:
    places = voice.pick(PLACES[kind])
    pairs = [(a.indefinite(), places[0]), (b.indefinite(), places[1])]
    if voice.varies(0.4):
        pairs = pairs[::-1]
    if voice.varies(0.3):
        texts = [f"{place} {phrase.verb} {phrase.text}" for phrase, place in pairs]
        return [Line(f"{texts[0]} and {texts[1]}")]
    texts = [phrase.then(place).text for phrase, place in pairs]
    return [Line(f"{texts[0]} and {texts[1]}", True, pairs[0][0].plural)]


IN_LINE: dict[RelationKind, tuple[str, bool]] = {
    "left of": ("from left to right", False),
    "right of": ("from left to right", True),
    "above": ("from top to bottom", False),
    "below": ("from top to bottom", True),
}


def chained(nouns: list[Noun], kinds: list[RelationKind], voice: Voice) -> list[Line]:
    """Three groups in a chain: a stands to b, and b stands to c."""
    forms = [_chain, _chain, _chain, _chain_back, _chain_steps, _chain_and]
    if kinds[0] == kinds[1]:
        forms += [_in_order, _in_order]
    return voice.pick(forms)(nouns, kinds, voice)


def _chain(nouns: list[Noun], kinds: list[RelationKind], voice: Voice) -> list[Line]:
    """ "a red cube on top of a blue sphere to the left of a green cylinder"."""
    a, b, c = (noun.indefinite() for noun in nouns)
    comma = "," if voice.varies(0.2) else ""
    rest = f"{preposition(kinds[0], voice)} {b.text}{comma} {preposition(kinds[1], voice)} {c.text}"
    return [bare(a.then(rest))]


def _chain_back(nouns: list[Noun], kinds: list[RelationKind], voice: Voice) -> list[Line]:
    """ "a green cylinder to the right of a blue sphere with a red cube on top of it"."""
    a, b, c = (noun.indefinite() for noun in nouns)
    rest = f"{inverse(kinds[1], voice)} {b.text} with {a.text} {from_it(kinds[0], nouns[1], voice)}"
    return [bare(c.then(rest))]


def _chain_steps(nouns: list[Noun], kinds: list[RelationKind], voice: Voice) -> list[Line]:
    """Two sentences: the first pair, then the third as seen from the second."""
    a, b, c = (noun.indefinite() for noun in nouns)
    first = bare(a.then(f"{preposition(kinds[0], voice)} {b.text}"))
    colour = len({noun.group.kind for noun in nouns}) < 3
    known = nouns[1].definite(colour=colour)
    if voice.varies(0.4):
        return [first, Line(f"{known.text} {known.verb} {preposition(kinds[1], voice)} {c.text}")]
    return [first, Line(f"{c.text} {c.verb} {inverse(kinds[1], voice)} {known.text}")]


def _chain_and(nouns: list[Noun], kinds: list[RelationKind], voice: Voice) -> list[Line]:
    """ "a blue sphere with a red cube on top of it, to the left of a green cylinder"."""
    a, b, c = (noun.indefinite() for noun in nouns)
    rest = f"with {a.text} {from_it(kinds[0], nouns[1], voice)}, {preposition(kinds[1], voice)} {c.text}"
    return [bare(b.then(rest))]


def _in_order(nouns: list[Noun], kinds: list[RelationKind], voice: Voice) -> list[Line]:
    how, backwards = IN_LINE[kinds[0]]
    phrases = [noun.indefinite() for noun in (nouns[::-1] if backwards else nouns)]
    texts = listed([p.text for p in phrases], serial=voice.serial)
    if voice.varies(0.5):
        return [Line(f"{how}: {texts}", True, phrases[0].plural)]
    return [Line(f"{texts}, {how}", True, phrases[0].plural, True)]


def crowd(scene: Scene, voice: Voice) -> list[Line]:
    """People who hold the same thing, one of them in a colour of its own."""
    held = [thing.held for thing in scene.things if thing.held]
    kind = held[0][0]
    colours = [str(colour) for _, colour in held]
    odd = next(c for c in colours if colours.count(c) == 1 or c != max(colours, key=colours.count))
    usual = next(c for c in colours if c != odd)
    n, things = len(held), f"{kind}s"
    one = f"{voice.colour(odd)} {kind}"
    a_one, others = Phrase(one).text, f"{voice.colour(usual)} {things}"
    a_one = f"{'an' if one[0] in 'aeiou' else 'a'} {one}"
    total, rest = number(n, voice.digits), number(n - 1, voice.digits)
    counted = [
        f"a crowd of {total} people, one holding {a_one} and {rest} holding {others}",
        f"{total} people holding {things}, one {voice.colour(odd)} and {rest} {voice.colour(usual)}",
        f"{a_one} among {rest} {others}, held by {total} people",
        f"one person with {a_one} among {rest} people with {others}",
    ]
    open_ = [
        f"{a_one} in a crowd of people holding {others}",
        f"{a_one} in a crowd of people with {others}",
        f"a crowd of people holding {others} and one holding {a_one}",
        f"one person holding {a_one} in a crowd of people with {others}",
        f"people with {others}, and one person with {a_one}",
        f"a crowd of people with {others}, one of them with {a_one}",
    ]
    text = voice.pick(counted if voice.tells(0.35) else open_)
    return [Line(text, True, text.startswith((total, "people")) and not text.startswith("one"), "," in text)]
