"""What every worker is told on its command line, and the question that all share."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Question:
    """What the U-Net is asked: ``x`` (rows, 4, 64, 64), ``tokens`` (rows, 77, 768) and one time for all."""

    x: NDArray[np.float32]
    tokens: NDArray[np.float32]
    time: float


def question(model: Path, rows: int) -> Question:
    told = np.load(model / "question.npz")
    return Question(told["x"][:rows], told["tokens"][:rows], float(told["time"]))


def parser(doc: str | None) -> argparse.ArgumentParser:
    """The options that all workers have."""
    made = argparse.ArgumentParser(description=doc)
    made.add_argument("--model", type=Path, required=True, help="The folder of the shared model.")
    made.add_argument(
        "--cache", type=Path, required=True, help="Where what was compiled or converted is kept."
    )
    made.add_argument("--rows", type=int, default=1, choices=(1, 2), help="2: a guided step.")
    made.add_argument("--threads", type=int, required=True)
    return made
