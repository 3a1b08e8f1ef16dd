"""The training loop: the same numbers whether it runs through or is killed and resumed a hundred times."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from darkroom.errors import DarkroomError
from darkroom.training import checkpoint as checkpoints
from darkroom.training.checkpoint import Checkpoint
from darkroom.training.data import WorkerDied, batches
from darkroom.training.disk import explaining, locked
from darkroom.training.optimizer import Ending
from darkroom.training.progress import Journal, Report
from darkroom.training.recipe import Recipe
from darkroom.training.signals import StopRequest, stop_on_signals
from darkroom.training.state import State


class Stopped(DarkroomError):
    """The run was asked to stop and did so cleanly, with a checkpoint."""

    def __init__(self, who: str, step: int, path: Path) -> None:
        super().__init__(
            f"stopped by {who} at step {step}, saved in '{path}'; the same command carries on from there."
        )
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
    """Train to the recipe's end, from the newest whole checkpoint in ``out`` where there is one.

    ``out`` receives ``checkpoints/``, ``sheets/`` and ``metrics.jsonl``. Returns the folder of the last checkpoint.
    After ``max_minutes`` the run stops with a checkpoint; the same call carries on. ``finish`` ends a run early:
    from where it stands, the learning rate falls over that many steps, and the run is over (a kill in between
    changes nothing: checkpoints remember it). To finish a branch and keep the trunk, copy ``out`` first.

    Raises Stopped after Ctrl-C or SIGTERM, and DarkroomError for a checkpoint that another recipe made, a full disk,
    a folder that another run uses, a batch worker that died, and a loss that stays without a finite value.
    """
    with locked(out), _steady(recipe), stop_on_signals() as stop:
        state, found, notices = _begin(recipe, out, resume)
        if finish is not None and state.ending == recipe.ending:
            state.ending = Ending(state.step, finish)
        for name in recipe.compile:
            state.network.get_submodule(name).compile()
        steps = (state.step, state.ending.end)
        with Report(recipe.name, *steps, recipe.batch_size, quiet=quiet) as report:
            for notice in notices:
                report.say(notice)
            if state.done and found is not None:
                return found.path
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

    def run(self) -> Path:
        """Step until the end, the deadline or a request to stop; returns the last checkpoint."""
        state, recipe = self.state, self.recipe
        steps, pin = range(state.step, state.ending.end), state.device.type == "cuda"
        with (
            Journal(self.out / "metrics.jsonl", state.step) as journal,
            batches(recipe.batch, steps, workers=recipe.workers, pin=pin) as made,
        ):
            try:
                for batch in made:
                    values = state.advance(batch)
                    journal.write(state.step - 1, values)
                    self.report.tell(state.step, values["loss"], state.skipped)
                    if self._after_step():
                        break
            except WorkerDied:
                self.save()
                raise
        path = self.save()
        if self.stop:
            raise Stopped(self.stop.name, state.step, path)
        return path

    def _after_step(self) -> bool:
        """Save and draw what is due; True when it is time to end."""
        state, recipe, now = self.state, self.recipe, time.monotonic()
        if self.stop or now >= self.deadline:
            return True
        late = now - self.saved_at >= 60 * recipe.checkpoint_minutes
        if not state.done and (late or state.step % recipe.checkpoint_every == 0):
            self.save()
        if recipe.sheet and (state.step % recipe.sheet_every == 0 or state.done):
            self._draw(recipe.sheet)
        self.report.rest()
        return False

    def save(self) -> Path:
        """A checkpoint of this moment."""
        self.saved_at = time.monotonic()
        state = self.state
        return checkpoints.save(
            self.out / "checkpoints", state.step, state.parts(), state.facts(), self.recipe.keep
        )

    def _draw(self, sheet: Callable[[nn.Module, int], object]) -> None:
        """Sample pictures into ``sheets/``."""
        state = self.state
        network = state.averages[0].network if state.averages else state.network.eval()
        with torch.no_grad():
            picture = sheet(network, state.step)
        state.network.train()
        if picture is not None:
            path = self.out / "sheets" / f"step-{state.step:08d}.png"
            with explaining(path):
                path.parent.mkdir(exist_ok=True)
                picture.save(path)  # type: ignore[attr-defined]


def weights(out: Path, recipe: Recipe, average: str | None = None) -> nn.Module:
    """The network of the newest checkpoint of ``out``, in eval mode on the CPU.

    ``average`` names one of the recipe's averages; without it, the first one (the raw weights where there is none).
    Raises DarkroomError where there is no whole checkpoint, or none that the recipe fits.
    """
    found, _ = checkpoints.newest(out / "checkpoints")
    if found is None:
        raise DarkroomError(f"there is no whole checkpoint in '{out}'; train first, or name another folder.")
    state = State(recipe)
    state.restore(found)
    networks = {one.profile.name: one.network for one in state.averages} or {"network": state.network}
    network = networks[average] if average else next(iter(networks.values()))
    return network.eval().requires_grad_(False)


def _begin(recipe: Recipe, out: Path, resume: bool) -> tuple[State, Checkpoint | None, list[str]]:
    """The state to go on from, the checkpoint that it came from, and what the user should know about it."""
    folder = out / "checkpoints"
    checkpoints.sweep(folder)
    found, damaged = checkpoints.newest(folder)
    notices = [f"skipped {error}" for error in damaged]
    if found is None and damaged:
        raise DarkroomError(
            f"every checkpoint in '{folder}' is damaged; restore one, or choose another folder with --out."
        )
    if found is not None and not resume:
        raise DarkroomError(
            f"'{out}' holds a run at step {found.step}; carry on with it, or choose another folder with --out."
        )
    state = State(recipe)
    if found is not None:
        state.restore(found)
        notices.append(f"carrying on from step {found.step} ('{found.path}')")
    return state, found, notices


@contextmanager
def _steady(recipe: Recipe) -> Iterator[None]:
    """Torch as a run needs it, and afterwards as it was: generators, and on a GPU, kernels that repeat their numbers."""
    cuda = recipe.device.startswith("cuda")
    if not cuda:
        with torch.random.fork_rng(devices=[]):
            yield
        return
    os.environ.setdefault(
        "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
    )  # cuBLAS repeats its sums only with a fixed workspace
    before = torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision()
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_float32_matmul_precision("high")
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.set_float32_matmul_precision(before[1])
