"""Models of others at their full size on this machine: ``python -m bench.full_size``.

SD 1.5 at 512 pixels and SDXL at 1024, in bf16, with random weights of the published shapes: nothing is
downloaded. Each runs in its own process, all the way from the prompt to the picture, and tells how long a
guided step took and how much memory it needed.
"""

import argparse
import resource
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor

from bench.measure import machine, median, table
from darkroom.families import sd, sdxl
from darkroom.families.family import Options
from darkroom.families.source import Source
from darkroom.networks.autoencoder_kl import AutoencoderKL, AutoencoderKLConfig
from darkroom.networks.unet import UNet
from darkroom.networks.unet_config import UNetConfig
from darkroom.studio.develop import fill, jobs_of, pixels, result_of
from darkroom.studio.engine import Engine
from darkroom.studio.hung import Hung
from darkroom.studio.request import Request
from darkroom.weights.header import Header, TensorInfo

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
MODELS = {"SD 1.5": (sd.load, UNetConfig(), (768,), 512), "SDXL": (sdxl.load, XL, (768, 1280), 1024)}
"""How each is loaded, its U-Net, the widths of its text encoders, and the side of its pictures."""
LAYERS = {768: 12, 1280: 32}


class RandomStore:
    """A :class:`~darkroom.weights.store.Store` whose tensors are made when they are asked for."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.header = Header({name: TensorInfo(torch.bfloat16, shape) for name, shape in shapes.items()})

    def tensor(self, name: str) -> Tensor:
        """Small, so that signals neither grow nor vanish on their way; the gains of norms are 1."""
        shape = self.header.tensors[name].shape
        if len(shape) < 2:
            return torch.full(shape, float(name.endswith("weight")), dtype=torch.bfloat16)
        fan_in = torch.Size(shape[1:]).numel()
        return torch.empty(shape, dtype=torch.bfloat16).normal_(0, (1 / fan_in) ** 0.5)


def source(unet: UNetConfig, clips: tuple[int, ...]) -> Source:
    """A model's parts, by their shapes."""
    with torch.device("meta"):
        parts = {"unet": shapes_of(UNet(unet)), "vae": shapes_of(AutoencoderKL(VAE))}
        for width, name in zip(clips, ("text_encoder", "text_encoder_2"), strict=False):
            parts[name] = clip_shapes(width)
    return Source(Path("random"), {name: RandomStore(shapes) for name, shapes in parts.items()})


def shapes_of(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def clip_shapes(width: int) -> dict[str, tuple[int, ...]]:
    """A CLIP text encoder, with its projection, as files name it."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    sizes = {"hidden_size": width, "intermediate_size": 4 * width, "projection_dim": width}
    heads = {"num_hidden_layers": LAYERS[width], "num_attention_heads": width // 64}
    return shapes_of(CLIPTextModelWithProjection(CLIPTextConfig(vocab_size=49408, **sizes, **heads)))


def run(name: str, steps: int) -> list[str]:
    """Make one picture; a row of the table."""
    load, unet, clips, side = MODELS[name]
    begun = perf_counter()
    model = load(source(unet, clips), Options(torch.bfloat16))
    loaded = perf_counter() - begun
    request = Request(
        prompt="a cat on a beach", seed=1, width=side, height=side, steps=steps, precision="bfloat16"
    )
    (job,) = jobs_of(fill(request, model), model, Hung(model.network))
    engine, times = Engine(), []
    engine.submit(job)
    while engine.jobs:
        begun = perf_counter()
        engine.step()
        times.append(perf_counter() - begun)
    begun = perf_counter()
    pixels(model, result_of(job))
    weights = sum(p.numel() * p.element_size() for part in model.parts.values() for p in part.parameters())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    decoded = perf_counter() - begun
    return [
        name,
        str(side),
        f"{median(times):.2f}",
        f"{decoded:.1f}",
        f"{weights / 2**30:.2f}",
        f"{peak / 2**30:.2f}",
        f"{loaded:.0f}",
    ]


COLUMNS = [
    "model",
    "side",
    "s a guided step",
    "s to decode",
    "weights, GiB",
    "peak memory, GiB",
    "s to make the weights",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--only", choices=MODELS, help="Run this one here, and print its row.")
    told = parser.parse_args()
    if told.only:
        print(*run(told.only, told.steps), sep="\t")
        return
    rows = []
    for name in MODELS:
        command = [sys.executable, "-m", "bench.full_size", "--only", name, "--steps", str(told.steps)]
        made = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(made.stdout.strip().split("\n")[-1].split("\t"))
    print(f"{machine()}; bf16, one picture with guidance, median of {told.steps} steps.\n")
    print(table(COLUMNS, rows))


if __name__ == "__main__":
    main()
