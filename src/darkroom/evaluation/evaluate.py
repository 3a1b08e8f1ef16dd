"""Measuring a model: its pictures of fixed prompts, each judged right or wrong."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from darkroom.data.scenes.chance import philox
from darkroom.data.scenes.graph import Scene
from darkroom.data.scenes.render import render
from darkroom.data.scenes.world import World

from .breaks import broken
from .examiner import SIDE
from .findings import Findings
from .journal import Journal, Key, Trust
from .prompts import HARD_PICTURES, SEED, Prompt, digest_of, hard_prompts, skill_prompts
from .requirements import check
from .told import requirements_of

SHOWN = 12  # prompts of each skill whose pictures go on its sheet
_BREAK = 4  # the stream of draws for faults

Generator = Callable[[Sequence[str], Sequence[int]], Sequence[np.ndarray]]
"""Prompts and seeds in, pictures uint8 (H, W, 3) out."""


class Looks(Protocol):
    """Whatever says what is in pictures: the examiner, or a test's oracle."""

    def look(self, pictures: np.ndarray) -> list[Findings]: ...


@dataclass(frozen=True)
class Plan:
    """What is to be measured: ``prompts`` a skill with ``pictures`` each, and the hard ones with theirs;
    ``strictly`` "a house" is one house in every skill.
    """

    world: World
    skills: tuple[str, ...]
    prompts: int = 100
    pictures: int = 4
    hard_pictures: int = HARD_PICTURES
    batch: int = 32
    strictly: bool = False

    def of(self, skill: str) -> list[Prompt]:
        return skill_prompts(self.world, skill, self.prompts, self.pictures, self.strictly)

    def hard(self) -> list[Prompt]:
        return hard_prompts(self.hard_pictures, self.strictly) if self.hard_pictures else []

    @property
    def total(self) -> int:
        """Pictures in all."""
        return len(self.skills) * self.prompts * self.pictures + len(self.hard()) * self.hard_pictures


def run(
    plan: Plan,
    generate: Generator,
    judge: Looks,
    journal: Journal,
    advance: Callable[[int], object] = int,
) -> None:
    """Make and judge every picture of which the journal has no verdict, or one of another prompt.

    ``advance`` hears of how many more are done.
    """
    for skill in plan.skills:
        prompts = plan.of(skill)
        scenes = [prompt.scene for prompt in prompts if prompt.scene]
        digest = digest_of([(prompt.requirements, prompt.scene) for prompt in prompts])
        if not journal.has(skill, digest):
            journal.add_trust(skill, measure_trust(scenes, plan.world, judge, plan.strictly), digest)
        _judge_all(prompts, plan.batch, generate, judge, journal, advance)
    _judge_all(plan.hard(), plan.batch, generate, judge, journal, advance)


def _judge_all(
    prompts: Sequence[Prompt],
    batch: int,
    generate: Generator,
    judge: Looks,
    journal: Journal,
    advance: Callable[[int], object],
) -> None:
    wanted: list[tuple[Key, Prompt]] = [((p.skill, p.number, seed), p) for p in prompts for seed in p.seeds]
    missing = [(key, prompt) for key, prompt in wanted if not journal.has(key, prompt.digest)]
    advance(len(wanted) - len(missing))
    for some in (missing[i : i + batch] for i in range(0, len(missing), batch)):
        pictures = generate([prompt.text for _, prompt in some], [key[2] for key, _ in some])
        found = judge.look(np.stack(pictures))
        for (key, prompt), picture, seen in zip(some, pictures, found, strict=True):
            if prompt.number < SHOWN:
                journal.keep(key, picture)
            journal.add(key, check(prompt.requirements, seen), prompt.digest)
        advance(len(some))


def measure_trust(scenes: Sequence[Scene], world: World, judge: Looks, strictly: bool = False) -> Trust:
    """How the examiner judges true pictures of the scenes, and pictures in which one thing is wrong."""
    wrong = [broken(scene, world, philox(SEED, i, _BREAK)) for i, scene in enumerate(scenes)]
    right = sum(_verdicts(scenes, scenes, judge, strictly))
    return Trust(len(scenes), right, len(scenes) - sum(_verdicts(scenes, wrong, judge, strictly)))


def _verdicts(told: Sequence[Scene], shown: Sequence[Scene], judge: Looks, strictly: bool) -> Iterator[bool]:
    found = judge.look(np.stack([render(scene, SIDE) for scene in shown]))
    wanted = (requirements_of(scene, strictly=strictly) for scene in told)
    return (check(required, seen).right for required, seen in zip(wanted, found, strict=True))
