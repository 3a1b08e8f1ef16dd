"""What the studio asks of every family of models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from darkroom.diffusion.process import Process
from darkroom.networks.conditioning import Conditioning


@dataclass(frozen=True)
class Reading:
    """How prompts are to be read: for a picture of ``width`` x ``height`` pixels, and as a request has it.

    ``wanted`` is false for a negative prompt: some models are told other things beside it.
    ``embeddings`` are vectors (n, D) of textual inversion: by name, then by the text encoder they are for.
    """

    width: int
    height: int
    wanted: bool = True
    clip_skip: int | None = None
    guidance: float | None = None
    emphasis: str = "a1111"
    embeddings: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)

    def embeddings_of(self, part: str) -> dict[str, Tensor]:
        """The vectors for one text encoder, by name."""
        return {name: told[part] for name, told in self.embeddings.items() if part in told}


class Model(Protocol):
    """A loaded model: a process, a network, the way in (prompts, pictures) and the way out (pictures)."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    @property
    def network(self) -> nn.Module:
        """What is asked at each step."""
        ...

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """The network and all other weights, by the names of diffusers' folders; adapters change them."""
        ...

    @property
    def defaults(self) -> Mapping[str, Any]:
        """What a request leaves open: width, height, steps, cfg_scale, sampler, scheduler."""
        ...

    @property
    def accepts(self) -> frozenset[str]:
        """Of ``OPTIONAL``, what it can do; a request for another is refused."""
        ...

    @property
    def sees_mask(self) -> bool:
        """Whether its network is told what to paint over, by channels beside its signal."""
        ...

    @property
    def downscale(self) -> int:
        """Picture pixels a latent position, along a side."""
        ...

    def process_at(self, width: int, height: int) -> Process:
        """Its process for pictures of this size, in pixels."""
        ...

    def encode_prompts(self, prompts: Sequence[str], reading: Reading) -> Conditioning:
        """One row a prompt. Weights in a prompt count where the model accepts "emphasis"."""
        ...

    def latent_shape(self, width: int, height: int) -> tuple[int, int, int]:
        """(channels, height, width) of a picture's latents; raises ValueError for sides that do not fit."""
        ...

    def encode_pictures(self, pictures: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, 3, H, W) in [-1, 1] -> latents, and how far they may deviate where the code is a random one."""
        ...

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Latents -> (B, 3, H, W) in [-1, 1]."""
        ...

    def tiled(self, side: int) -> "Model":
        """The same model, encoding and decoding pictures in tiles of ``side`` pixels.

        Raises InvalidRequest where it does not do that.
        """
        ...

    def mask_condition(self, mask: Tensor, masked: Tensor) -> Tensor:
        """The channels that show a network the mask (1, 1, H, W), white to paint, and the latents of the
        picture without what is to be painted. Asked of a model that sees masks.
        """
        ...


OPTIONAL = (
    "clip_skip",
    "guidance",
    "emphasis",
    "loras",
    "controls",
    "image_prompts",
    "embeddings",
    "variant",
)
"""What only some models can do."""


@dataclass(frozen=True)
class Options:
    """How to load a model: its weights' type, what its file does not say, whether pickles are read.

    ``others`` are files of parts that come before those of the model itself: encoders, an autoencoder. With
    ``later`` weights stay in their files until they are brought, see :mod:`darkroom.weights.origin`.
    """

    dtype: torch.dtype = torch.float32
    variant: str | None = None
    allow_pickle: bool = False
    others: tuple[Path, ...] = ()
    later: bool = False
