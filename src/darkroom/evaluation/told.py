"""The requirements that follow from a scene whose exact caption was the prompt; the eight hard prompts."""

from collections import Counter
from collections.abc import Iterator

from darkroom.data.scenes.graph import Scene, Thing

from .requirements import (
    PEOPLE,
    AllHold,
    Around,
    Arranged,
    Group,
    Held,
    Only,
    Placed,
    Requirement,
    Spelled,
    Worn,
)

# Skills whose captions number or bind what they name; elsewhere more of a kind is no fault, as in GenEval,
# unless strictly: "a house" is one house.
EXACT = frozenset({"count", "colour", "mixed", "arrangement", "worn", "held", "crowd"})


def requirements_of(scene: Scene, counts: bool = True, strictly: bool = False) -> list[Requirement]:
    """What a picture must show for the scene's exact caption; grounds and lights are not judged.

    Unless the caption ``counts``, a crowd is of any number. ``strictly`` no more may be there than is named,
    whatever the skill.
    """
    if scene.skill == "crowd" and not counts:
        (usual, _), (odd, _) = Counter(t.held for t in scene.things if t.held).most_common()
        return _open_crowd(usual, odd)
    exactly = strictly or scene.skill in EXACT
    of_things = _things(scene, exactly)
    wanted: list[Requirement] = [*dict.fromkeys(of_things)]
    wanted += _no_other_colours(of_things) if exactly else []
    wanted += _placed(scene, of_things)
    wanted += _carried(scene, exactly)
    if scene.arrangement:
        wanted.append(Arranged(of_things[0], scene.arrangement))
    wanted += [Spelled(thing.word) for thing in scene.things if thing.word]
    return wanted


def _things(scene: Scene, exactly: bool) -> list[Group]:
    """The group that each thing is of; a crowd is of people, whoever they are."""
    if scene.skill == "crowd":
        return [Group(PEOPLE, None, len(scene.things), exactly)] * len(scene.things)
    counts = Counter((thing.kind, thing.colour) for thing in scene.things)
    return [Group((t.kind,), t.colour, counts[t.kind, t.colour], exactly) for t in scene.things]


def _no_other_colours(groups: list[Group]) -> Iterator[Only]:
    told: dict[tuple[str, ...], dict[str, None]] = {}
    for group in groups:
        if group.colour:
            told.setdefault(group.kinds, {})[group.colour] = None
    return (Only(kinds, tuple(colours)) for kinds, colours in told.items())


def _placed(scene: Scene, groups: list[Group]) -> list[Placed]:
    placed = [Placed(groups[r.subject], r.kind, groups[r.object]) for r in scene.relations]
    return list(dict.fromkeys(placed))


def _carried(scene: Scene, exactly: bool) -> Iterator[Requirement]:
    """What is worn and held: that it is there, and by whom."""
    held = Counter(thing.held for thing in scene.things if thing.held)
    for (kind, colour), count in held.items():
        yield Group((kind,), colour, count, exactly)
    if exactly:
        yield from _no_other_colours([Group((kind,), colour) for kind, colour in held])
    worn = Counter(name for thing in scene.things for name in thing.worn)
    for name, count in worn.items():
        yield Group((name,), None, count, exactly)
    if scene.skill == "crowd":
        crowd = Group(PEOPLE, None, len(scene.things))
        yield from (Held(Group((kind,), colour, count), crowd) for (kind, colour), count in held.items())
    else:
        yield from (link for thing in scene.things for link in _links(thing))


def _links(thing: Thing) -> Iterator[Requirement]:
    owner = Group((thing.kind,), thing.colour)
    for name in thing.worn:
        yield Worn(Group((name,)), owner)
    if thing.held:
        yield Held(Group((thing.held[0],), thing.held[1]), owner)


def _one(kind: str, exactly: bool, colour: str | None = None) -> Group:
    return Group((kind,), colour, 1, exactly)


def _apples(exactly: bool) -> list[Requirement]:
    red, green = (Group(("apple",), colour, n, exactly=True) for colour, n in (("red", 2), ("green", 1)))
    book = _one("book", exactly)
    places = [Placed(some, "left of", book) for some in (red, green)]
    return [red, green, Only(("apple",), ("red", "green")), book, *places]


def _solids(exactly: bool) -> list[Requirement]:
    told = ("cube", "red"), ("sphere", "blue"), ("cylinder", "green")
    cube, ball, tin = solids = [_one(kind, exactly, colour) for kind, colour in told]
    only = _no_other_colours(solids) if exactly else ()
    return [*solids, *only, Placed(cube, "on top of", ball), Placed(ball, "left of", tin)]


def _cat(exactly: bool) -> list[Requirement]:
    cat, glasses = _one("cat", exactly), _one("sunglasses", exactly)
    return [cat, glasses, Worn(glasses, cat), Around(ground="beach")]


def _book(exactly: bool) -> list[Requirement]:
    book, table = _one("book", exactly), _one("table", exactly)
    return [book, table, Placed(book, "on top of", table)]


def _cats() -> list[Requirement]:
    cats = Group(("cat",), None, 3, exactly=True)
    return [cats, Arranged(cats, "pyramid")]


def _umbrellas() -> list[Requirement]:
    return [*_open_crowd(("umbrella", "black"), ("umbrella", "red")), Around(light="rain")]


def _open_crowd(usual: tuple[str, str | None], odd: tuple[str, str | None]) -> list[Requirement]:
    """Three people or more, all holding a thing (kind, colour), but one of them an ``odd`` one."""
    people, kinds = Group(PEOPLE, None, 3), (usual[0],)
    one, others = Group(kinds, odd[1], 1, exactly=True), Group(kinds, usual[1], 2)
    only = Only(kinds, (str(odd[1]), str(usual[1])))
    return [people, one, others, only, Held(one, people), Held(others, people), AllHold(people, kinds)]


def hard(strictly: bool = False) -> dict[str, list[Requirement]]:
    """Prompts that the field's explainers call hard, and what their pictures must show.

    ``strictly`` no more may be there than is named, as in `requirements_of`; a crowd is of any number.
    """
    return {
        "three apples, two red and one green, on the left of a book": _apples(strictly),
        "a red cube on top of a blue sphere to the left of a green cylinder": _solids(strictly),
        "exactly five apples": [Group(("apple",), None, 5, exactly=True)],
        "a cat wearing sunglasses on a beach": _cat(strictly),
        "a book on top of a table": _book(strictly),
        "three cats in a pyramid formation": _cats(),
        "a red umbrella in a crowd of people holding black umbrellas in the rain": _umbrellas(),
        "a sign that says OPEN": [_one("sign", strictly), Spelled("OPEN")],
    }
