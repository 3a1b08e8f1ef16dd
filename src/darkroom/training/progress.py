"""What a run tells: a bar on a terminal, a line now and then elsewhere, and a journal for programs."""

import json
import time
from collections.abc import Mapping
from math import isfinite
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from darkroom.training.disk import explaining

LINE_EVERY = 30.0
"""Seconds between lines where there is no terminal."""

MEMORY = 0.98
"""How much of the past the shown loss and rate keep a step."""


class Smooth:
    """An exponential average without the pull of its start."""

    def __init__(self) -> None:
        self.total = self.weight = 0.0

    def add(self, value: float) -> None:
        """One more value; those that are not finite are left out."""
        if isfinite(value):
            self.total = MEMORY * self.total + (1 - MEMORY) * value
            self.weight = MEMORY * self.weight + (1 - MEMORY)

    @property
    def value(self) -> float:
        """The average; nan before the first value."""
        return self.total / self.weight if self.weight else float("nan")


class Report:
    """The display of one run, on standard error. ``quiet`` leaves only what :meth:`say` says."""

    def __init__(self, name: str, step: int, steps: int, batch_size: int, *, quiet: bool = False) -> None:
        self.name, self.step, self.steps, self.batch_size = name, step, steps, batch_size
        self.quiet = quiet
        self.console = Console(stderr=True, highlight=False)
        self.loss, self.seconds = Smooth(), Smooth()
        self.skipped = 0
        self.last_step: float | None = None
        self.last_line = time.monotonic()
        self.bar: Progress | None = None
        self.task = TaskID(0)
        if self.console.is_terminal and not quiet:
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"))
            self.bar = Progress(*columns, console=self.console)
            self.task = self.bar.add_task(name, total=steps, completed=step, told="starting")

    def __enter__(self) -> "Report":
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar:
            self.bar.stop()
        elif not self.quiet:
            self.say(f"{self.name}: {self.text()}")

    def say(self, text: str) -> None:
        """A line that matters."""
        self.console.print(text, markup=False, soft_wrap=True)

    def tell(self, step: int, loss: float, skipped: int) -> None:
        """A step is done. The first one's time does not count: workers and compilers start in it."""
        now = time.monotonic()
        if self.last_step is not None:
            self.seconds.add(now - self.last_step)
        self.loss.add(loss)
        self.step, self.skipped, self.last_step = step, skipped, now
        if self.bar:
            self.bar.update(self.task, completed=step, told=self.text())
        elif not self.quiet and now - self.last_line >= LINE_EVERY:
            self.last_line = now
            self.say(f"{self.name}: {self.text()}")

    def rest(self) -> None:
        """Leave the time since the last step (a sheet, a checkpoint) out of the rate."""
        self.last_step = time.monotonic()

    def text(self) -> str:
        """As in "step 120/1000, loss 0.431, 56.2 pictures/s, 0:12:31 left"."""
        told = [f"step {self.step}/{self.steps}"]
        if self.loss.weight:
            told.append(f"loss {self.loss.value:.4g}")
        if self.seconds.weight:
            told.append(f"{self.batch_size / self.seconds.value:.1f} pictures/s")
            told.append(f"{clock((self.steps - self.step) * self.seconds.value)} left")
        if self.skipped:
            told.append(f"{self.skipped} skipped")
        return ", ".join(told)


def clock(seconds: float) -> str:
    """Hours, minutes and seconds: 4:05:09."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


class Journal:
    """``metrics.jsonl``: one line a step; a value that is not finite is null.

    Opened at ``step``, it first drops the lines of the steps from there on, which a resumed run does again.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        with explaining(path):
            kept = [line for line in _lines(path) if _step(line) < step]
            part = path.with_suffix(".part")
            part.write_text("".join(kept))
            part.replace(path)
            self.file = path.open("a", buffering=1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add the line of a step."""
        finite = {name: value if isfinite(value) else None for name, value in values.items()}
        with explaining(self.path):
            self.file.write(json.dumps({"step": step, **finite}) + "\n")

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines(keepends=True) if path.exists() else []


def _step(line: str) -> float:
    """The step of a journal's line; infinity for one that was cut short."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
