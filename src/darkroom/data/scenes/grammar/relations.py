"""How one thing is said to stand to another: prepositions, their inverses, and places in the picture."""

from ..graph import RelationKind
from .nouns import Noun
from .voice import Voice

# Ordered from plain to fancy; what stands twice is said more often.
PREPOSITIONS: dict[RelationKind, tuple[str, ...]] = {
    "left of": ("to the left of", "on the left of", "left of", "to the left of", "on the left side of"),
    "right of": ("to the right of", "on the right of", "right of", "to the right of", "on the right side of"),
    "above": ("above", "above", "over", "above", "higher up than"),
    "below": ("below", "below", "under", "beneath", "underneath"),
    "on top of": (
        "on top of",
        "on top of",
        "on",
        "standing on",
        "resting on",
        "placed on top of",
        "sitting on",
    ),
    "in front of": ("in front of", "in front of", "in front of", "partly covering"),
    "behind": ("behind", "behind", "behind", "partly hidden behind"),
}
INVERSE: dict[RelationKind, RelationKind] = {
    "left of": "right of",
    "right of": "left of",
    "above": "below",
    "below": "above",
    "in front of": "behind",
    "behind": "in front of",
}
UNDER = ("under", "underneath", "beneath", "below", "supporting")
# Where something stands, seen from what has been named: "with a dog to its left".
FROM_IT: dict[RelationKind, tuple[str, ...]] = {
    "left of": ("to {its} left", "on {its} left", "on {its} left side"),
    "right of": ("to {its} right", "on {its} right", "on {its} right side"),
    "above": ("above {it}", "over {it}"),
    "below": ("below {it}", "under {it}", "beneath {it}"),
    "on top of": ("on top of {it}", "on top", "on {it}"),
    "in front of": ("in front of {it}", "in front"),
    "behind": ("behind {it}",),
}
# The same beside people, whose own left is not the viewer's.
FROM_PEOPLE: dict[RelationKind, tuple[str, ...]] = {
    "left of": ("on the left", "on the left side"),
    "right of": ("on the right", "on the right side"),
    "above": ("overhead", "above"),
    "below": ("below", "underneath"),
    "on top of": ("on top",),
    "in front of": ("in front",),
    "behind": ("behind",),
}
# Where two things are in the picture, the subject's place first.
PLACES: dict[RelationKind, tuple[tuple[str, str], ...]] = {
    "left of": (("on the left", "on the right"), ("on the left side", "on the right side")),
    "right of": (("on the right", "on the left"), ("on the right side", "on the left side")),
    "above": (("at the top", "at the bottom"), ("in the upper part", "in the lower part")),
    "below": (("at the bottom", "at the top"), ("in the lower part", "in the upper part")),
    "in front of": (("in the foreground", "in the background"), ("in front", "behind")),
    "behind": (("in the background", "in the foreground"), ("behind", "in front")),
}


def preposition(kind: RelationKind, voice: Voice) -> str:
    return voice.pick(PREPOSITIONS[kind])


def inverse(kind: RelationKind, voice: Voice) -> str:
    """The preposition that says the same from the other side."""
    return voice.pick(UNDER) if kind == "on top of" else preposition(INVERSE[kind], voice)


def from_it(kind: RelationKind, noun: Noun, voice: Voice) -> str:
    """Where something stands, seen from ``noun``: "to its left"."""
    if noun.person:
        return voice.pick(FROM_PEOPLE[kind])
    its, it = ("their", "them") if noun.plural else ("its", "it")
    return voice.pick(FROM_IT[kind]).format(its=its, it=it)
