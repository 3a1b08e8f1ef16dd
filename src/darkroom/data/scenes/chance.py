"""Small draws from a numpy generator; `Generator.choice` costs thirty times as much for a few options."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def philox(seed: int, index: int, stream: int = 0) -> np.random.Generator:
    """The generator of one sample: a pure function of the three numbers, with no state in between."""
    return np.random.Generator(np.random.Philox(key=[seed, index], counter=[0, 0, 0, stream]))


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    return options[int(rng.random() * len(options))]


def chance(rng: np.random.Generator, probability: float) -> bool:
    return bool(rng.random() < probability)


def between(rng: np.random.Generator, low: float, high: float) -> float:
    return low + (high - low) * rng.random()


def weighted(rng: np.random.Generator, options: Sequence[tuple[T, float]]) -> T:
    """One option of (option, weight) pairs; the weights need not sum to one."""
    left = rng.random() * sum(weight for _, weight in options)
    for option, weight in options:
        left -= weight
        if left < 0:
            return option
    return options[-1][0]


def shuffled(rng: np.random.Generator, items: Sequence[T]) -> list[T]:
    """The items in a random order (Fisher and Yates)."""
    out = list(items)
    for i in range(len(out) - 1, 0, -1):
        j = int(rng.random() * (i + 1))
        out[i], out[j] = out[j], out[i]
    return out


def distinct(rng: np.random.Generator, options: Sequence[T], count: int) -> list[T]:
    """``count`` different options in a random order; few of many, so it draws again rather than shuffles."""
    if count > len(options):
        raise ValueError(f"{count} different ones were asked of {len(options)} options; give more options")
    chosen: list[T] = []
    while len(chosen) < count:
        option = pick(rng, options)
        if option not in chosen:
            chosen.append(option)
    return chosen
