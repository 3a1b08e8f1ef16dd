"""The training loop: the same numbers whether it runs through or is killed and resumed a hundred times."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import which

import torch
from torch import nn

from darkroom.disk import whole
from darkroom.errors import DarkroomError
from darkroom.training import checkpoint as checkpoints
from darkroom.training.data import WorkerDied, batches
from darkroom.training.disk import explaining, locked
from darkroom.training.optimizer import Ending
from darkroom.training.progress import Journal, Report
from darkroom.training.recipe import Recipe
from darkroom.training.signals import StopRequest, stop_on_signals
from darkroom.training.state import State


class Stopped(DarkroomError):
    """The run was asked to stop and did so cleanly, with a checkpoint."""

    exit_code = 130  # what shells expect after Ctrl-C

    def __init__(self, who: str, step: int, path: Path) -> None:
        super().__init__(f"stopped by {who} at step {step}; the same command carries on from '{path}'.")
        self.step, self.path = step, path


def train(
    recipe: Recipe,
    out: Path,
    *,
    resume: bool = True,
    max_minutes: float | None = None,
    finish: int | None = None,
    quiet: bool = False,
) -> Path:
    """Train to the recipe's end, from the newest whole checkpoint in ``out`` if there is one.

    ``out`` receives ``checkpoints/``, ``sheets/`` and ``metrics.jsonl``. Returns the last checkpoint's
    folder. After ``max_minutes`` the run stops with a checkpoint; the same call carries on. ``finish`` ends a
    run early: from where it stands the learning rate falls over that many steps, then the run is over
    (checkpoints remember it, so a kill in between changes nothing). To finish a branch and keep the trunk,
    copy ``out`` first.

    Raises Stopped after Ctrl-C or SIGTERM, and DarkroomError for a checkpoint of another recipe, a full disk,
    a folder that another run uses, a worker that died, and a loss that stays without a finite value.
    """
    with locked(out), _steady(recipe), stop_on_signals() as stop:
        checkpoints.sweep(out / "checkpoints")
        state, last, notices = _begin(recipe, out)
        if last is not None and not resume:
            raise DarkroomError(f"'{last}' is there already; carry on from it, or choose another --out.")
        notices += _finish(state, finish)
        with Report(recipe.name, state.step, state.ending.end, recipe.batch_size, quiet=quiet) as report:
            for notice in notices:
                report.say(notice)
            if state.done and last is not None:
                return last
            return Run(state, out, report, stop, max_minutes).run()


class Run:
    """One process's share of a run."""

    def __init__(
        self, state: State, out: Path, report: Report, stop: StopRequest, max_minutes: float | None
    ) -> None:
        self.state, self.out, self.report, self.stop = state, out, report, stop
        self.recipe = state.recipe
        self.saved_at = time.monotonic()
        self.deadline = float("inf") if max_minutes is None else self.saved_at + 60 * max_minutes
        self.last: tuple[int, Path] | None = None

    def run(self) -> Path:
        """Step until the end, the deadline or a request to stop; returns the last checkpoint."""
        state = self.state
        with Journal(self.out / "metrics.jsonl", state.step) as journal:
            try:
                self._steps(journal)
            except WorkerDied:
                self.save()
                if not self.stop:  # what stops us may have reached the workers too
                    raise
        path = self.save()
        if self.stop and not state.done:
            raise Stopped(self.stop.name, state.step, path)
        return path

    def _steps(self, journal: Journal) -> None:
        state, recipe = self.state, self.recipe
        steps, pin = range(state.step, state.ending.end), state.device.type == "cuda"
        self._compile()
        with batches(recipe.batch, steps, workers=recipe.workers, pin=pin) as made:
            for batch in made:
                values = state.advance(batch)
                journal.write(state.step - 1, values)
                self.report.tell(state.step, values["loss"], state.skipped)
                if self._saves_are_due():
                    self.save()
                if recipe.sheet and (state.step % recipe.sheet_every == 0 or state.done):
                    self._draw()
                if time.monotonic() >= self.deadline and not state.done:
                    self.report.say("the time is up; the same command carries on.")
                    return
                if self.stop:
                    return

    def _saves_are_due(self) -> bool:
        late = time.monotonic() - self.saved_at >= 60 * self.recipe.checkpoint_minutes
        return late or self.state.step % self.recipe.checkpoint_every == 0

    def save(self) -> Path:
        """A checkpoint of this moment."""
        state = self.state
        if self.last is None or self.last[0] != state.step:
            folder = self.out / "checkpoints"
            path = checkpoints.save(folder, state.step, state.parts(), state.facts(), self.recipe.keep)
            self.last, self.saved_at = (state.step, path), time.monotonic()
            self.report.rest()
        return self.last[1]

    def _draw(self) -> None:
        """Sample pictures into ``sheets/``."""
        assert self.recipe.sheet is not None
        with torch.no_grad():
            picture = self.recipe.sheet(self.state.best, self.state.step)
        if picture is not None:
            path = self.out / "sheets" / f"step-{self.state.step:08d}.png"
            with explaining(path), whole(path) as file:
                picture.save(file, "PNG")
        self.report.rest()

    def _compile(self) -> None:
        """Compile what the recipe names in place, so that names in checkpoints stay as they are."""
        names = self.recipe.compile
        compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
        if names and self.state.device.type == "cpu" and which(compiler) is None:
            self.report.say(
                f"there is no C++ compiler ({compiler}): training runs uncompiled, two to three times slower."
            )
            names = ()
        for name in names:
            self.state.network.get_submodule(name).compile()


def weights(out: Path, recipe: Recipe, average: str | None = None) -> nn.Module:
    """The newest checkpoint's network in ``out``, in eval mode, without gradients, on the CPU.

    ``average`` names one of the recipe's averages; without it, the first one (the network where there is
    none). Raises DarkroomError where there is no whole checkpoint, or none that the recipe fits.
    """
    on_cpu = replace(recipe, device="cpu")
    with _steady(on_cpu):
        state, last, _ = _begin(on_cpu, out)
    if last is None:
        raise DarkroomError(f"there is no checkpoint in '{out}'; train first, or name another folder.")
    averages = {one.profile.name: one.network for one in state.averages}
    network = averages[average] if average else state.best
    return network.requires_grad_(False)


def _begin(recipe: Recipe, out: Path) -> tuple[State, Path | None, list[str]]:
    """The state to go on from, the checkpoint that it came from, and what the user should know about it."""
    folder = out / "checkpoints"
    found, damaged = checkpoints.newest(folder)
    if found is None and damaged:
        raise DarkroomError(
            f"no checkpoint in '{folder}' is whole; restore one, or choose another folder with --out."
        )
    state = State(recipe)
    if found is None:
        return state, None, []
    state.restore(found)
    notices = [f"passed over: {error}" for error in damaged]
    notices.append(f"carrying on from '{found.path}'.")
    then, now = found.facts["machine"], state.machine()
    if changed := [
        f"{name} was {then.get(name)}, is {now[name]}" for name in now if then.get(name) != now[name]
    ]:
        notices.append(f"numbers may differ in their last digits from here on: {', '.join(changed)}.")
    return state, found.path, notices


def _finish(state: State, steps: int | None) -> list[str]:
    """Begin to finish unless that is under way or over; says so where the end is not the recipe's."""
    left = state.recipe.optimizer.rate.left(state.step, state.ending)
    if steps is not None and state.ending == state.recipe.ending and left:
        state.ending = Ending(state.step, steps, left)
    if state.ending == state.recipe.ending:
        return []
    return [
        f"finishing: the rate falls from step {state.ending.start}, the run ends at step {state.ending.end}."
    ]


@contextmanager
def _steady(recipe: Recipe) -> Iterator[None]:
    """Torch as a run needs it, then as it was: its generators and, on a GPU, kernels that repeat."""
    if torch.device(recipe.device).type != "cuda":
        with torch.random.fork_rng(devices=[]):
            yield
        return
    if not torch.cuda.is_available():
        raise DarkroomError(
            f"{recipe.name} asks for a GPU, and torch finds none here; choose a preset for the CPU."
        )
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS does not repeat its sums
    repeats, precision = torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision()
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_float32_matmul_precision("high")
    try:
        with torch.random.fork_rng(devices=[torch.device(recipe.device).index or 0]):
            yield
    finally:
        torch.use_deterministic_algorithms(repeats)
        torch.set_float32_matmul_precision(precision)
