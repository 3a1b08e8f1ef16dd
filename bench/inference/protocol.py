"""How the runner and its workers speak: one JSON object a line, over a worker's stdin and stdout.

A worker runs in the environment of the tool that it times, so this file needs the standard library alone.
Loaded, and with a first step taken, it says ``{"seconds": {stage: seconds}}``; then it answers:

- ``{"do": "step"}``: ``{"seconds": s}``, one step on the question that all workers share;
- ``{"do": "answer", "file": F}``: writes what the step gave to F as numpy's .npy, answers ``{"file": F}``;
- ``{"do": "memory"}``: ``{"start": GiB, "steps": GiB}``, the peaks until and since it was ready.

A worker sleeps while it waits. It ends when its stdin does.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import IO, Any, Protocol


class Worker(Protocol):
    """What a worker must be able to do; ``step`` may know better than a clock around it how long it took."""

    def load(self) -> None:
        """Read the model, as the tool's users do."""

    def prepare(self) -> None:
        """Convert or compile it."""

    def step(self) -> float | None:
        """One step; seconds, or None where the clock around it is right."""

    def answer(self) -> Any:
        """What a step gives, as a numpy array."""


def serve(worker: Worker, begun: float) -> None:
    """Answer the runner until it hangs up. ``begun`` is when the process began to import its tool."""
    answers = own_stdout()
    seconds = {"import": perf_counter() - begun}
    for stage in (worker.load, worker.prepare, worker.step):
        begun = perf_counter()
        stage()
        seconds[stage.__name__] = perf_counter() - begun
    start = peak_memory()
    forget_peak()
    print(json.dumps({"seconds": seconds}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(reply(worker, json.loads(line), start)), file=answers, flush=True)


def reply(worker: Worker, told: Mapping[str, Any], start: float) -> dict[str, Any]:
    if told["do"] == "step":
        begun = perf_counter()
        seconds = worker.step()
        return {"seconds": perf_counter() - begun if seconds is None else seconds}
    if told["do"] == "answer":
        import numpy as np

        np.save(told["file"], worker.answer())
        return {"file": told["file"]}
    return {"start": start, "steps": peak_memory()}


def own_stdout() -> IO[str]:
    """Stdout for the protocol alone: whatever a library prints goes to stderr from here on."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def peak_memory() -> float:
    """GiB that the process held at most since it began or since :func:`forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 2**20


def forget_peak() -> None:
    """Let the peak be what is held now."""
    Path("/proc/self/clear_refs").write_text("5")


class Rival:
    """A worker's process, from the runner's side; ``seconds`` are those of its start, and ``all`` of it."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        begun = perf_counter()
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                command, env=dict(environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )
        self.log = log
        self.seconds: dict[str, float] = self._hear()["seconds"]
        self.seconds["all"] = perf_counter() - begun

    def ask(self, do: str, **told: str) -> dict[str, Any]:
        """Tell the worker to do something, and wait for what it says."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **told}).encode() + b"\n")
        self.process.stdin.flush()
        return self._hear()

    def step(self) -> float:
        """Seconds of one step."""
        return float(self.ask("step")["seconds"])

    def close(self) -> None:
        """Hang up, and wait until the process is gone."""
        self.process.communicate()

    def _hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker ended with code {self.process.wait()}; see the end of {self.log}.")
        heard: dict[str, Any] = json.loads(line)
        return heard
