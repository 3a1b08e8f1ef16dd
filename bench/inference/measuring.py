"""Starts workers, asks them in turn, and keeps what was measured as JSON."""

import json
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from bench.inference.protocol import Rival
from bench.inference.tools import PICTURES, TOOLS, start
from bench.measure import alternate, machine

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
    """Seconds of a step, all tools once a round."""
    for asked in rows:
        with ExitStack() as stack:
            rivals = {name: start(name, TOOLS[name], folder, asked, threads) for name in names}
            for rival in rivals.values():
                stack.callback(rival.close)
            seconds = alternate({name: rival.step for name, rival in rivals.items()}, count)
        keep(folder, f"rounds/{asked}", {"machine": machine(), "seconds": seconds})


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
