"""What belongs together in a sentence: like things in the same relations, and the links between them."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from ..catalogue import CATALOGUE, Kind
from ..graph import Box, RelationKind, Scene, Thing

Link = tuple[int, RelationKind, int]


@dataclass(frozen=True)
class Group:
    """Things of one kind that stand in the same relations and wear, hold and say the same."""

    kind: Kind
    things: tuple[Thing, ...]
    members: tuple[int, ...]

    @cached_property
    def colours(self) -> list[tuple[str | None, int]]:
        """(colour, how many), the commonest first."""
        return Counter(thing.colour for thing in self.things).most_common()

    @property
    def count(self) -> int:
        return len(self.things)

    @property
    def colour(self) -> str | None:
        """The one colour of all; None if they are unlike or have their own."""
        return self.colours[0][0] if len(self.colours) == 1 else None


def grouped(scene: Scene) -> list[Group]:
    """The scene's things in groups, in order of first appearance."""
    roles: list[list[tuple[str, int]]] = [[] for _ in scene.things]
    for relation in scene.relations:
        roles[relation.subject].append((relation.kind, relation.object))
        roles[relation.object].append(("of", relation.subject))
    found: dict[object, list[int]] = {}
    for i, thing in enumerate(scene.things):
        key = (thing.kind, tuple(roles[i]), thing.worn, thing.held, thing.word)
        found.setdefault(key, []).append(i)
    return [
        Group(CATALOGUE[scene.things[m[0]].kind], tuple(scene.things[i] for i in m), tuple(m))
        for m in found.values()
    ]


def links(scene: Scene, groups: list[Group]) -> list[Link]:
    """The scene's relations, between groups."""
    of = {member: g for g, group in enumerate(groups) for member in group.members}
    return list(dict.fromkeys((of[r.subject], r.kind, of[r.object]) for r in scene.relations))


def plain_side(first: Group, second: Group) -> RelationKind | None:
    """Where one group lies as seen from another: clear of it and mostly level with it, or None."""
    a, b = ([thing.box for thing in group.things] for group in (first, second))
    (ax, ay), (bx, by) = _middle(a), _middle(b)
    if abs(ay - by) < 0.5 * abs(ax - bx):
        if max(box.right for box in a) < min(box.left for box in b):
            return "left of"
        return "right of" if max(box.right for box in b) < min(box.left for box in a) else None
    if abs(ax - bx) < 0.5 * abs(ay - by):
        if max(box.bottom for box in a) < min(box.top for box in b):
            return "above"
        return "below" if max(box.bottom for box in b) < min(box.top for box in a) else None
    return None


def _middle(boxes: list[Box]) -> tuple[float, float]:
    x, y = zip(*(box.centre for box in boxes), strict=True)
    return sum(x) / len(x), sum(y) / len(y)
