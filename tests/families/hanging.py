"""Tiny LoRAs, ControlNets, IP-Adapters and the pipelines of diffusers that take them, for whole pictures."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from tests.families import tiny
from torch import Tensor

from darkroom.studio.attachments import Attachments
from darkroom.studio.develop import develop
from darkroom.studio.models import load_model
from darkroom.studio.request import Request, Result
from darkroom.weights.layouts.controlnet import from_native
from darkroom.weights.store import MemoryStore

NOTHING = Attachments()

PROMPT, NEGATIVE, SEED, SIDE, STEPS = "a red cat, and a dog", "blurred", 3, 64, 4
SAMPLING = {"sd1": ("euler", "leading"), "sdxl": ("euler", "leading"), "flux": ("euler", "trailing")}
SCALE = {"sd1": 5.0, "sdxl": 5.0, "sd3": 4.0, "flux": 4.0}
RANK, ALPHA = 2, 1.0
LAYERS = {
    "unet": ("attn1.to_q", "attn2.to_k", "attn2.to_out.0"),
    "transformer": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "text_encoder": ("q_proj", "v_proj"),
    "text_encoder_2": ("q_proj", "v_proj"),
}
"""What the LoRAs change in each part."""


def scheduler(family: str) -> Any:
    """Diffusers' own for Euler's method."""
    import diffusers

    if family in ("sd1", "sdxl"):
        return diffusers.EulerDiscreteScheduler(**tiny.SD_SCHEDULER, timestep_spacing="leading")
    return getattr(tiny, family)().scheduler


def theirs(pipeline: Any, family: str, **settings: Any) -> np.ndarray:
    """What a pipeline of diffusers makes, (H, W, 3) from 0 to 255."""
    pipeline.scheduler = scheduler(family)
    pipeline.set_progress_bar_config(disable=True)
    negative = {} if family == "flux" else {"negative_prompt": NEGATIVE}
    told = {"prompt": PROMPT, "height": SIDE, "width": SIDE, "num_inference_steps": STEPS, **negative}
    generator = torch.Generator().manual_seed(SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        told |= {"guidance_scale": SCALE[family], "generator": generator, "output_type": "np", **settings}
        return pipeline(**told).images[0] * 255


def request(folder: Path, family: str, attached: Attachments, **settings: Any) -> Request:
    """The same picture asked of us."""
    sampler, grid = SAMPLING.get(family, (None, None))
    scale = {"guidance": SCALE[family]} if family == "flux" else {"cfg_scale": SCALE[family]}
    negative = {} if family == "flux" else {"negative": NEGATIVE}
    told = {"prompt": PROMPT, "seed": SEED, "steps": STEPS, "width": SIDE, "height": SIDE, "noise": "torch"}
    told |= {"sampler": sampler, "scheduler": grid, **scale, **negative, **settings}
    return Request(model=str(folder), attached=attached, **told)


def ours(folder: Path, family: str, attached: Attachments, **settings: Any) -> Result:
    """Its pictures."""
    return develop(request(folder, family, attached, **settings))


def far(result: Result | np.ndarray, other: Result | np.ndarray) -> float:
    """The largest difference of two pictures, of 255."""
    one, two = (each.images[0] if isinstance(each, Result) else each for each in (result, other))
    return float(np.abs(one.astype(float) - two).max())


def factors(parts: Mapping[str, torch.nn.Module]) -> dict[tuple[str, str], tuple[Tensor, Tensor]]:
    """down and up of a random LoRA for layers of these parts."""
    draw, made = torch.Generator().manual_seed(11), {}
    for part, module in parts.items():
        for name, layer in module.named_modules():
            if isinstance(layer, torch.nn.Linear) and name.endswith(LAYERS[part]):
                out, inner = layer.weight.shape
                down = 0.3 * torch.randn(RANK, inner, generator=draw)
                made[part, name] = down, 0.3 * torch.randn(out, RANK, generator=draw)
    return made


def published(part: str, name: str) -> str:
    """A module's name as published files have it."""
    bare = part.startswith("text_encoder") and not name.startswith("text_model.")
    return f"text_model.{name}" if bare else name


def as_kohya(made: Mapping[tuple[str, str], tuple[Tensor, Tensor]], single: bool) -> dict[str, Tensor]:
    """As kohya's scripts write it."""
    starts = {
        "unet": "lora_unet",
        "transformer": "lora_transformer",
        "text_encoder": "lora_te" if single else "lora_te1",
        "text_encoder_2": "lora_te2",
    }
    tensors = {}
    for (part, name), (down, up) in made.items():
        start = f"{starts[part]}_{published(part, name).replace('.', '_')}"
        tensors |= {f"{start}.lora_down.weight": down, f"{start}.lora_up.weight": up}
        tensors[f"{start}.alpha"] = torch.tensor(ALPHA)
    return tensors


def as_peft(made: Mapping[tuple[str, str], tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """As diffusers writes it, without an alpha."""
    tensors = {}
    for (part, name), (down, up) in made.items():
        start = f"{part}.{published(part, name)}"
        tensors |= {f"{start}.lora_A.weight": down, f"{start}.lora_B.weight": up * ALPHA / RANK}
    return tensors


def as_processors(made: Mapping[tuple[str, str], tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """As the first versions of diffusers wrote it."""
    tensors = {}
    for (part, name), (down, up) in made.items():
        place, last = published(part, name).replace("to_out.0", "to_out").rsplit(".", 1)
        start = (
            f"{part}.{place}.processor.{last}_lora" if part == "unet" else f"{part}.{place}.to_{last[0]}_lora"
        )
        tensors |= {f"{start}.down.weight": down, f"{start}.up.weight": up * ALPHA / RANK}
    return tensors


@contextmanager
def merged(
    pipeline: Any, made: Mapping[tuple[str, str], tuple[Tensor, Tensor]], weight: float
) -> Iterator[None]:
    """The pipeline with a LoRA's product added to its weights, by the formula of the paper."""
    layers = [getattr(pipeline, part).get_submodule(name) for part, name in made]
    before = [layer.weight.data for layer in layers]
    for layer, (down, up) in zip(layers, made.values(), strict=True):
        layer.weight.data = layer.weight.data + weight * ALPHA / RANK * up @ down
    yield
    for layer, data in zip(layers, before, strict=True):
        layer.weight.data = data


def saved(tensors: Mapping[str, Tensor], path: Path) -> Path:
    """A safetensors file of them."""
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


def picture(path: Path, seed: int, side: int = SIDE) -> tuple[Path, Image.Image]:
    """A picture of coarse random cells, as a file and in memory."""
    rng = np.random.default_rng(seed)
    made = Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)).resize((side, side))
    made.save(path)
    return path, made


def unet_controlnet(family: str, seed: int = 21) -> Any:
    """A ControlNet for a tiny U-Net."""
    from diffusers.models.controlnets.controlnet import ControlNetModel

    torch.manual_seed(seed)
    return tiny.shaken(ControlNetModel.from_unet(getattr(tiny, family)().unet), seed)


def flux_controlnet(**options: Any) -> Any:
    """A ControlNet for the tiny FLUX, of one double and one single block; ``options`` are diffusers'."""
    from diffusers.models.controlnets.controlnet_flux import FluxControlNetModel

    torch.manual_seed(22)
    config = dict(tiny.flux().transformer.config) | {"num_single_layers": 1, **options}
    known = FluxControlNetModel.__init__.__annotations__
    made = FluxControlNetModel(**{name: value for name, value in config.items() if name in known})
    return tiny.shaken(made, 22)


def sd3_controlnet(zero_pooled: bool) -> Any:
    """A ControlNet for the tiny SD3, of one block."""
    from diffusers.models.controlnets.controlnet_sd3 import SD3ControlNetModel

    torch.manual_seed(23)
    config = dict(tiny.sd3().transformer.config)
    config |= {"num_layers": 1, "extra_conditioning_channels": 0}
    config["force_zeros_for_pooled_projection"] = zero_pooled
    known = SD3ControlNetModel.__init__.__annotations__
    made = SD3ControlNetModel(**{name: value for name, value in config.items() if name in known})
    return tiny.shaken(made, 23)


def with_parts(name: str, pipeline: Any, **parts: Any) -> Any:
    """Another pipeline of diffusers with the parts of one, and more."""
    import diffusers

    kind = getattr(diffusers, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (
            kind(**pipeline.components, **parts)
            if name != "FluxControlNetPipeline"
            else kind(
                **{
                    k: v
                    for k, v in pipeline.components.items()
                    if k not in ("image_encoder", "feature_extractor")
                },
                **parts,
            )
        )


def copied(pipeline: Any, *more: str) -> Any:
    """A pipeline whose network and encoders may be changed without harm to the first."""
    names = ("unet", "text_encoder", "text_encoder_2", *more)
    parts = {k: deepcopy(v) if k in names else v for k, v in pipeline.components.items()}
    return tiny.quietly(type(pipeline), **parts, **NO_CHECKER.get(type(pipeline).__name__, {}))


NO_CHECKER = {"StableDiffusionPipeline": {"requires_safety_checker": False}}


def parts_of(family: str) -> dict[str, torch.nn.Module]:
    """What LoRAs may change of a tiny model."""
    pipeline = getattr(tiny, family)()
    if family == "flux":
        return {"transformer": pipeline.transformer}
    names = ("unet", "text_encoder", "text_encoder_2")
    return {name: getattr(pipeline, name) for name in names if hasattr(pipeline, name)}


def as_original(network: Any, path: Path, keymap: Any = from_native, prefix: str = "control_model.") -> Path:
    """The ControlNet as its authors name it."""
    state = MemoryStore(network.state_dict())
    store = keymap(state.header.shapes).original(state)
    return saved({f"{prefix}{name}": store.tensor(name) for name in store.header.tensors}, path)


def ip_adapter(folder: Path, plus: bool, path: Path) -> Path:
    """A random adapter for a tiny U-Net, as published files have it."""
    from darkroom.networks.ip_adapter import IPAdapter, IPAdapterConfig, ResamplerConfig, cross_attentions

    unet = load_model(str(folder), "float32", None, False, ()).model.network
    widths = tuple(one.to_q.out_features for one in cross_attentions(unet))
    resampler = ResamplerConfig(width=32, depth=4, heads=1) if plus else None
    config = IPAdapterConfig(
        widths, unet.config.context_width, 32 if plus else 24, 6 if plus else 4, resampler
    )
    torch.manual_seed(51)
    adapter = tiny.shaken(IPAdapter(config), 51)
    return saved(adapter.state_dict(), path)
