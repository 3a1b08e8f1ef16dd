"""A recipe: everything that a training run is, in one frozen value that a plain Python function returns."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from darkroom.training.ema import Decay, Profile
from darkroom.training.optimizer import Ending, OptimizerRecipe

if TYPE_CHECKING:
    from PIL.Image import Image

Batch = dict[str, Any]
"""Tensors (numpy arrays become tensors on the way), and lists of anything else, by name."""


def mix(*parts: int | str) -> int:
    """One 64-bit seed out of several numbers and words; other parts, another seed."""
    return int.from_bytes(blake2b(repr(parts).encode(), digest_size=8).digest())


def generator(seed: int, step: int, device: str | torch.device = "cpu") -> torch.Generator:
    """The source of a loss's random draws at one step: a pure function of (seed, step)."""
    return torch.Generator(device).manual_seed(mix("draws", seed, step))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What to train, on what, for how long. Steps are counted from 0.

    ``build()`` makes the network; torch's own generator is seeded from ``seed`` before it is called.
    ``batch(step)`` makes one batch and must be a pure function of the step (and of what it was made with).
    With ``workers`` it runs in other processes, so it must be picklable: a module's function, a ``partial``
    of one or an instance of a module's class, not a lambda or an inner function. ``loss(network, batch,
    step)`` returns ``{"loss": scalar, ...}``; the other scalars go to the journal. Draw its noise from
    :func:`generator`; torch's own generator, which dropout uses, is seeded for each step too.
    ``sheet(network, step)`` draws sample pictures every ``sheet_every`` steps from the first of ``ema`` (from
    the network itself where there is none); the network comes in eval mode, without gradients. ``keep``
    checkpoints stay; one is written every ``checkpoint_every`` steps and every ``checkpoint_minutes``.
    ``compile`` names the submodules whose calls are compiled, "" for the network itself. Each must be of a
    class of one's own: torch leaves its own containers, such as a bare ``nn.Sequential``, as they are.
    Where the ``device`` multiplies bf16 natively it computes in it (autocast); weights are single everywhere.
    ``patience`` steps in a row without a finite loss and gradient end the run. ``data`` is what batches are
    made of, plain values by name, such as a vocabulary: with others a run is not carried on.
    """

    name: str
    build: Callable[[], nn.Module]
    batch: Callable[[int], Batch]
    loss: Callable[[nn.Module, Batch, int], dict[str, Tensor]]
    steps: int
    batch_size: int
    optimizer: OptimizerRecipe
    seed: int = 0
    ema: tuple[Profile, ...] = (Decay(0.999),)
    sheet: "Callable[[nn.Module, int], Image | None] | None" = None
    sheet_every: int = 1000
    checkpoint_every: int = 1000
    checkpoint_minutes: float = 10.0
    keep: int = 2
    workers: int = 1
    device: str = "cpu"
    compile: tuple[str, ...] = ()
    patience: int = 50
    data: Mapping[str, object] = field(default_factory=dict)

    @property
    def ending(self) -> Ending:
        """When the learning rate falls, unless the run is told to finish earlier or later."""
        decay = min(self.optimizer.rate.decay, self.steps)
        return Ending(self.steps - decay, decay)

    def facts(self) -> dict[str, Any]:
        """What must agree for a checkpoint to be carried on, ``data`` by its hashes; the length of a run and
        its rate may change.
        """
        optimizer = {key: value for key, value in asdict(self.optimizer).items() if key != "rate"}
        return {
            "name": self.name,
            "seed": self.seed,
            "batch_size": self.batch_size,
            "ema": [profile.name for profile in self.ema],
            **{name: f"{mix(name, repr(value)):016x}" for name, value in self.data.items()},
            **{f"optimizer.{key}": list(v) if isinstance(v, tuple) else v for key, v in optimizer.items()},
        }
