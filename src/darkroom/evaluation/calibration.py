"""How sure the examiner must be of each kind, found on true pictures that it never trained on."""

from collections.abc import Sequence

import numpy as np

from darkroom.data.scenes.chance import philox
from darkroom.data.scenes.graph import Scene
from darkroom.data.scenes.render import render

from .examiner import SIDE
from .findings import Finding, truth
from .geometry import iou
from .judge import THRESHOLD, Judge
from .wear import worn_out

LOWEST, HIGHEST = 0.15, 0.7
FEW = 8.0  # pictures' worth of trust in the common threshold


def calibrated(judge: Judge, scenes: Sequence[Scene], seed: int = 0) -> Judge:
    """The examiner with the thresholds that err least on scenes, every second one of them worn out."""
    eager = Judge(judge.network, judge.reader, [LOWEST] * len(judge.config.kinds))
    pictures = [render(scene, SIDE) for scene in scenes]
    pictures[1::2] = [worn_out(p, philox(seed, i)) for i, p in enumerate(pictures[1::2])]
    right: dict[str, list[float]] = {kind: [] for kind in judge.config.kinds}
    wrong: dict[str, list[float]] = {kind: [] for kind in judge.config.kinds}
    for scene, seen in zip(scenes, eager.look(np.stack(pictures)), strict=True):
        there = list(truth(scene).things)
        for thing in seen.things:
            match = _match(thing, there)
            (right if match else wrong)[thing.kind].append(thing.score)
            if match:
                there.remove(match)
    best = [threshold(right[kind], wrong[kind]) for kind in judge.config.kinds]
    return Judge(judge.network, judge.reader, best)


def _match(thing: Finding, there: Sequence[Finding]) -> Finding | None:
    """The true thing of that kind in that place."""
    near = [other for other in there if other.kind == thing.kind and iou(other.box, thing.box) > 0.4]
    return max(near, key=lambda other: iou(other.box, thing.box), default=None)


def threshold(right: Sequence[float], wrong: Sequence[float]) -> float:
    """The score that parts right from wrong findings best; of many such, the one next to `THRESHOLD`."""
    options = np.linspace(LOWEST, HIGHEST, 56)
    missed = np.searchsorted(np.sort(right), options)
    dreamt = len(wrong) - np.searchsorted(np.sort(wrong), options)
    cost = missed + dreamt + FEW * (options - THRESHOLD) ** 2
    return float(options[np.argmin(cost)])
