"""What each way to save time saves and costs, beside taking fewer steps: ``python -m bench.options``.

Pictures of held-out prompts by the starter: how often the examiner calls them right, how far they are from
the picture that many guided steps converge to, and how long one takes. Prints a table of
docs/performance.md.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from bench.measure import alternate, machine, median, table
from darkroom.data.scenes.skills import SKILLS
from darkroom.evaluation.command import world_of
from darkroom.evaluation.judge import load
from darkroom.evaluation.prompts import skill_prompts
from darkroom.evaluation.requirements import check
from darkroom.studio.develop import develop, develop_many
from darkroom.studio.placement.precision import default_precision
from darkroom.studio.request import Request

PLAIN = 20
"""Steps of the picture that everything is compared with."""
CONVERGED = {"sampler": "heun", "steps": 64}
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    f"{PLAIN} steps": {},
    "16 steps, the default": {"steps": 16},
    **{f"{steps} steps": {"steps": steps} for steps in (12, 8, 6, 4)},
    "guided below noise / signal 5": {"cfg_interval": (0.0, 5.0)},
    "guided above noise / signal 0.5": {"cfg_interval": (0.5, 1e6)},
    "guided from 0.3 to 5": {"cfg_interval": (0.3, 5.0)},
    "not guided": {"cfg_scale": 1.0},
    "inner blocks every 2nd step": {"reuse": 2},
    "inner blocks every 3rd step": {"reuse": 3},
    "inner blocks every 4th step": {"reuse": 4},
    "int8": {"precision": "int8"},
    "12 steps, guided from 0.3 to 5": {"steps": 12, "cfg_interval": (0.3, 5.0)},
    "12 steps, int8": {"steps": 12, "precision": "int8"},
}
AT_ONCE = 28


@dataclass(frozen=True)
class Found:
    """Of one option: the part judged right, the median distance to convergence (of 255), seconds."""

    right: float
    distance: float
    alone: float
    together: float


def pictures(requests: Sequence[Request], settings: Mapping[str, Any]) -> np.ndarray:
    """The picture of each request so changed: uint8 (N, H, W, 3)."""
    asked = [replace(request, **settings) for request in requests]
    parts = [asked[i : i + AT_ONCE] for i in range(0, len(asked), AT_ONCE)]
    return np.stack([result.images[0] for part in parts for result in develop_many(part)])


def seconds(rounds: int, count: int) -> dict[str, float]:
    """Of one picture, when ``count`` are made together; all options in turn."""
    request = Request(prompt="two red apples to the left of a book", seed=1, steps=PLAIN, count=count)
    actions = {name: partial(develop, replace(request, **told)) for name, told in OPTIONS.items()}
    return {name: median(taken) / count for name, taken in alternate(actions, rounds).items()}


def measure(per_skill: int, rounds: int) -> dict[str, Found]:
    """All options."""
    alone, together = seconds(rounds, 1), seconds(rounds, 8)
    judge = load()
    prompts = [p for skill in SKILLS for p in skill_prompts(world_of(judge), skill, per_skill, 1)]
    requests = [Request(prompt=p.text, seed=p.seeds[0], steps=PLAIN) for p in prompts]
    goal = pictures(requests, CONVERGED).astype(float)
    found = {}
    for name, settings in OPTIONS.items():
        made = pictures(requests, settings)
        seen = zip(prompts, judge.look(made), strict=True)
        right = sum(check(prompt.requirements, one).right for prompt, one in seen) / len(prompts)
        apart = np.sqrt(np.square(made - goal).mean(axis=(1, 2, 3)))
        found[name] = Found(right, float(np.median(apart)), alone[name], together[name])
        print(name, found[name], flush=True)
    return found


def rows(found: Mapping[str, Found]) -> list[list[str]]:
    """A row an option; times as ratios to the plain one's."""
    plain = found[f"{PLAIN} steps"]
    return [
        [
            name,
            f"{plain.alone / one.alone:.2f}",
            f"{plain.together / one.together:.2f}",
            f"{one.distance:.1f}",
            f"{one.right:.1%}",
        ]
        for name, one in found.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--per-skill", type=int, default=20, help="Held-out prompts of each skill.")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    found = measure(chosen.per_skill, chosen.rounds)
    plain = found[f"{PLAIN} steps"]
    print(f"\n{machine()}; {default_precision()}; {chosen.per_skill} prompts a skill; guidance 3.")
    print(f"{PLAIN} steps take {plain.alone:.2f} s alone and {plain.together:.2f} s a picture of eight.\n")
    head = ["", "times faster alone", "of eight", "distance to convergence, of 255", "right"]
    print(table(head, rows(found)))


if __name__ == "__main__":
    main()
