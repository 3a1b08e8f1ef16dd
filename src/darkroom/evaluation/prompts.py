"""The fixed prompts that models are measured on, with what their pictures must show."""

from dataclasses import dataclass
from hashlib import sha256

from darkroom.data.scenes.captions import exact_caption
from darkroom.data.scenes.chance import philox
from darkroom.data.scenes.graph import Scene
from darkroom.data.scenes.heldout import is_held_out
from darkroom.data.scenes.skills import evaluation_scenes
from darkroom.data.scenes.world import World

from .requirements import Requirement
from .told import hard, requirements_of

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

    @property
    def digest(self) -> str:
        """Of what is told and required: a verdict holds for no other prompt."""
        return digest_of((self.text, self.requirements))

    @property
    def held_out(self) -> bool:
        """Whether it asks for a combination that training never shows."""
        return self.scene is not None and is_held_out(self.scene)


def digest_of(plain: object) -> str:
    """The SHA-256, in hex, of plain data as Python writes it."""
    return sha256(repr(plain).encode()).hexdigest()


def _seeds(number: int, pictures: int) -> tuple[int, ...]:
    """Seeds that stay the same when there are to be more pictures a prompt."""
    return tuple(range(_SEEDS_APART * number, _SEEDS_APART * number + pictures))


def skill_prompts(
    world: World, skill: str, prompts: int, pictures: int, strictly: bool = False
) -> list[Prompt]:
    """Exact captions of scenes that are drawn to measure a skill; a pure function of its arguments.

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


def hard_prompts(pictures: int = HARD_PICTURES, strictly: bool = False) -> list[Prompt]:
    """The eight prompts that the field's explainers call hard; ``strictly`` "a cat" is one cat."""
    return [
        Prompt(HARD_SKILL, i, text, tuple(requirements), _seeds(i, pictures))
        for i, (text, requirements) in enumerate(hard(strictly).items())
    ]
