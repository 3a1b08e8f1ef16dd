"""What the examiner should answer for a true picture, and how far its answers are from that."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .examiner import CELLS, ExaminerConfig, Maps, Spots
from .findings import Findings

NARROWEST, WIDEST, SHARE = 0.7, 1.5, 0.1  # of a bump's standard deviation: in cells, and of the thing's size


class Things(NamedTuple):
    """The things of a batch, (N,) each: the numbers of picture, kind and colour; centre and size in cells."""

    picture: Tensor
    kind: Tensor
    colour: Tensor
    centre: Tensor  # (N, 2), x and y
    size: Tensor  # (N, 2), width and height


def rows_of(config: ExaminerConfig, pictures: Sequence[Findings]) -> np.ndarray:
    """The things of a batch as float32 (N, 7): picture, kind, colour, x, y, width, height in fractions.

    The last colour stands for none; a thing of a kind that the examiner does not know is left out.
    """
    kinds = {name: i for i, name in enumerate(config.kinds)}
    colours = {name: i for i, name in enumerate(config.colours)}
    rows = [
        (
            i,
            kinds[f.kind],
            colours.get(f.colour or "", len(colours)),
            *f.box.centre,
            f.box.width,
            f.box.height,
        )
        for i, seen in enumerate(pictures)
        for f in seen.things
        if f.kind in kinds
    ]
    return np.array(rows, np.float32).reshape(-1, 7)


def things_of(rows: Tensor) -> Things:
    """The inverse of `rows_of`, in cells."""
    picture, kind, colour = rows[:, :3].long().unbind(1)
    return Things(picture, kind, colour, rows[:, 3:5] * CELLS, rows[:, 5:7] * CELLS)


def cells_of(centre: Tensor) -> Tensor:
    """The cells (N, 2), column and row, in which points lie."""
    return centre.floor().clamp(0, CELLS - 1).long()


def bumps(things: Things, pictures: int, kinds: int) -> Tensor:
    """The heat (pictures, kinds, 32, 32) of things: a Gaussian about each centre, 1 in the centre's cell."""
    spread = (SHARE * things.size).clamp(NARROWEST, WIDEST)
    at = torch.arange(CELLS, device=spread.device) + 0.5
    x, y = (torch.exp(-(((at - things.centre[:, i, None]) / spread[:, i, None]) ** 2) / 2) for i in (0, 1))
    column, row = cells_of(things.centre).unbind(1)
    each = (y[:, :, None] * x[:, None, :]).flatten(1)  # (N, 1024)
    where = (things.picture * kinds + things.kind)[:, None].expand_as(each)
    heat = torch.zeros(pictures * kinds, CELLS**2, device=spread.device)
    heat = heat.scatter_reduce(0, where, each, "amax").view(pictures, kinds, CELLS, CELLS)
    heat[things.picture, things.kind, row, column] = 1.0
    return heat


def heat_loss(logits: Tensor, heat: Tensor) -> Tensor:
    """The focal loss that spares cells near a centre, per thing (CenterNet, equation 1)."""
    logits, centres = logits.float(), heat == 1
    p = logits.sigmoid()
    at = logits[centres]
    missed = (F.softplus(-at) * (1 - p[centres]).square()).sum()
    dreamt = (F.softplus(logits) * (p * (1 - heat).square()).square()).sum()
    return (missed + dreamt) / max(len(at), 1)


def nearby(things: Things, shift: Tensor) -> Spots:
    """Where to ask about things: ``shift`` (N, 2) cells beside their centres, but in the picture."""
    column, row = (cells_of(things.centre) + shift).clamp(0, CELLS - 1).unbind(1)
    return Spots(things.picture, things.kind, row, column)


def boxes_at(spots: Spots, things: Things) -> Tensor:
    """Boxes as spots tell them, (N, 4): the centre from the cell's middle, and the size's logarithms."""
    cell = torch.stack([spots.column, spots.row], dim=1) + 0.5
    return torch.cat([things.centre - cell, things.size.clamp(min=0.05).log()], dim=1)


def boxes_from(spots: Spots, boxes: Tensor) -> Tensor:
    """The inverse of `boxes_at`: left, top, right, bottom in fractions of the picture, (N, 4)."""
    cell = torch.stack([spots.column, spots.row], dim=1) + 0.5
    centre, half = cell + boxes[:, :2], boxes[:, 2:].clamp(max=5).exp() / 2
    return torch.cat([centre - half, centre + half], dim=1) / CELLS


def around_loss(maps: Maps, around: Tensor) -> Tensor:
    """Cross-entropy of ground and light; ``around`` (B, 2) has their numbers."""
    return F.cross_entropy(maps.ground, around[:, 0]) + F.cross_entropy(maps.light, around[:, 1])


def asked_loss(boxes: Tensor, colours: Tensor, spots: Spots, things: Things) -> tuple[Tensor, Tensor]:
    """The errors of boxes (Huber, in cells and logarithms) and of colours (cross-entropy)."""
    box = F.smooth_l1_loss(boxes, boxes_at(spots, things), beta=0.1)
    return box, F.cross_entropy(colours, things.colour)
