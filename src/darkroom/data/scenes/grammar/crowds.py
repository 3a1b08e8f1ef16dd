"""People who all hold the same thing, one of them in a colour of its own."""

from collections import Counter

from ..graph import Scene
from .inflect import number, with_article
from .lines import Line
from .voice import Voice


def crowd(scene: Scene, voice: Voice) -> Line:
    """ "a red umbrella in a crowd of people holding black umbrellas"; exact voices may give the numbers."""
    held = [thing.held for thing in scene.things if thing.held]
    (usual, _), (odd, _) = Counter(colour for _, colour in held).most_common()
    kind, n = held[0][0], len(held)
    one = with_article(f"{voice.colour(str(odd))} {kind}")
    others = f"{voice.colour(str(usual))} {kind}s"
    counted = voice.counts and voice.tells(0.4)
    return voice.pick(_counted(one, others, n, voice) if counted else _open(one, others))


def _open(one: str, others: str) -> list[Line]:
    return [
        Line(f"{one} in a crowd of people holding {others}", True),
        Line(f"{one} in a crowd of people holding {others}", True),
        Line(f"{one} in a crowd of people with {others}", True),
        Line(f"{one} among people who hold {others}", True),
        Line(f"a crowd of people holding {others} and one person holding {one}", True),
        Line(f"one person holding {one} in a crowd of people with {others}", True),
        Line(f"a crowd of people with {others}, one of them with {one}", True, comma=True),
        Line(f"people with {others} and one person with {one}", True, True),
        Line(f"everyone in the crowd holds {others}, but one person holds {one}"),
    ]


def _counted(one: str, others: str, n: int, voice: Voice) -> list[Line]:
    total, rest = number(n, voice.digits), number(n - 1, voice.digits)
    return [
        Line(f"{one} in a crowd of {total} people, the other {rest} holding {others}", True, comma=True),
        Line(f"a crowd of {total} people, one holding {one} and {rest} holding {others}", True, comma=True),
        Line(f"{one} among {rest} {others}, held by {total} people", True, comma=True),
        Line(f"{total} people, one of them holding {one} and the others holding {others}", True, True, True),
        Line(f"one person with {one} among {rest} people with {others}", True),
        Line(f"{rest} people with {others} and one person with {one}", True, True),
    ]
