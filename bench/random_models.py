"""Whole models of the published shapes with random weights, on disk: nothing is downloaded."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from torch import Tensor, nn

from darkroom.networks.autoencoder_kl import AutoencoderKL, AutoencoderKLConfig
from darkroom.networks.flux import Flux, FluxConfig
from darkroom.networks.unet import UNet
from darkroom.networks.unet_config import UNetConfig
from darkroom.weights.header import Header, TensorInfo
from darkroom.weights.writing import write_store

Shapes = Mapping[str, tuple[int, ...]]

XL = UNetConfig(
    widths=(320, 640, 1280),
    down=((0, 0), (2, 2), (10, 10)),
    mid=10,
    up=((10, 10, 10), (2, 2, 2), (0, 0, 0)),
    heads=(5, 10, 20),
    context_width=2048,
    linear_projection=True,
    only_cross=(False,) * 3,
    added_width=2816,
)
VAE = AutoencoderKLConfig(block_out_channels=(128, 256, 512, 512), layers_per_block=2)
FLUX_VAE = AutoencoderKLConfig(
    block_out_channels=(128, 256, 512, 512),
    layers_per_block=2,
    latent_channels=16,
    use_quant_conv=False,
    use_post_quant_conv=False,
)
LAYERS = {768: 12, 1280: 32}
"""Of CLIP's text encoders, by their width."""
POOL = (1 << 24) + 43
"""Normal numbers that all weights are taken from; a prime, so that no two rows of a matrix begin alike."""


class RandomStore:
    """A :class:`~darkroom.weights.store.Store` whose tensors are made when they are asked for."""

    def __init__(self, shapes: Shapes) -> None:
        self.header = Header({name: TensorInfo(torch.bfloat16, shape) for name, shape in shapes.items()})
        draw = torch.Generator().manual_seed(0)
        self._pool = torch.empty(POOL, dtype=torch.bfloat16).normal_(generator=draw)

    def tensor(self, name: str) -> Tensor:
        """Small, so that signals neither grow nor vanish on their way; the gains of norms are 1."""
        shape = self.header.tensors[name].shape
        if len(shape) < 2:
            return torch.full(shape, float(name.endswith("weight")), dtype=torch.bfloat16)
        made = torch.empty(torch.Size(shape).numel(), dtype=torch.bfloat16)
        begin = crc32(name.encode()) % POOL
        for part in made.split(POOL):
            first = min(POOL - begin, len(part))
            part[:first] = self._pool[begin : begin + first]
            part[first:] = self._pool[: len(part) - first]
        return made.mul_((1 / torch.Size(shape[1:]).numel()) ** 0.5).view(shape)


def shapes_of(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Of all its tensors, by name."""
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def clip_shapes(width: int) -> Shapes:
    """A CLIP text encoder, with its projection, as files name it."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    sizes = {"hidden_size": width, "intermediate_size": 4 * width, "projection_dim": width}
    heads = {"num_hidden_layers": LAYERS[width], "num_attention_heads": width // 64}
    return shapes_of(CLIPTextModelWithProjection(CLIPTextConfig(vocab_size=49408, **sizes, **heads)))


def t5_shapes() -> Shapes:
    """The encoder of T5 v1.1 XXL."""
    from transformers import T5Config, T5EncoderModel

    sizes = {"vocab_size": 32128, "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24}
    return shapes_of(T5EncoderModel(T5Config(**sizes, num_heads=64, feed_forward_proj="gated-gelu")))


def parts_of(name: str) -> dict[str, RandomStore]:
    """The parts of one of ``MODELS``."""
    with torch.device("meta"):
        made: dict[str, Shapes] = {}
        if name.startswith("FLUX"):
            made |= {"transformer": shapes_of(Flux(FluxConfig())), "vae": shapes_of(AutoencoderKL(FLUX_VAE))}
            made |= {"text_encoder": clip_shapes(768), "text_encoder_2": t5_shapes()}
        else:
            made |= {"unet": shapes_of(UNet(XL if name == "SDXL" else UNetConfig()))}
            made |= {"vae": shapes_of(AutoencoderKL(VAE)), "text_encoder": clip_shapes(768)}
            made |= {"text_encoder_2": clip_shapes(1280)} if name == "SDXL" else {}
    return {part: RandomStore(shapes) for part, shapes in made.items()}


MODELS: Mapping[str, Mapping[str, list[str]]] = {
    "SD 1.5": {
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
    },
    "SDXL": {
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    },
    "FLUX.1 schnell": {
        "transformer": ["diffusers", "FluxTransformer2DModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "text_encoder_2": ["transformers", "T5EncoderModel"],
    },
}
"""What each model's index says of its parts."""


def write_model(name: str, folder: Path) -> Path:
    """One of ``MODELS`` in bf16 as a folder of diffusers, each part written once."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model_index.json").write_text(json.dumps(MODELS[name]))
    for part, store in parts_of(name).items():
        path = folder / part / "model.safetensors"
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            write_store(path, store)
    if "text_encoder_2" in MODELS[name] and name.startswith("FLUX"):
        (folder / "tokenizer_2").mkdir(exist_ok=True)
        (folder / "tokenizer_2" / "tokenizer.json").write_text(json.dumps(letters()))
    return folder


def letters() -> dict[str, Any]:
    """A vocabulary for T5 that has letters alone: T5's own is not ours to ship."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0)]
    pieces += [(letter, -3.0) for letter in "abcdefghijklmnopqrstuvwxyz,.'"]
    made = Tokenizer(models.Unigram(pieces, unk_id=2))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    found: dict[str, Any] = json.loads(made.to_str())
    return found
