"""What the studio asks of every family of models."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from darkroom.diffusion.process import Process
from darkroom.networks.conditioning import Conditioning


class Model(Protocol):
    """A loaded model: a process, a network, the way in (prompts, pictures) and the way out (pictures)."""

    name: str
    process: Process
    network: nn.Module
    defaults: dict[str, Any]
    """What a request leaves open: width, height, steps, cfg_scale, sampler, scheduler."""

    def encode_prompts(self, prompts: Sequence[str]) -> Conditioning:
        """One row a prompt."""
        ...

    def latent_shape(self, width: int, height: int) -> tuple[int, int, int]:
        """(channels, height, width) of a picture's latents; raises ValueError for sides that do not fit."""
        ...

    def encode_pictures(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] -> latents."""
        ...

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Latents -> (B, 3, H, W) in [-1, 1]."""
        ...


@dataclass(frozen=True)
class Header:
    """What a safetensors file tells before any tensor is read: names, shapes and its metadata."""

    shapes: Mapping[str, tuple[int, ...]]
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class Family:
    """One family: ``detect`` knows its files by their header alone, ``load`` reads one."""

    name: str
    detect: Callable[[Header], bool]
    load: Callable[[Path], Model]
