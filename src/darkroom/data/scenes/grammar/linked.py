"""Two groups in a relation, and three in a chain of two relations, put in many ways and from either side."""

from collections.abc import Callable

from ..graph import RelationKind
from .groups import Group
from .inflect import listed
from .lines import Line, bare
from .nouns import Noun, Phrase
from .relations import PLACES, from_it, inverse, preposition
from .voice import Voice

Form = Callable[[Noun, RelationKind, Noun, Voice], list[Line]]
ChainForm = Callable[[list[Noun], list[RelationKind], Voice], list[Line]]

IN_LINE: dict[RelationKind, tuple[str, bool]] = {
    "left of": ("from left to right", False),
    "right of": ("from left to right", True),
    "above": ("from top to bottom", False),
    "below": ("from top to bottom", True),
}

HALVES: dict[RelationKind, tuple[int, bool]] = {
    "left of": (0, True),
    "right of": (0, False),
    "above": (1, True),
    "below": (1, False),
}
"""The axis of relations that halves of the picture can tell, and whether the subject comes first."""


def related(a: Noun, kind: RelationKind, b: Noun, voice: Voice) -> list[Line]:
    """``a`` stands in the relation to ``b``."""
    forms: list[Form] = [_straight, _inverted, _straight, _straight, _inverted, _with_it]
    if not voice.terse:
        forms += [_with_it, _stated, _fronted, _two_steps, _two_steps, _then_there, _beside]
    if kind in PLACES and not voice.terse:
        forms.append(_placed)
    return voice.pick(forms)(a, kind, b, voice)


def _joined(first: Phrase, rest: str, last: Phrase) -> Line:
    """A bare line that ends in ``last``, whose comma it keeps."""
    return bare(first.then(f"{rest} {last.text}")._replace(comma=last.comma))


def _straight(a: Noun, kind: RelationKind, b: Noun, voice: Voice) -> list[Line]:
    return [_joined(a.indefinite(), preposition(kind, voice), b.indefinite())]


def _inverted(a: Noun, kind: RelationKind, b: Noun, voice: Voice) -> list[Line]:
    return [_joined(b.indefinite(), inverse(kind, voice), a.indefinite())]


def _with_it(a: Noun, kind: RelationKind, b: Noun, voice: Voice) -> list[Line]:
    """ "a dog with a cat to its left", "a dog and, to its left, a cat"."""
    place, subject = from_it(kind, b, voice), a.indefinite()
    if a.adorned or voice.varies(0.3):
        return [_joined(b.indefinite(), f"and, {place},", subject)]
    return [bare(b.indefinite().then(f"with {subject.then(place).text}"))]


def _stated(a: Noun, kind: RelationKind, b: Noun, voice: Voice) -> list[Line]:
    subject, object_ = a.indefinite(), b.indefinite()
    return [
        Line(
            subject.then(f"{subject.verb} {preposition(kind, voice)} {object_.text}").text,
            comma=object_.comma,
        )
    ]


def _fronted(a: Noun, kind: RelationKind, b: Noun, voice: Voice) -> list[Line]:
    """ "to the left of a dog is a cat"."""
    subject, place = a.indefinite(), b.indefinite()
    verb = voice.pick((subject.verb, f"there {subject.verb}"))
    text = f"{preposition(kind, voice)} {place.then(f'{verb} {subject.text}').text}"
    return [Line(text, comma=subject.comma)]


def _two_steps(a: Noun, kind: RelationKind, b: Noun, voice: Voice) -> list[Line]:
    """ "a cat and a dog. The cat is to the left of the dog"."""
    first, second = a.indefinite(), b.indefinite()
    alike = a.group.kind == b.group.kind
    subject, object_ = a.definite(colour=alike), b.definite(colour=alike)
    joint = Line(first.then(f"and {second.text}").text, True, first.plural, second.comma)
    if kind != "on top of" and voice.varies(0.3):
        return [joint, Line(f"{object_.text} {object_.verb} {inverse(kind, voice)} {subject.text}")]
    return [joint, Line(f"{subject.text} {subject.verb} {preposition(kind, voice)} {object_.text}")]


def _then_there(a: Noun, kind: RelationKind, b: Noun, voice: Voice) -> list[Line]:
    """ "a dog. To its left there is a cat"."""
    first, then = b.indefinite(), a.indefinite()
    place = f"{preposition(kind, voice)} {b.definite().text}" if b.person else from_it(kind, b, voice)
    return [bare(first), Line(f"{place} {voice.pick(('there ', ''))}{then.verb} {then.text}")]


def _beside(a: Noun, kind: RelationKind, b: Noun, voice: Voice) -> list[Line]:
    """ "a cat next to a dog, on its left"."""
    if kind not in ("left of", "right of") or b.person:
        return _straight(a, kind, b, voice)
    object_, next_to = b.indefinite(), voice.pick(("next to", "beside"))
    return [bare(a.indefinite().then(f"{next_to} {object_.text}, {from_it(kind, b, voice)}"))]


def _placed(a: Noun, kind: RelationKind, b: Noun, voice: Voice) -> list[Line]:
    """ "a cat on the left and a dog on the right": of the whole picture, so it must be true of that."""
    if not on_opposite_sides(a.group, kind, b.group):
        return _straight(a, kind, b, voice)
    pairs = list(zip((a.indefinite(), b.indefinite()), voice.pick(PLACES[kind]), strict=True))
    if voice.varies(0.4):
        pairs = pairs[::-1]
    if voice.varies(0.3):
        texts = [f"{place} {phrase.verb} {phrase.text}" for phrase, place in pairs]
        return [Line(f"{texts[0]}{',' if pairs[0][0].comma else ''} and {texts[1]}")]
    texts = [phrase.then(place).text for phrase, place in pairs]
    return [Line(f"{texts[0]} and {texts[1]}", True, pairs[0][0].plural)]


def on_opposite_sides(a: Group, kind: RelationKind, b: Group) -> bool:
    """Whether two groups lie in the halves of the picture that their relation names."""
    if kind not in HALVES:
        return True
    axis, forwards = HALVES[kind]
    first, last = (a, b) if forwards else (b, a)
    near, far = ([thing.box.centre[axis] for thing in group.things] for group in (first, last))
    return max(near) < 0.5 < min(far)


def chained(nouns: list[Noun], kinds: list[RelationKind], voice: Voice) -> list[Line]:
    """Three groups in a chain: the first stands to the second, and the second to the third."""
    forms: list[ChainForm] = [_chain, _chain, _chain, _chain_back]
    if not voice.terse:
        forms += [_chain_steps, _chain_steps, _chain_set_off, _chain_which]
    if kinds[0] == kinds[1]:
        forms += [_in_order, _in_order]
    return voice.pick(forms)(nouns, kinds, voice)


def _chain(nouns: list[Noun], kinds: list[RelationKind], voice: Voice) -> list[Line]:
    """ "a red cube on top of a blue sphere to the left of a green cylinder"."""
    a, b, c = (noun.indefinite() for noun in nouns)
    comma = "," if voice.varies(0.2) else ""
    return [
        bare(
            a.then(f"{preposition(kinds[0], voice)} {b.text}{comma} {preposition(kinds[1], voice)} {c.text}")
        )
    ]


def _chain_back(nouns: list[Noun], kinds: list[RelationKind], voice: Voice) -> list[Line]:
    """ "a green cylinder to the right of a blue sphere with a red cube on top of it"."""
    a, b, c = (noun.indefinite() for noun in nouns)
    rest = f"{inverse(kinds[1], voice)} {b.text} with {a.text} {from_it(kinds[0], nouns[1], voice)}"
    return [bare(c.then(rest))]


def _chain_steps(nouns: list[Noun], kinds: list[RelationKind], voice: Voice) -> list[Line]:
    """Two sentences: the first pair, then the third as seen from the second."""
    a, b, c = (noun.indefinite() for noun in nouns)
    first = bare(a.then(f"{preposition(kinds[0], voice)} {b.text}"))
    alike = len({noun.group.kind for noun in nouns}) < 3
    known = nouns[1].definite(colour=alike)
    if voice.varies(0.4):
        return [first, Line(f"{known.text} {known.verb} {preposition(kinds[1], voice)} {c.text}")]
    return [first, Line(f"{c.text} {c.verb} {inverse(kinds[1], voice)} {known.text}")]


def _chain_set_off(nouns: list[Noun], kinds: list[RelationKind], voice: Voice) -> list[Line]:
    """ "a blue sphere with a red cube on top of it, to the left of a green cylinder"."""
    a, b, c = (noun.indefinite() for noun in nouns)
    rest = f"with {a.text} {from_it(kinds[0], nouns[1], voice)}, {preposition(kinds[1], voice)} {c.text}"
    return [bare(b.then(rest))]


def _chain_which(nouns: list[Noun], kinds: list[RelationKind], voice: Voice) -> list[Line]:
    """ "a red cube is on top of a blue sphere, which is to the left of a green cylinder"."""
    a, b, c = (noun.indefinite() for noun in nouns)
    who = "who" if nouns[1].person else "which"
    rest = f"{preposition(kinds[0], voice)} {b.text}, {who} {b.verb} {preposition(kinds[1], voice)} {c.text}"
    return [Line(a.then(f"{a.verb} {rest}").text)] if voice.varies(0.5) else [bare(a.then(rest))]


def _in_order(nouns: list[Noun], kinds: list[RelationKind], voice: Voice) -> list[Line]:
    """ "a cube, a sphere and a cone, from left to right"."""
    how, backwards = IN_LINE[kinds[0]]
    phrases = [noun.indefinite() for noun in (nouns[::-1] if backwards else nouns)]
    texts = listed([phrase.text for phrase in phrases], serial=voice.serial)
    if voice.varies(0.4) and not voice.terse:
        return [Line(f"{how} there {phrases[0].verb} {texts}")]
    return [Line(f"{texts}, {how}", True, phrases[0].plural, True)]
