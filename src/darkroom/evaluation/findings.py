"""What is seen in a picture: by the examiner, or by the one who painted it."""

from collections.abc import Collection
from dataclasses import dataclass

from darkroom.data.scenes.graph import Box, Scene
from darkroom.data.scenes.own_colours import called
from darkroom.data.scenes.render import parts


@dataclass(frozen=True)
class Finding:
    """One thing in a picture: ``colour`` is None where it has no one; ``word`` is what a sign says.

    ``score`` in (0, 1] is how sure the finder is.
    """

    kind: str
    box: Box
    colour: str | None = None
    score: float = 1.0
    word: str | None = None


@dataclass(frozen=True)
class Findings:
    """All that was found in one picture, and where it plays."""

    things: tuple[Finding, ...]
    ground: str | None = None
    light: str | None = None

    def of(self, kinds: Collection[str], colour: str | None = None) -> list[Finding]:
        """The things of any of these kinds, in this colour unless it is None; the surest first."""
        found = [f for f in self.things if f.kind in kinds and colour in (None, f.colour)]
        return sorted(found, key=lambda f: -f.score)


def truth(scene: Scene) -> Findings:
    """What a perfect examiner finds in a scene's picture."""
    things = tuple(Finding(p.kind, p.box, called(p.kind, p.colour), word=p.word) for p in parts(scene))
    return Findings(things, scene.ground, scene.light)
