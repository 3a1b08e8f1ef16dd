"""From the examiner's maps to what it found."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from darkroom.data.scenes.catalogue import CATALOGUE
from darkroom.data.scenes.graph import Box

from .examiner import ExaminerConfig, Spots
from .findings import Finding
from .geometry import iou
from .targets import boxes_from

FAINTEST = 0.1  # peaks below are not even looked at
SAME_KIND, SAME_PLACE = 0.5, 0.7  # of what two boxes share, beyond which they are one thing

Ask = Callable[[Spots], tuple[Tensor, Tensor]]


def peaks(heat: Tensor, faintest: float = FAINTEST) -> tuple[Spots, Tensor]:
    """Cells of heat (B, K, H, W) that none of their eight neighbours outdoes, and their scores (N,)."""
    highest = F.max_pool2d(heat, 3, stride=1, padding=1)
    spots = Spots(*((heat == highest) & (heat > faintest)).nonzero(as_tuple=True))
    return spots, heat[spots]


def decode(
    config: ExaminerConfig, heat: Tensor, ask: Ask, thresholds: Sequence[float]
) -> list[list[Finding]]:
    """What stands in each picture: peaks of heat (B, K, H, W) over their kind's threshold, one a thing."""
    spots, scores = peaks(heat, min([FAINTEST, *thresholds]))
    sure = scores > torch.tensor(thresholds, device=heat.device)[spots.kind]
    spots, scores = Spots(*(part[sure] for part in spots)), scores[sure]
    boxes, colours = ask(spots)
    found: list[list[Finding]] = [[] for _ in range(heat.shape[0])]
    names = (*config.colours, None)
    columns = (spots.picture, spots.kind, boxes_from(spots, boxes), colours.argmax(1), scores)
    for picture, kind, box, colour, score in zip(*(column.tolist() for column in columns), strict=True):
        found[picture].append(Finding(config.kinds[kind], Box(*box), names[colour], score))
    return [single(things) for things in found]


def single(things: Sequence[Finding]) -> list[Finding]:
    """The things without those that a surer one shows to be the same, the surest first."""
    kept: list[Finding] = []
    for thing in sorted(things, key=lambda f: -f.score):
        if not any(_same(thing, other) for other in kept):
            kept.append(thing)
    return kept


def _same(a: Finding, b: Finding) -> bool:
    if a.kind != b.kind and CATALOGUE[a.kind].wearable != CATALOGUE[b.kind].wearable:
        return False
    return iou(a.box, b.box) > (SAME_KIND if a.kind == b.kind else SAME_PLACE)
