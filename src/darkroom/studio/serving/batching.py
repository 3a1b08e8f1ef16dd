"""Continuous batching: one forward pass at a time, for all live pictures that can share it.

Pictures may join and leave between any two passes. Where they make several groups (other networks, sizes or
precisions), the group that had least of the engine's time goes next, so that pictures of a small model need
not wait for each step of a large one's more than once.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import torch
from torch import Tensor

from darkroom.networks.conditioning import Conditioning
from darkroom.studio.engine import Job, forward, group_of
from darkroom.studio.serving.room import Room, peak_of


@dataclass(eq=False)
class Seat:
    """A picture among those under way, with the answers to what it asks so far.

    Where a pass cannot hold all, the most urgent go first, then those with the lowest ``number``.
    """

    job: Job
    urgency: int = 0
    number: int = 0
    answers: list[Tensor | None] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rank(self) -> tuple[int, int]:
        """Its place among others, lowest first."""
        return -self.urgency, self.number

    def open(self) -> list[int]:
        """The numbers of its questions without an answer."""
        return [i for i, answer in enumerate(self.answers) if answer is None]


@dataclass(frozen=True)
class Pass:
    """A forward pass: its group, rows and seconds, whose question was answered whole, and what went wrong."""

    group: Hashable
    rows: int
    seconds: float
    answered: tuple[Seat, ...]
    failed: tuple[tuple[Seat, Exception], ...] = ()


Asked = list[tuple[Seat, int]]
"""Questions: whose, and which of its queries."""


class Batch:
    """The pictures under way; ``room`` says how many rows one pass may hold."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.seats: list[Seat] = []
        self._spent: dict[Hashable, float] = {}
        self._told: dict[Hashable, tuple[tuple[Conditioning, ...], Conditioning]] = {}

    @property
    def rows(self) -> int:
        """How many are asked for at once."""
        return sum(len(seat.answers) for seat in self.seats)

    def join(self, job: Job, urgency: int = 0, number: int = 0) -> Seat:
        """A picture joins at the next pass. Raises what its sampler or guide raises."""
        seat = Seat(job, urgency, number)
        job.start()
        if not job.done:
            seat.answers = [None] * len(job.queries)
            self.seats.append(seat)
        return seat

    def leave(self, seat: Seat) -> None:
        """A picture that nobody wants any more."""
        if seat in self.seats:
            self.seats.remove(seat)

    def turn(self) -> Pass | None:
        """One forward pass; None where nobody is left.

        Those whose result is there have left when it returns, and so have those that failed.
        """
        silent = self._answer_silent()
        if silent.answered or silent.failed:
            return silent
        groups = self._groups()
        if not groups:
            return None
        group = min(groups, key=self._spent.__getitem__)
        asked = self._chosen(group, groups[group])
        known, start = self.room.known(group), perf_counter()
        failed = self._forward(group, asked)
        answered, broken = self._advance(list(dict.fromkeys(seat for seat, _ in asked)))
        seconds = perf_counter() - start
        self._spent[group] += seconds
        if known and not failed:  # measuring memory takes long itself
            self.room.timed(group, len(asked), seconds)
        for seat, _ in asked:
            seat.seconds += seconds / len(asked)
        return Pass(group, len(asked), seconds, tuple(answered), (*failed, *broken))

    def _groups(self) -> dict[Hashable, Asked]:
        """All open questions by what they can share; a group that is new begins level with the others."""
        groups: dict[Hashable, Asked] = {}
        for seat in self.seats:
            for i in seat.open():
                groups.setdefault(group_of(seat.job, seat.job.queries[i]), []).append((seat, i))
        known = [self._spent[group] for group in groups if group in self._spent]
        level = min(known, default=0.0)
        self._spent = {group: max(self._spent.get(group, level), level) for group in groups}
        self._told = {group: told for group, told in self._told.items() if group in groups}
        return groups

    def _chosen(self, group: Hashable, asked: Asked) -> Asked:
        """As many as one pass may hold, those of the lowest rank."""
        most = self.room.most(group)
        return asked if len(asked) <= most else sorted(asked, key=lambda one: one[0].rank)[:most]

    def _forward(self, group: Hashable, asked: Asked) -> list[tuple[Seat, Exception]]:
        """Answer questions; where that fails, half by half, so that only the culprit suffers."""
        try:
            self._ask(group, asked)
            return []
        except Exception as error:
            if len(asked) == 1:
                self.leave(asked[0][0])
                return [(asked[0][0], error)]
            if lacks_memory(error):
                self.room.shrink(group, len(asked))
        middle = len(asked) // 2
        return self._forward(group, asked[:middle]) + self._forward(group, asked[middle:])

    def _ask(self, group: Hashable, asked: Asked) -> None:
        job, queries = asked[0][0].job, [seat.job.queries[i] for seat, i in asked]
        cond = self._stacked(group, tuple(query.cond for query in queries))
        network = queries[0].network or job.network
        if self.room.known(group):
            x0 = forward(job.process, network, queries, cond, job.precision)
        else:
            with peak_of(queries[0].x.device) as peak:
                x0 = forward(job.process, network, queries, cond, job.precision)
            self.room.learn(group, sum(len(query.x) for query in queries), peak.bytes)
        for (seat, i), answer in zip(asked, x0.split([len(query.x) for query in queries]), strict=True):
            seat.answers[i] = answer

    def _stacked(self, group: Hashable, conds: tuple[Conditioning, ...]) -> Conditioning:
        """The conditions of all rows, which are mostly those of the last pass."""
        known = self._told.get(group)
        if known is None or known[0] != conds:
            known = self._told[group] = conds, Conditioning.stack(conds)
        return known[1]

    def _answer_silent(self) -> Pass:
        """Guides that ask nothing are answered at once."""
        silent = [seat for seat in self.seats if not seat.answers]
        answered, failed = self._advance(silent)
        return Pass(None, 0, 0.0, tuple(answered), tuple(failed))

    def _advance(self, seats: Sequence[Seat]) -> tuple[list[Seat], list[tuple[Seat, Exception]]]:
        """Hand on the answers of those whose questions are all answered."""
        answered, failed = [], []
        for seat in seats:
            answers = [answer for answer in seat.answers if answer is not None]
            if seat not in self.seats or len(answers) < len(seat.answers):
                continue
            try:
                seat.job.answer(answers)
                answered.append(seat)
            except Exception as error:
                failed.append((seat, error))
                self.leave(seat)
                continue
            seat.answers = [None] * len(seat.job.queries)
            if seat.job.done:
                self.leave(seat)
        return answered, failed


def lacks_memory(error: Exception) -> bool:
    """Whether it is for want of memory that something failed."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)
