"""Prompting with pictures: IP-Adapters, and the CLIP image encoders that they listen to.

Ye et al. 2023 (arXiv 2308.06721).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from darkroom.adapters.reading import config_json, holds_another, part_of
from darkroom.adapters.stamps import read_once
from darkroom.errors import DarkroomError
from darkroom.networks.ip_adapter import IPAdapter, IPAdapterConfig, attach, detach
from darkroom.networks.unet import UNet
from darkroom.weights.detect import detect
from darkroom.weights.loading import hollow, load_into
from darkroom.weights.store import open_store

MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
"""Of the pixels that CLIP was trained on."""
TABLES = "vision_model.embeddings"
"""Where CLIP's image encoder keeps what it adds to its patches."""


@dataclass(frozen=True)
class Seen:
    """The tokens (1, n, D) of a picture, and those that stand for no picture."""

    wanted: Tensor
    nothing: Tensor


@dataclass(frozen=True)
class Loaded:
    """An IP-Adapter, and what became of the tensors in its file."""

    adapter: IPAdapter
    account: str


@contextmanager
def seeing(network: nn.Module, paths: Sequence[Path], allow_pickle: bool = False) -> Iterator[list[Loaded]]:
    """While the block lasts the network sees pictures, through the IP-Adapters in these files.

    Raises DarkroomError for a network that cannot, and for an adapter that does not fit.
    """
    if not isinstance(network, UNet):
        raise DarkroomError("this model takes no IP-Adapter; leave it out, or choose another model.")
    loaded = [_adapter(path, network.dtype, allow_pickle) for path in paths]
    attach(network, *(one.adapter for one in loaded))
    try:
        yield loaded
    finally:
        detach(network)


@torch.inference_mode()
def tokens_of(adapter: IPAdapter, encoder: Path, picture: np.ndarray) -> Seen:
    """A picture as an adapter's tokens: of the embedding, or for the "plus" kind the last layer but one."""
    network = _encoder(encoder)
    pixels = prepared(picture, network.config.image_size)
    weight = next(adapter.image_proj.parameters())

    def features(pixels: Tensor) -> Tensor:
        answer = network(pixels.to(network.dtype), output_hidden_states=True)
        return (answer.hidden_states[-2] if adapter.config.resampler else answer.image_embeds).to(weight)

    wanted = features(pixels)
    nothing = features(torch.zeros_like(pixels)) if adapter.config.resampler else torch.zeros_like(wanted)
    if wanted.shape[-1] != adapter.config.image_width:
        raise DarkroomError(
            f"the image encoder '{encoder}' gives features of {wanted.shape[-1]}, and the IP-Adapter hears "
            f"{adapter.config.image_width}; choose the encoder that it was made for."
        )
    return Seen(adapter(wanted).float(), adapter(nothing).float())


def prepared(picture: np.ndarray, side: int) -> Tensor:
    """A picture as CLIP sees it, (1, 3, side, side): its shorter side scaled, its middle cut out."""
    image = Image.fromarray(picture)
    scale = side / min(image.size)
    image = image.resize([max(side, int(length * scale)) for length in image.size], Image.Resampling.BICUBIC)
    left, top = ((length - side) // 2 for length in image.size)
    values = torch.from_numpy(np.asarray(image.crop((left, top, left + side, top + side))) / 255.0).float()
    return ((values - torch.tensor(MEAN)) / torch.tensor(DEVIATION)).permute(2, 0, 1)[None]


@read_once(2)
def _adapter(path: Path, dtype: torch.dtype, allow_pickle: bool) -> Loaded:
    store = open_store(path, allow_pickle)
    found = detect(store.header)
    if found.adapter is None or found.adapter.method != "IP-Adapter":
        raise holds_another(store, "IP-Adapter", found)
    with hollow():
        made = IPAdapter(IPAdapterConfig.from_shapes(store.header.shapes))
    account = load_into(made, store, dtype)
    return Loaded(made.eval().requires_grad_(False), str(account))


@read_once(1)
def _encoder(path: Path) -> Any:
    """CLIP's image encoder from a folder or a file, in single precision."""
    store = part_of(open_store(path), "image_encoder")
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    told = config_json(path) or _sizes(store.header.shapes)
    with hollow():
        made = CLIPVisionModelWithProjection(CLIPVisionConfig(**told))
    load_into(made, store, torch.float32, allow_missing=("*position_ids",))
    return made.eval().requires_grad_(False)


def _sizes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Its config from shapes. What they don't show: L, H and G have 16 heads, and L, OpenAI's own, the quick
    GELU.
    """
    (width,), (places, _) = (
        shapes[f"{TABLES}.{name}"] for name in ("class_embedding", "position_embedding.weight")
    )
    patch, layers = shapes[f"{TABLES}.patch_embedding.weight"][-1], "vision_model.encoder.layers."
    return {
        "hidden_size": width,
        "intermediate_size": shapes[f"{layers}0.mlp.fc1.weight"][0],
        "num_hidden_layers": len({name.split(".")[3] for name in shapes if name.startswith(layers)}),
        "num_attention_heads": 16,
        "projection_dim": shapes["visual_projection.weight"][0],
        "patch_size": patch,
        "image_size": patch * isqrt(places - 1),
        "hidden_act": "quick_gelu" if width == 1024 else "gelu",
    }
