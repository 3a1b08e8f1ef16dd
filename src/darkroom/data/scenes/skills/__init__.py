"""What scenes teach: each skill is a function of a generator and a world that draws one true scene."""

from collections.abc import Callable

import numpy as np

from ....errors import UnknownName
from ..chance import philox, weighted
from ..graph import Scene
from ..heldout import combinations_of, is_held_out, kinds_shown
from ..layout import DoesNotFit
from ..world import World
from .people import crowd, held, worn
from .plain import arrangement, colour, count, mixed, one, two, word
from .relations import depth, position, stack, three

Skill = Callable[[np.random.Generator, World], Scene]

SKILLS: dict[str, Skill] = {
    skill.__name__: skill
    for skill in (
        one,
        two,
        count,
        colour,
        position,
        stack,
        depth,
        three,
        mixed,
        arrangement,
        worn,
        held,
        crowd,
        word,
    )
}
_EVALUATION_STREAM = 2
_TRIES = 10_000


def draw(rng: np.random.Generator, world: World, skill: str) -> Scene:
    """A scene of a skill, whether or not training may show it; UnknownName if there is no such skill."""
    if skill not in SKILLS:
        raise UnknownName("skill", skill, SKILLS)
    while True:
        try:
            return SKILLS[skill](rng, world)
        except DoesNotFit:
            continue


def sample_scene(rng: np.random.Generator, world: World, skill: str | None = None) -> Scene:
    """A scene of a skill, or of one drawn by the world's weights; without what the world holds out."""
    skill = skill or weighted(rng, world.skills)
    while True:
        scene = draw(rng, world, skill)
        if not (world.holds_out and is_held_out(scene)):
            return scene


def scene_about(rng: np.random.Generator, world: World, kind: str) -> Scene:
    """A scene as `sample_scene` draws them whose first thing is of a kind, wears it or holds it.

    So a group is of that kind, not what stands beside it. The kind is one that the world's skills show so.
    """
    while kind not in kinds_shown((scene := sample_scene(rng, world)).things[:1]):
        pass
    return scene


def evaluation_scenes(world: World, skill: str, n: int, seed: int = 0) -> list[Scene]:
    """``n`` scenes to measure a skill by; pure in (world, skill, n, seed).

    Training never shows their combinations. Every second scene may be one in which nothing can be held out
    (six bananas), where the skill has such scenes; of those training may show the like.
    """
    rng = philox(seed, sorted(SKILLS).index(skill), _EVALUATION_STREAM)
    return [_unseen(rng, world, skill, fresh=i % 2 == 1) for i in range(n)]


def _unseen(rng: np.random.Generator, world: World, skill: str, fresh: bool) -> Scene:
    for _ in range(_TRIES):
        scene = draw(rng, world, skill)
        if is_held_out(scene) or (fresh and not any(combinations_of(scene))):
            return scene
    raise ValueError(
        f"this world holds out nothing of the skill {skill!r}; give it more kinds, colours or words"
    )
