"""The habits of one caption: how it counts, spells and how much it says."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ..chance import chance, pick

T = TypeVar("T")


@dataclass(frozen=True)
class Voice:
    """``exact`` voices tell all and speak plainly: of options ordered from plain to fancy, the first two.

    Of a crowd they tell the number, unless ``counts`` is false.
    """

    rng: np.random.Generator
    exact: bool = False
    counts: bool = True
    digits: bool = False
    terse: bool = False
    american: bool = False
    serial: bool = False

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> "Voice":
        """A voice for training: one in three is exact, as only what is told can be learnt from it."""
        if chance(rng, 1 / 3):
            return cls(rng, exact=True)
        return cls(
            rng,
            digits=chance(rng, 0.2),
            terse=chance(rng, 0.12),
            american=chance(rng, 0.3),
            serial=chance(rng, 0.4),
        )

    def pick(self, options: Sequence[T]) -> T:
        return pick(self.rng, options[:2] if self.exact else options)

    def tells(self, probability: float) -> bool:
        """Whether an optional fact is told."""
        return self.exact or chance(self.rng, probability)

    def varies(self, probability: float) -> bool:
        """Whether an unusual turn of phrase is taken."""
        return not self.exact and chance(self.rng, probability)

    def colour(self, name: str) -> str:
        return "gray" if name == "grey" and self.american else name

    @property
    def colour_word(self) -> str:
        return "color" if self.american else "colour"
