"""What verdicts come to: shares with their intervals, skill by skill."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .evaluate import Plan
from .journal import Journal, Trust
from .prompts import Prompt


@dataclass(frozen=True)
class Score:
    """How many of a skill's, or of one prompt's, pictures are right.

    ``held_out`` is the same of those prompts alone that ask for what training never shows.
    """

    name: str
    prompts: int
    pictures: int
    right: int
    trust: Trust | None = None
    held_out: "Score | None" = None

    @property
    def share(self) -> float:
        return self.right / self.pictures if self.pictures else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.right, self.pictures)

    def to_json(self) -> dict[str, Any]:
        low, high = self.interval
        facts = {"prompts": self.prompts, "pictures": self.pictures, "right": self.right}
        shares: dict[str, Any] = {"score": round(self.share, 4), "low": round(low, 4), "high": round(high, 4)}
        if self.trust:
            shares["examiner_on_true_pictures"] = round(self.trust.right / self.trust.scenes, 4)
            shares["examiner_on_wrong_pictures"] = round(self.trust.caught / self.trust.scenes, 4)
        if self.held_out:
            facts["skill_prompts"] = self.held_out.prompts
            shares["held_out_score"] = round(self.held_out.share, 4)
        return {"name": self.name, **facts, **shares}


def wilson(right: int, of: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95% interval of a share (Wilson 1927); (0, 1) where nothing was tried."""
    if not of:
        return 0.0, 1.0
    p, n = right / of, of
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class Report:
    """An evaluation's scores: by skill, and for each hard prompt."""

    model: str
    settings: dict[str, Any]
    skills: tuple[Score, ...]
    hard: tuple[Score, ...]

    @property
    def overall(self) -> float:
        """The mean of the skills' shares, as GenEval has it; 0 where none was measured."""
        return sum(score.share for score in self.skills) / len(self.skills) if self.skills else 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "settings": self.settings,
            "overall": round(self.overall, 4),
            "skills": [score.to_json() for score in self.skills],
            "hard": [score.to_json() for score in self.hard],
        }


def report(model: str, plan: Plan, journal: Journal) -> Report:
    """What the journal's verdicts come to."""
    skills = tuple(_of_skill(skill, plan.of(skill), journal) for skill in plan.skills)
    hard = tuple(_score(prompt.text, [prompt], journal) for prompt in plan.hard())
    return Report(model, dict(journal.settings), skills, hard)


def _of_skill(skill: str, prompts: Sequence[Prompt], journal: Journal) -> Score:
    held_out = _score(skill, [prompt for prompt in prompts if prompt.held_out], journal)
    return replace(_score(skill, prompts, journal), trust=journal.trust.get(skill), held_out=held_out)


def _score(name: str, prompts: Sequence[Prompt], journal: Journal) -> Score:
    keys = [(p.skill, p.number, seed) for p in prompts for seed in p.seeds]
    judged = [journal.verdicts[key] for key in keys if key in journal.verdicts]
    return Score(name, len(prompts), len(judged), sum(verdict.right for verdict in judged))
