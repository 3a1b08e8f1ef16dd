"""What a scene shows, as one noun phrase or as a few sentences, before the setting is told."""

from ..graph import RelationKind, Scene
from .crowds import crowd
from .groups import grouped, links, plain_side
from .inflect import listed, number, with_article
from .lines import Line, bare
from .linked import chained, related
from .nouns import Noun, Phrase, held_thing, lettered, named
from .voice import Voice

# Ordered from plain to fancy; what stands twice is said more often.
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
        "in the shape of a pyramid",
        "forming a pyramid",
    ),
    "circle": ("in a circle", "in a circle", "arranged in a circle", "forming a circle", "in a ring"),
}


def content(scene: Scene, voice: Voice) -> list[Line]:
    """The lines that tell what is there; the first may be bare."""
    if scene.skill == "crowd":
        return [crowd(scene, voice)]
    groups = grouped(scene)
    kinds = [group.kind for group in groups]
    names = {kind.name: named(kind, voice) for kind in kinds}
    nouns = [
        Noun(g, names[g.kind.name], voice, colours=kinds.count(g.kind) > 1 or voice.tells(0.93))
        for g in groups
    ]
    if (told := links(scene, groups)) and len(told) == len(nouns) - 1:
        order = [told[0][0], *(link[2] for link in told)]
        return _linked([nouns[i] for i in order], [link[1] for link in told], voice)
    if len(nouns) == 2 and voice.varies(0.45) and (side := plain_side(*groups)):
        return related(nouns[0], side, nouns[1], voice)
    return alone(nouns[0], scene.arrangement, voice) if len(nouns) == 1 else together(nouns, voice)


def _linked(nouns: list[Noun], kinds: list[RelationKind], voice: Voice) -> list[Line]:
    return related(nouns[0], kinds[0], nouns[1], voice) if len(nouns) == 2 else chained(nouns, kinds, voice)


def alone(noun: Noun, arrangement: str | None, voice: Voice) -> list[Line]:
    """One group: "five apples", "three cats in a row", "a man holding a red umbrella"."""
    thing = noun.group.things[0]
    if arrangement and voice.tells(0.93):
        return [bare(noun.indefinite().then(voice.pick(FORMATIONS[arrangement])))]
    if voice.terse:
        return [bare(noun.indefinite())]
    if thing.word and voice.varies(0.2):
        return _sign(thing.word, voice)
    if thing.held and voice.varies(0.12):
        return [_held_by(noun, *thing.held, voice)]
    if noun.group.count > 2 and not thing.colour and voice.varies(0.05):
        return [
            Line(noun.many, True, True),
            Line(f"there are {voice.pick(('', 'exactly ')) + number(noun.group.count)} of them"),
        ]
    if noun.group.colour and not noun.adorned and voice.varies(0.08):
        return [bare(noun.uncoloured()), _its_colour(noun, voice)]
    return [bare(noun.indefinite())]


def _sign(word: str, voice: Voice) -> list[Line]:
    text = lettered(word, voice)
    forms = [
        [bare(Phrase(f"the word {text} on a sign"))],
        [bare(Phrase(f"the word {text} written on a sign"))],
        [Line(f"a sign says {text}")],
    ]
    for sentence in (
        f"it says {text}",
        f"the sign says {text}",
        f"it reads {text}",
        f"the word on it is {text}",
    ):
        forms.append([bare(Phrase("a sign")), Line(sentence)])
    return voice.pick(forms)


def _held_by(noun: Noun, kind: str, colour: str | None, voice: Voice) -> Line:
    """ "a red umbrella held by a man"."""
    return bare(Phrase(f"{held_thing(kind, colour, voice)} held by {with_article(noun.one)}"))


def _its_colour(noun: Noun, voice: Voice) -> Line:
    colour, name = voice.colour(str(noun.group.colour)), noun.definite()
    pronoun = "they are" if name.plural else "it is"
    its = f"{'their' if name.plural else 'its'} colour is {colour}"
    return Line(voice.pick((f"{pronoun} {colour}", f"{name.text} {name.verb} {colour}", its)))


def together(nouns: list[Noun], voice: Voice) -> list[Line]:
    """Groups whose relation is left open: "a cat, a dog and a red apple"."""
    if voice.varies(0.4):
        nouns = nouns[::-1]
    nouns = sorted(
        nouns, key=lambda noun: noun.adorned
    )  # or "a cat wearing sunglasses and a rose" wears both
    if voice.terse:
        return [Line(", ".join(noun.indefinite().text for noun in nouns), True, nouns[0].plural)]
    plain = all(noun.group.colour and not noun.adorned for noun in nouns)
    if plain and len({noun.one for noun in nouns}) == len(nouns) and voice.varies(0.15):
        return _colours_later(nouns, voice)
    phrases = [noun.indefinite() for noun in nouns]
    if voice.varies(0.1):
        return [bare(phrases[0]), *(_also(phrase, voice) for phrase in phrases[1:])]
    return [listing(phrases, voice)]


def series(phrases: list[Phrase], serial: bool = False) -> str:
    """Phrases as a list; an inner one that asks for a comma after it gets one."""
    commas = (serial and len(phrases) > 2) or any(phrase.comma for phrase in phrases[:-1])
    return listed([phrase.text for phrase in phrases], commas)


def listing(phrases: list[Phrase], voice: Voice) -> Line:
    """Things one after the other, as one bare line."""
    text = series(phrases, voice.serial)
    numbers = {2: "two", 3: "three"}
    singles = not any(phrase.plural for phrase in phrases)
    if singles and len(phrases) in numbers and voice.varies(0.06):
        return Line(f"{numbers[len(phrases)]} things: {text}", True, True, True)
    if singles and len(phrases) == 2 and voice.varies(0.08):
        text = f"both {text}"
    return Line(text, True, phrases[0].plural, phrases[-1].comma)


def _also(phrase: Phrase, voice: Voice) -> Line:
    there = f"there {phrase.verb} also {phrase.text}"
    return Line(voice.pick((there, there, phrase.then(f"{phrase.verb} there too").text)))


def _colours_later(nouns: list[Noun], voice: Voice) -> list[Line]:
    """ "an apple and a car. The apple is red and the car is green"."""
    names = [(noun.definite(), voice.colour(str(noun.group.colour))) for noun in nouns]
    parts = [f"{name.text} {name.verb} {colour}" for name, colour in names]
    commas = voice.serial and len(parts) > 2
    return [listing([noun.uncoloured() for noun in nouns], voice), Line(listed(parts, commas))]
