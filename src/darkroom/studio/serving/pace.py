"""How fast work goes here, and so how long a job will take. Nothing here imports torch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from darkroom.studio.request import Request
from darkroom.studio.serving.live import LiveJob, Shot

KEPT = 0.8
"""How much of what was known of a rate is kept when it is measured again."""
NOMINAL = 1.0
"""Seconds that a picture is taken to cost while nothing was measured."""


@dataclass
class Pace:
    """Seconds a row and pixel of each model and precision, as passes took lately, shared ones by share.

    ``defaults`` are what each model fills in, as far as it was seen.
    """

    rates: dict[tuple[str, str | None], float] = field(default_factory=dict)
    defaults: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def learn(self, request: Request, rows: int, seconds: float) -> None:
        """``rows`` of a filled request took so long in a pass."""
        key = request.model, request.precision
        rate = seconds / (rows * (request.width or 1) * (request.height or 1))
        self.rates[key] = KEPT * self.rates.get(key, rate) + (1 - KEPT) * rate

    def work(self, request: Request, questions: int | None = None) -> float | None:
        """Seconds of the engine for one picture, or for so many questions of it; None where unmeasured."""
        full = request.filled(**self.defaults.get(request.model, {}))
        rate = self.rates.get((full.model, full.precision))
        if rate is None:
            return None
        rows = 1 if full.cfg_scale == 1 else 2
        asked = (full.steps or 1) if questions is None else questions
        return rate * (full.width or 1) * (full.height or 1) * rows * asked

    def tell(self, jobs: Iterable[LiveJob]) -> None:
        """Say of each job, in the order in which they are served, how many seconds it has left.

        All pictures under way share the engine; those that wait come after them, one after the other.
        """
        listed = list(jobs)
        under_way = {job: [shot for shot in job.shots if shot.questions and not shot.made] for job in listed}
        ahead = sum(self._left(shot) or 0.0 for shots in under_way.values() for shot in shots)
        seats = sum(map(len, under_way.values()))
        for job in listed:
            waiting = [self._left(shot) for shot in job.waiting]
            if None in waiting:
                job.seconds_left = None
                continue
            ahead += sum(seconds or 0.0 for seconds in waiting)
            longest = max((self._left(shot) or 0.0 for shot in under_way[job]), default=0.0)
            job.seconds_left = ahead if waiting else longest * seats

    def _left(self, shot: Shot) -> float | None:
        request = shot.job.entry.requests[shot.request]
        return self.work(request, shot.questions - shot.answered if shot.questions else None)
