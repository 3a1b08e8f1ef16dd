"""How many rows one forward pass may hold, by what rows were measured to take of memory and of time."""

import math
import weakref
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

UNMEASURED = 2
"""Rows of the first pass of a group, by which it is measured."""
FASTER = 0.9
"""Twice as many rows are worth it where each then takes less than this share of what it took before."""
SAMPLES = 5
HOLDS = 400
"""How many passes, as full as they may be, what was found is good for."""


@dataclass
class Peak:
    """Bytes, the most at one time."""

    bytes: int = 0


class Counting(TorchDispatchMode):
    """Counts the memory of all that operations make, while it lives."""

    def __init__(self, peak: Peak) -> None:
        super().__init__()
        self._peak, self._now = peak, 0
        self._seen: set[int] = set()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if isinstance(tensor, Tensor) and tensor.layout == torch.strided:  # no packed weights, which stay
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        place, size = storage.data_ptr(), storage.nbytes()
        if place in self._seen or not size:
            return
        self._seen.add(place)
        self._now += size
        self._peak.bytes = max(self._peak.bytes, self._now)
        weakref.finalize(storage, self._gone, place, size)

    def _gone(self, place: int, size: int) -> None:
        self._seen.discard(place)
        self._now -= size


@contextmanager
def peak_of(device: torch.device) -> Iterator[Peak]:
    """The most memory that the block has beyond what was there when it began."""
    peak = Peak()
    if device.type != "cuda":
        with Counting(peak):
            yield peak
        return
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    yield peak
    peak.bytes = torch.cuda.max_memory_allocated(device) - before


@dataclass
class Worth:
    """How many rows are worth answering together, learnt by trying twice as many while that is faster a row.

    More would only let pictures wait for each other: one that is done sooner takes nothing from the others.
    What was found holds for a while, then half of it is tried again, and upwards from there: a machine that
    was busy with something else when it was timed would bind the service for good.
    """

    rows: int = UNMEASURED
    _before: float = math.inf
    _taken: list[float] = field(default_factory=list)
    _settled: bool = False

    def timed(self, rows: int, seconds: float) -> None:
        """A pass of so many rows took so long; the quickest of some counts, as machines are often busy."""
        if rows < self.rows:
            return
        self._taken.append(seconds / rows)
        if len(self._taken) >= (HOLDS if self._settled else SAMPLES):
            each, self._taken = min(self._taken), []
            self._decide(each)

    def _decide(self, each: float) -> None:
        """What to try next, by the seconds that a row took."""
        if self._settled:
            self._settled, self._before = False, math.inf
            self.rows = max(self.rows // 2, UNMEASURED)
        elif each > FASTER * self._before:
            self._settled, self.rows = True, self.rows // 2
        else:
            self._before, self.rows = each, 2 * self.rows


@dataclass
class Room:
    """Rows that a pass of each group may hold: at most ``rows``, ``bytes`` in all, and what is worth it.

    What is measured of memory is a row of the first pass; kernels' own scratch is not seen, so ``bytes`` must
    leave room for it.
    """

    rows: int
    bytes: int
    _found: dict[Hashable, int] = field(default_factory=dict)
    _worth: dict[Hashable, Worth] = field(default_factory=lambda: defaultdict(Worth))

    def known(self, group: Hashable) -> bool:
        """Whether a pass of the group was measured."""
        return group in self._found

    def most(self, group: Hashable) -> int:
        """The bound of a group."""
        return min(self._found.get(group, UNMEASURED), self._worth[group].rows, self.rows)

    def learn(self, group: Hashable, rows: int, peak: int) -> None:
        """A pass of so many rows took so much memory."""
        each = max(peak // rows, 1)
        self._found[group] = max(1, self.bytes // each)

    def timed(self, group: Hashable, rows: int, seconds: float) -> None:
        """A pass of so many rows took so long."""
        self._worth[group].timed(rows, seconds)

    def shrink(self, group: Hashable, rows: int) -> None:
        """A pass of so many rows found too little memory."""
        self._found[group] = max(1, rows // 2)
