"""A progress bar on a terminal; silence elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from darkroom.studio.request import Progress

Advance = Callable[["Progress"], None]


@contextmanager
def bar() -> Iterator[Advance]:
    """A bar on standard error that goes when the work is done; called with each step's Progress."""
    if not sys.stderr.isatty():
        yield lambda step: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("developing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=None)  # pulses while the model loads
        yield lambda step: shown.update(task, total=step.steps, completed=step.step)
