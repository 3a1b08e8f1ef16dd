"""How busy the engine was lately. Nothing here imports torch."""

from collections import deque
from time import monotonic

LATELY = 60.0
"""Seconds."""
KEPT = 0.9
"""How much of the mean of rows each pass keeps."""


class Meter:
    """Counts rows and pictures; the engine's thread tells, others read."""

    def __init__(self) -> None:
        self.rows = 0.0
        self._pictures: deque[float] = deque(maxlen=10_000)

    def passed(self, rows: int) -> None:
        """A pass of so many rows."""
        if rows:
            self.rows = KEPT * self.rows + (1 - KEPT) * rows if self.rows else float(rows)

    def finished(self) -> None:
        """A picture is done."""
        self._pictures.append(monotonic())

    def pictures(self) -> int:
        """How many were done in the last minute."""
        since = monotonic() - LATELY
        return sum(time >= since for time in list(self._pictures))
