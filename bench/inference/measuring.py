"""Starts workers, asks them in turn, and keeps what was measured as JSON."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench.inference.arithmetic import operations, rates
from bench.inference.protocol import Rival
from bench.inference.tools import GROUPS, OURS, PICTURES, TOOLS, start
from bench.measure import machine

SPARE = 1.5
"""GiB."""
REFERENCE = "diffusers"
"""What answers are compared with; pictures have their own."""


def starts(folder: Path, names: Sequence[str], rows: Sequence[int], threads: int) -> None:
    """Seconds and memory of each tool's start, without what it keeps on disk and with it, one at a time."""
    for name in names:
        shutil.rmtree(folder / "cache" / name, ignore_errors=True)
        for count in rows:
            found: dict[str, Any] = {}
            for turn in ("cold", "warm"):
                rival = start(name, TOOLS[name], folder, count, threads)
                found[turn] = rival.seconds
                compared = {"error": error(folder, name, rival, count, threads)}
                found |= compared | {"memory": rival.ask("memory"), "alone": rival.step()}
                rival.close()
            keep(folder, f"starts/{count}/{name}", found)
            print(name, count, found, flush=True)


def rounds(folder: Path, names: Sequence[str], rows: Sequence[int], threads: int, count: int) -> None:
    """Seconds of a step, a group of tools with Darkroom at a time, as all together do not fit memory."""
    for asked in rows:
        for group in GROUPS:
            if others := [name for name in group if name in names and name != OURS]:
                together(folder, [OURS, *others], asked, threads, count)
    keep(folder, "machine", machine())


def together(folder: Path, names: Sequence[str], rows: int, threads: int, count: int) -> None:
    """Seconds of a step, each tool once a round, and Darkroom's of the same rounds beside each."""
    with ExitStack() as stack:
        rivals = {name: stack.enter_context(started(folder, name, rows, threads)) for name in names}
        seconds = in_turn(rivals, count)
    for name in names:
        keep(folder, f"rounds/{rows}/{name}", {"seconds": seconds[name], "ours": seconds[OURS]})
        print(rows, name, seconds[name], flush=True)


def in_turn(rivals: Mapping[str, Rival], count: int) -> dict[str, list[float]]:
    """Seconds of a step as each worker tells them; all have taken a first one, which does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(count):
        for name, rival in rivals.items():
            seconds[name].append(rival.step())
    return seconds


@contextmanager
def started(folder: Path, name: str, rows: int, threads: int) -> Iterator[Rival]:
    """A worker that ends with the block; refused where it leaves too little memory for all to stay in."""
    rival = start(name, TOOLS[name], folder, rows, threads)
    try:
        if spare_memory() < SPARE:
            raise MemoryError(f"with {name} less than {SPARE} GiB are free; time fewer tools with --only.")
        yield rival
    finally:
        rival.close()


def spare_memory() -> float:
    """GiB that processes can still get without swapping."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("MemAvailable"))) / 2**20


def bound(folder: Path) -> None:
    """The arithmetic of the machine and of a step."""
    keep(folder, "arithmetic", {"rates": rates(), "operations": {rows: operations(rows) for rows in (1, 2)}})


def error(folder: Path, name: str, rival: Rival, rows: int, threads: int) -> float:
    """How far a tool's answer is from that of diffusers in single precision, against how much that varies."""
    tool = PICTURES if TOOLS[name].pictures else TOOLS[REFERENCE]
    expected = answers(folder) / f"{'pictures' if tool.pictures else 'steps'}-{rows}.npy"
    if not expected.exists():
        reference = start("reference", tool, folder, rows, threads)
        reference.ask("answer", file=str(expected))
        reference.close()
    made = rival.ask("answer", file=str(answers(folder) / f"{name}-{rows}.npy"))["file"]
    wanted = np.load(expected)
    return float(np.linalg.norm(np.load(made) - wanted) / np.linalg.norm(wanted - wanted.mean()))


def answers(folder: Path) -> Path:
    made = folder / "answers"
    made.mkdir(exist_ok=True)
    return made


def keep(folder: Path, key: str, value: Any) -> None:
    """Put a finding into the folder's file; of the same key the newest counts."""
    file = folder / "measured.json"
    found = measured(folder)
    found[key] = value
    file.write_text(json.dumps(found, indent=1))


def measured(folder: Path) -> dict[str, Any]:
    """All findings, by their keys."""
    file = folder / "measured.json"
    return dict(json.loads(file.read_text())) if file.exists() else {}
