"""Whose picture comes next: that of the highest priority, then of the owner who had least."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from darkroom.studio.serving.live import LiveJob

AGING = 20.0
"""Seconds of waiting that are worth one step of priority, so that no job starves."""
MOST = 10
"""Priorities go from minus this to this."""


@dataclass
class Fairness:
    """Keeps what each owner had, in seconds of the engine.

    An owner who comes begins no lower than the virtual time: absence earns nothing, and work that was done
    while nobody else was here is held against nobody (start-time fair queueing: Goyal, Vin and Cheng 1996).
    """

    had: dict[str, float] = field(default_factory=dict)

    def welcome(self, owner: str, others: Iterable[str]) -> None:
        """An owner gives work; ``others`` have some already."""
        self.had[owner] = max(self.had.get(owner, 0.0), self._virtual_time(others))

    def _virtual_time(self, present: Iterable[str]) -> float:
        """What the least served of those present had; where nobody is, the most that anyone ever had."""
        had = [self.had.get(one, 0.0) for one in present]
        return min(had) if had else max(self.had.values(), default=0.0)

    def charge(self, owner: str, seconds: float) -> None:
        """An owner had so much, or less where it is negative."""
        self.had[owner] = self.had.get(owner, 0.0) + seconds

    def order(self, jobs: Sequence[LiveJob], now: float) -> list[LiveJob]:
        """The jobs as they are to be served at a Unix time."""

        def rank(job: LiveJob) -> tuple[float, float, float]:
            return -urgency(job, now), self.had.get(job.entry.owner, 0.0), job.entry.created

        return sorted(jobs, key=rank)


def urgency(job: LiveJob, now: float) -> int:
    """Its priority, and one more for each ``AGING`` seconds that it waits."""
    waited = 0.0 if job.started is not None else max(now - job.entry.created, 0.0)
    return job.entry.priority + int(waited / AGING)
