"""The fixed prompts that models are measured on, with what their pictures must show."""

from dataclasses import dataclass

from darkroom.data.scenes.captions import exact_caption
from darkroom.data.scenes.chance import philox
from darkroom.data.scenes.graph import Scene
from darkroom.data.scenes.skills import evaluation_scenes
from darkroom.data.scenes.world import World

from .requirements import Requirement
from .told import HARD, requirements_of

SEED = 2026
HARD_SKILL = "hard"
HARD_PICTURES = 64
_SEEDS_APART = 1000
_CAPTION = 3  # the stream of draws for captions


@dataclass(frozen=True)
class Prompt:
    """A prompt, the seeds of its pictures and the scene it tells of, where it comes from one."""

    skill: str
    number: int
    text: str
    requirements: tuple[Requirement, ...]
    seeds: tuple[int, ...]
    scene: Scene | None = None


def _seeds(number: int, pictures: int) -> tuple[int, ...]:
    """Seeds that stay the same when there are to be more pictures a prompt."""
    return tuple(range(_SEEDS_APART * number, _SEEDS_APART * number + pictures))


def held_out_prompts(
    world: World, skill: str, prompts: int, pictures: int, strictly: bool = False
) -> list[Prompt]:
    """Exact captions of scenes that training never shows; a pure function of its arguments.

    The first prompts stay the same when there are to be more.
    """
    scenes = evaluation_scenes(world, skill, prompts, SEED)
    return [
        Prompt(
            skill,
            i,
            exact_caption(scene, philox(SEED, i, _CAPTION)),
            tuple(requirements_of(scene, strictly=strictly)),
            _seeds(i, pictures),
            scene,
        )
        for i, scene in enumerate(scenes)
    ]


def hard_prompts(pictures: int = HARD_PICTURES) -> list[Prompt]:
    """The eight prompts that the field's explainers call hard."""
    return [
        Prompt(HARD_SKILL, i, text, tuple(requirements), _seeds(i, pictures))
        for i, (text, requirements) in enumerate(HARD.items())
    ]
