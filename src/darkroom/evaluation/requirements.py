"""What a picture must show to be right, and whether it does.

The rules are those of GenEval (Ghosh et al. 2023, arXiv 2310.11513) where it has one: what is named must be
there, numbers must be exact, colours must sit on the right things, and positions are read from boxes.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from darkroom.data.scenes.catalogue import CATALOGUE
from darkroom.data.scenes.graph import Box, RelationKind

from .findings import Finding, Findings
from .geometry import ARRANGEMENTS, RELATIONS, held_by, worn_by

PEOPLE = tuple(name for name, kind in CATALOGUE.items() if kind.group == "person")


class Requirement(ABC):
    """Something that a picture must show."""

    @abstractmethod
    def faults(self, seen: Findings) -> Iterator[str]:
        """What is wrong with the picture, in words; nothing if the requirement is met."""


@dataclass(frozen=True)
class Group(Requirement):
    """``count`` things of one of ``kinds`` in ``colour`` (None: any): at least so many, or ``exactly``."""

    kinds: tuple[str, ...]
    colour: str | None = None
    count: int = 1
    exactly: bool = False

    def members(self, seen: Findings) -> list[Finding]:
        """The ``count`` surest of the things that are meant; fewer if there are fewer."""
        return seen.of(self.kinds, self.colour)[: self.count]

    def faults(self, seen: Findings) -> Iterator[str]:
        found = len(seen.of(self.kinds, self.colour))
        if found < self.count or (self.exactly and found > self.count):
            told = f"{self.count} {_name(self, self.count)}"
            yield f"{found} {_name(self, found)}, not {told}" if found else f"no {_name(self, self.count)}"

    def __str__(self) -> str:
        return f"the {_name(self, self.count)}"


@dataclass(frozen=True)
class Only(Requirement):
    """Whatever there is of these kinds is in one of these colours."""

    kinds: tuple[str, ...]
    colours: tuple[str, ...]

    def faults(self, seen: Findings) -> Iterator[str]:
        for finding in seen.of(self.kinds):
            if finding.colour not in self.colours:
                name = f"{finding.colour or 'untinted'} {finding.kind}"
                yield f"a {name}, not {' or '.join(self.colours)}"


@dataclass(frozen=True)
class Placed(Requirement):
    """Every one of ``subject`` stands in the relation to every one of ``object``."""

    subject: Group
    relation: RelationKind
    object: Group

    def faults(self, seen: Findings) -> Iterator[str]:
        holds = RELATIONS[self.relation]
        pairs = [(a, b) for a in self.subject.members(seen) for b in self.object.members(seen) if a is not b]
        if not pairs or not all(holds(a.box, b.box) for a, b in pairs):
            yield f"{self.subject} not {self.relation} {self.object}"


@dataclass(frozen=True)
class Worn(Requirement):
    """As many wear the ``clothing`` as there should be of it."""

    clothing: Group
    wearer: Group

    def faults(self, seen: Findings) -> Iterator[str]:
        heads = seen.of(self.wearer.kinds, self.wearer.colour)
        clothes = seen.of(self.clothing.kinds, self.clothing.colour)
        worn = sum(any(worn_by(c.box, head.box) for head in heads) for c in clothes)
        if worn < self.clothing.count:
            yield f"{self.clothing} not worn by {self.wearer}"


@dataclass(frozen=True)
class Held(Requirement):
    """As many of ``thing`` as there should be are at the hand of a ``holder``: no other person is nearer."""

    thing: Group
    holder: Group

    def faults(self, seen: Findings) -> Iterator[str]:
        if len(_hands(seen, self.holder, self.thing)) < self.thing.count:
            yield f"{self.thing} not held by {self.holder}"


@dataclass(frozen=True)
class AllHold(Requirement):
    """Each of the ``holders`` that are there holds a thing of one of ``kinds``."""

    holders: Group
    kinds: tuple[str, ...]

    def faults(self, seen: Findings) -> Iterator[str]:
        holding = {id(hand) for hand in _hands(seen, self.holders, Group(self.kinds))}
        empty = sum(id(one) not in holding for one in seen.of(self.holders.kinds, self.holders.colour))
        if empty:
            yield f"{empty} of the people without {_name(Group(self.kinds), 1)}"


@dataclass(frozen=True)
class Arranged(Requirement):
    """The things form a row, a column, a pyramid or a circle."""

    group: Group
    figure: str

    def faults(self, seen: Findings) -> Iterator[str]:
        boxes = [member.box for member in self.group.members(seen)]
        if len(boxes) < self.group.count or not ARRANGEMENTS[self.figure](boxes):
            yield f"{self.group} not in a {self.figure}"


@dataclass(frozen=True)
class Spelled(Requirement):
    """A sign says exactly this word."""

    word: str

    def faults(self, seen: Findings) -> Iterator[str]:
        words = [sign.word or "" for sign in seen.of(("sign",))]
        if self.word not in words:
            yield f"the sign says {words[0] or 'nothing'}, not {self.word}" if words else "no sign"


@dataclass(frozen=True)
class Around(Requirement):
    """The picture plays on this ground, or in this light."""

    ground: str | None = None
    light: str | None = None

    def faults(self, seen: Findings) -> Iterator[str]:
        for told, shown in ((self.ground, seen.ground), (self.light, seen.light)):
            if told not in (None, shown):
                yield f"{shown or 'nothing'} around, not {told}"


@dataclass(frozen=True)
class Verdict:
    """Whether a picture is right, and if not, why."""

    right: bool
    reasons: tuple[str, ...] = ()


def check(requirements: Sequence[Requirement], seen: Findings) -> Verdict:
    """Whether everything that is required is to be seen."""
    reasons = tuple(fault for requirement in requirements for fault in requirement.faults(seen))
    return Verdict(not reasons, reasons)


def _hands(seen: Findings, holder: Group, thing: Group) -> list[Finding]:
    """Who holds a thing that is meant, for each that a holder does: the nearest person counts."""
    people, found = seen.of({*PEOPLE, *holder.kinds}), []
    for one in seen.of(thing.kinds, thing.colour) if people else ():
        nearest = min(people, key=lambda person: _apart(one.box, person.box))
        if nearest.kind in holder.kinds and held_by(one.box, nearest.box):
            found.append(nearest)
    return found


def _apart(a: Box, b: Box) -> float:
    return (a.centre[0] - b.centre[0]) ** 2 + (a.centre[1] - b.centre[1]) ** 2


def _name(group: Group, count: int) -> str:
    singular = "person" if len(group.kinds) > 1 else group.kinds[0]
    noun = singular if count == 1 else CATALOGUE[singular].plural
    return f"{group.colour} {noun}" if group.colour else noun
