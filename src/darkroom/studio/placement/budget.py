"""What of a model stays in memory, what is dropped after use, what comes block by block: a pure function.

A model is used in phases: its text encoders read the prompts, its network samples, its autoencoder decodes.
Given up first is what costs the least time: text encoders stay only while they read, then the autoencoder
and the network only while they work; then the largest part of a phase comes block by block, as many of its
blocks staying as there is room for. None of this changes a picture. Where the autoencoder alone cannot see a
picture whole, it works in tiles, and that does; so what stays makes room for the whole picture first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from darkroom.errors import DarkroomError

GIB = 2**30
TEXT, NETWORK, VAE = "text encoders", "network", "autoencoder"
PHASES = (TEXT, VAE, NETWORK)
"""In the order in which they are given up."""
WINDOW = 2
"""Blocks of a part that comes block by block: the one that computes and the one that comes next."""


def phase_of(part: str) -> str:
    """When a part of a model is used, by its name in folders of diffusers."""
    return TEXT if part.startswith("text_encoder") else VAE if part == "vae" else NETWORK


@dataclass(frozen=True)
class Size:
    """Bytes of a part: its repeated blocks in order, and the rest of it, which is needed all the time."""

    rest: int
    blocks: tuple[int, ...] = ()

    @property
    def total(self) -> int:
        return self.rest + sum(self.blocks)

    @property
    def least(self) -> int:
        """What it needs when all of its blocks come and go."""
        return self.rest + WINDOW * max(self.blocks, default=0)


@dataclass(frozen=True)
class Working:
    """Bytes that computing needs beside the weights, in each phase; ``tiles`` those of the autoencoder when
    it works in tiles of so many pixels a side.
    """

    phases: Mapping[str, int] = field(default_factory=dict)
    tiles: Mapping[int, int] = field(default_factory=dict)

    def of(self, phase: str, tile: int | None = None) -> int:
        """In this phase."""
        if phase == VAE and tile is not None:
            return self.tiles[tile]
        return self.phases.get(phase, 0)


@dataclass(frozen=True)
class Budget:
    """``nbytes`` for a model's weights and its computing. ``sparing`` keeps as little as works, whatever is
    there.
    """

    nbytes: float = inf
    sparing: bool = False


@dataclass(frozen=True)
class Plan:
    """``stays`` are the parts that are always in memory; the others are while their phase lasts, but for the
    blocks in ``streams`` (by part, counted from 0), which come when they are needed and go at once. ``tile``
    is the side of the autoencoder's tiles in pixels, None for the whole picture. ``peak`` is what it needs.
    """

    stays: frozenset[str]
    streams: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    tile: int | None = None
    peak: int = 0


def plan(sizes: Mapping[str, Size], working: Working, budget: Budget) -> Plan:
    """How a model of these parts can do with a budget.

    Raises DarkroomError where it cannot, and says how much it would take.
    """
    tile = tile_for(sizes, working, budget.nbytes)
    given_up = range(len(PHASES), len(PHASES) + 1) if budget.sparing else range(len(PHASES) + 1)
    for count in given_up:
        stays = frozenset(part for part in sizes if phase_of(part) not in PHASES[:count])
        peak = max(in_phase(sizes, stays, phase) + working.of(phase, tile) for phase in PHASES)
        if peak <= budget.nbytes and not budget.sparing:
            return Plan(stays, {}, tile, peak)
    streams: dict[str, tuple[int, ...]] = {}
    peak = 0
    for phase in PHASES:
        found = streamed(sizes, phase, budget.nbytes - working.of(phase, tile), budget.sparing)
        streams |= {part: blocks for part, blocks in found.items() if blocks}
        kept = sum(held(size, found.get(part, ())) for part, size in sizes.items() if phase_of(part) == phase)
        peak = max(peak, kept + working.of(phase, tile))
    if peak > budget.nbytes:
        raise too_small(sizes, working, budget)
    return Plan(frozenset(), streams, tile, peak)


def tile_for(sizes: Mapping[str, Size], working: Working, most: float) -> int | None:
    """The largest tiles that the autoencoder can work in, None where it can see a picture whole."""
    room = most - sum(size.least for part, size in sizes.items() if phase_of(part) == VAE)
    if working.of(VAE) <= room or not working.tiles:
        return None
    fitting = [tile for tile, needed in working.tiles.items() if needed <= room]
    return max(fitting, default=min(working.tiles))


def in_phase(sizes: Mapping[str, Size], stays: frozenset[str], phase: str) -> int:
    """Bytes of the weights that are in memory then."""
    return sum(size.total for part, size in sizes.items() if part in stays or phase_of(part) == phase)


def streamed(sizes: Mapping[str, Size], phase: str, room: float, sparing: bool) -> dict[str, tuple[int, ...]]:
    """The blocks that come and go of each part of a phase, the largest parts first, until the rest fits."""
    parts = {part: size for part, size in sizes.items() if phase_of(part) == phase}
    found: dict[str, tuple[int, ...]] = {}
    for part in sorted(parts, key=lambda part: -parts[part].total):
        others = sum(held(size, found.get(other, ())) for other, size in parts.items() if other != part)
        if sparing or others + parts[part].total > room:
            size = parts[part]
            found[part] = spread(size.blocks, 0 if sparing else room - others - size.least)
    return found


def spread(blocks: Sequence[int], room: float) -> tuple[int, ...]:
    """Which blocks come and go where ``room`` bytes of the others can stay: evenly spread, so that each has
    the time of those before it to come in.
    """
    share, going, done, passed = min(max(room, 0) / max(sum(blocks), 1), 1.0), [], 0, 0
    for i, size in enumerate(blocks):
        passed += size
        if done + size <= share * passed:
            done += size
        else:
            going.append(i)
    return tuple(going)


def held(size: Size, going: Sequence[int]) -> int:
    """Bytes of a part in memory when these blocks come and go."""
    if not going:
        return size.total
    staying = size.total - sum(size.blocks[i] for i in going)
    return staying + WINDOW * max(size.blocks[i] for i in going)


def too_small(sizes: Mapping[str, Size], working: Working, budget: Budget) -> DarkroomError:
    """The sentence for a model that cannot be run, with the least that it needs."""
    tile = min(working.tiles, default=None)
    least = max(
        sum(size.least for part, size in sizes.items() if phase_of(part) == phase) + working.of(phase, tile)
        for phase in PHASES
    )
    return DarkroomError(
        f"this picture needs {least / GIB:.1f} GiB of memory and {max(budget.nbytes, 0) / GIB:.1f} GiB are "
        "free; close other programs, make it smaller or fewer at a time, or choose a smaller model."
    )
