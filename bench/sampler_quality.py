"""Which sampler, how many steps: ``python -m bench.sampler_quality`` measures it on the starter.

Pictures of held-out prompts, made with each sampler at the same numbers of network calls, judged by the
examiner; and for samplers without noise of their own the distance to the picture that many steps converge to.
Prints the table of docs/samplers.md and draws docs/pictures/sampler-quality.png.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.measure import machine, table
from darkroom.data.scenes.skills import SKILLS
from darkroom.diffusion.samplers import SAMPLERS, Sampler
from darkroom.evaluation.command import world_of
from darkroom.evaluation.judge import load
from darkroom.evaluation.prompts import Prompt, skill_prompts
from darkroom.evaluation.requirements import check
from darkroom.studio.develop import develop_many
from darkroom.studio.request import Request

CALLS = (4, 8, 16, 32)
CONVERGED = ("heun", 64)
AT_ONCE = 32


@dataclass(frozen=True)
class Point:
    """One sampler at one number of calls: the part judged right, and the distance to convergence (of 255)."""

    sampler: Sampler
    calls: int
    right: float
    distance: float | None


def pictures(prompts: Sequence[Prompt], sampler: str, steps: int, precision: str) -> np.ndarray:
    """The first picture of each prompt: uint8 (N, H, W, 3)."""
    asked = [
        Request(prompt=p.text, seed=p.seeds[0], sampler=sampler, steps=steps, precision=precision)
        for p in prompts
    ]
    parts = [asked[i : i + AT_ONCE] for i in range(0, len(asked), AT_ONCE)]
    return np.stack([result.images[0] for part in parts for result in develop_many(part)])


def measure(names: Sequence[str], per_skill: int, precision: str, counts: Sequence[int]) -> list[Point]:
    """All samplers of ``names`` at all ``counts`` of calls."""
    judge = load()
    prompts = [prompt for skill in SKILLS for prompt in skill_prompts(world_of(judge), skill, per_skill, 1)]
    goal = pictures(prompts, *CONVERGED, precision).astype(float)
    points = []
    for sampler in (SAMPLERS[name] for name in names):
        for calls in counts:
            made = pictures(prompts, sampler.name, max(1, calls // sampler.calls), precision)
            seen = zip(prompts, judge.look(made), strict=True)
            right = sum(check(prompt.requirements, found).right for prompt, found in seen) / len(prompts)
            apart = None if sampler.stochastic else float(np.sqrt(np.square(made - goal).mean()))
            points.append(Point(sampler, calls, right, apart))
            print(f"{sampler.name} {calls} {right:.0%} {apart}", flush=True)
    return points


def draw(points: Sequence[Point], path: Path) -> None:
    """Both measures as curves over network calls."""
    figure = Figure(figsize=(12, 5))
    right, distance = figure.subplots(1, 2)
    for name in dict.fromkeys(point.sampler.name for point in points):
        own = [point for point in points if point.sampler.name == name]
        calls, label = [point.calls for point in own], own[0].sampler.label
        style = "--" if own[0].sampler.stochastic else "-"
        right.plot(calls, [100 * point.right for point in own], style, label=label, linewidth=1)
        if own[0].distance is not None:
            distance.plot(calls, [point.distance for point in own], style, label=label, linewidth=1)
    counts = sorted({point.calls for point in points})
    _label(right, "pictures that the examiner calls right, %", counts)
    _label(distance, "distance to the converged picture, of 255", counts)
    distance.set_yscale("log")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def _label(axis: Axes, what: str, counts: Sequence[int]) -> None:
    axis.set(xscale="log", xlabel="network calls", ylabel=what, xticks=counts, xticklabels=counts)
    axis.minorticks_off()
    axis.grid(alpha=0.3)
    axis.legend(fontsize=6, ncols=2)


def rows(points: Sequence[Point]) -> list[list[str]]:
    """A row a sampler: the part right, and the distance in brackets, at each number of calls."""
    by_name: dict[str, list[Point]] = {}
    for point in points:
        by_name.setdefault(point.sampler.label, []).append(point)
    return [[label, *(_cell(point) for point in own)] for label, own in by_name.items()]


def _cell(point: Point) -> str:
    return f"{point.right:.0%}" + ("" if point.distance is None else f" ({point.distance:.1f})")


def report(
    names: Sequence[str], per_skill: int, precision: str, path: Path, counts: Sequence[int] = CALLS
) -> str:
    """Measure, draw the curves into ``path``, and return the table."""
    points = measure(names or list(SAMPLERS), per_skill, precision, counts)
    draw(points, path)
    head = table(["sampler", *(f"{calls} calls" for calls in counts)], rows(points))
    return f"{machine()}; {per_skill} prompts a skill, {precision}.\n\n{head}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="Samplers; all where none is named.")
    parser.add_argument("--per-skill", type=int, default=8, help="Held-out prompts of each skill.")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures/sampler-quality.png"))
    chosen = parser.parse_args()
    print(report(chosen.names, chosen.per_skill, chosen.precision, chosen.out))


if __name__ == "__main__":
    main()
