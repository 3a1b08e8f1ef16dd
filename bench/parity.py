"""How far our pictures are from those of diffusers: ``python -m bench.parity``.

What the tests hold, as tables, of tiny models with random weights that diffusers wrote in the real formats:
one forward of each network, and whole pictures, family by sampler by task.
"""

import argparse
import copy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.families import pictures, tiny
from torch import Tensor, nn

from bench.measure import machine, table
from darkroom.networks.autoencoder_kl import AutoencoderKL, AutoencoderKLConfig
from darkroom.networks.conditioning import Conditioning
from darkroom.networks.flux import Flux, FluxConfig
from darkroom.networks.mmdit import MMDiT, MMDiTConfig
from darkroom.networks.unet import UNet
from darkroom.networks.unet_config import UNetConfig

HIGH, WIDE, ROWS, WORDS = 16, 12, 2, 20
"""Of the latents and prompts that networks are asked about."""


def whole_pictures(root: Path) -> str:
    """The largest difference of pixel values of 0 to 255, ours rounded to whole ones."""
    given = pictures.given_in(root)
    folders = {
        name: tiny.save(getattr(tiny, name)(), root / name) for name in (*pictures.FAMILIES, *pictures.FLOWS)
    }
    rows = []
    for family in pictures.FAMILIES:
        for sampler in pictures.SCHEDULERS:
            rows.append(
                [
                    family,
                    sampler,
                    *(
                        largest(pictures.stable_diffusion(family, sampler, task, folders[family], given))
                        for task in pictures.TASKS
                    ),
                ]
            )
    for family in pictures.FLOWS:
        rows.append(
            [
                family,
                "flow Euler",
                *(largest(pictures.flow(family, task, folders[family], given)) for task in pictures.TASKS),
            ]
        )
    return table(["family", "sampler", *pictures.TASKS], rows)


def largest(pair: tuple[np.ndarray, np.ndarray]) -> str:
    made, expected = pair
    return f"{np.abs(made - expected).max():.2f}"


Ask = Callable[[nn.Module, nn.Module, torch.dtype], tuple[Tensor, Tensor]]
"""(ours, theirs, precision) -> their answers to the same question."""


def networks() -> str:
    """Relative errors of one forward, and how far bf16 takes diffusers' own from single precision."""
    rows = []
    for name, (part, build, ask) in CASES.items():
        theirs = getattr(getattr(tiny, name.split()[0])(), part)
        mine = build(dict(theirs.config))
        mine.load_state_dict(theirs.state_dict())
        single, half = (
            ask(*(copy.deepcopy(one).to(dtype).eval() for one in (mine, theirs)), dtype)
            for dtype in (torch.float32, torch.bfloat16)
        )
        errors = (
            relative(*single),
            relative(*half),
            relative(half[0], single[1]),
            relative(half[1], single[1]),
        )
        rows.append([name, *(f"{error:.1e}" for error in errors)])
    columns = [
        "network",
        "both single",
        "both bf16",
        "ours bf16, theirs single",
        "theirs bf16, theirs single",
    ]
    return table(columns, rows)


def relative(made: Tensor, expected: Tensor) -> float:
    """|made - expected| / |expected|."""
    return float((made.float() - expected.float()).norm() / expected.float().norm())


def question(channels: int, text: int, pooled: int, dtype: torch.dtype) -> tuple[Tensor, Conditioning]:
    draw = torch.Generator().manual_seed(0)
    shapes = (ROWS, channels, HIGH, WIDE), (ROWS, WORDS, text), (ROWS, pooled)
    x, tokens, vector = (torch.randn(shape, generator=draw).to(dtype) for shape in shapes)
    return x, Conditioning(tokens=tokens, pooled=vector, extra={"guidance": torch.full((ROWS,), 2.0)})


@torch.inference_mode()
def ask_unet(mine: Any, theirs: Any, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    config, time = mine.config, torch.tensor([999.0, 17.0])
    x, cond = question(config.in_channels, config.context_width, 64, dtype)
    told: dict[str, Any] = {}
    if config.added_width:
        from darkroom.networks.unet import size_vector

        sizes = torch.tensor([[64.0, 64, 0, 0, 64, 64]]).expand(ROWS, -1)
        told = {"added_cond_kwargs": {"text_embeds": cond.pooled, "time_ids": sizes}}
        cond = Conditioning(tokens=cond.tokens, pooled=size_vector(cond.pooled, sizes))
    else:
        cond = Conditioning(tokens=cond.tokens)
    return mine(x, time, cond), theirs(x, time, encoder_hidden_states=cond.tokens, **told).sample


@torch.inference_mode()
def ask_mmdit(mine: Any, theirs: Any, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    config, time = mine.config, torch.tensor([0.9, 0.1])
    x, cond = question(config.in_channels, config.text_width, config.pooled_width, dtype)
    told = {"encoder_hidden_states": cond.tokens, "pooled_projections": cond.pooled}
    return mine(x, time, cond), theirs(x, timestep=1000 * time, **told).sample


@torch.inference_mode()
def ask_flux(mine: Any, theirs: Any, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    from diffusers import FluxPipeline

    # diffusers rounds time and guidance to the weights' precision, we do not: these survive it
    config, time = mine.config, torch.tensor([0.5, 0.25])
    x, cond = question(config.in_channels // 4, config.text_width, config.pooled_width, dtype)
    packed = FluxPipeline._pack_latents(x, ROWS, x.shape[1], HIGH, WIDE)
    answer = theirs(
        packed,
        timestep=time,
        encoder_hidden_states=cond.tokens,
        pooled_projections=cond.pooled,
        guidance=cond.extra["guidance"],
        img_ids=FluxPipeline._prepare_latent_image_ids(ROWS, HIGH // 2, WIDE // 2, "cpu", torch.float32),
        txt_ids=torch.zeros(WORDS, 3),
    ).sample
    return mine(x, time, cond), FluxPipeline._unpack_latents(answer, 8 * HIGH, 8 * WIDE, 8)


@torch.inference_mode()
def ask_vae(mine: Any, theirs: Any, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    x, _ = question(mine.config.latent_channels, 1, 1, dtype)
    pictures = torch.randn(1, 3, 64, 48, generator=torch.Generator().manual_seed(1)).to(dtype)
    own = mine.encode_raw(pictures).mean.flatten(), mine.decode_raw(x).flatten()
    expected = theirs.encode(pictures).latent_dist.mean.flatten(), theirs.decode(x).sample.flatten()
    return torch.cat(own), torch.cat(expected)


CASES: dict[str, tuple[str, Callable[[Any], nn.Module], Ask]] = {
    **{
        f"{name} U-Net": ("unet", lambda told: UNet(UNetConfig.from_diffusers(told)), ask_unet)
        for name in pictures.FAMILIES
    },
    **{
        f"{name} autoencoder": (
            "vae",
            lambda told: AutoencoderKL(AutoencoderKLConfig.from_diffusers(told)),
            ask_vae,
        )
        for name in ("sd1", "flux")
    },
    "sd3 transformer": ("transformer", lambda told: MMDiT(MMDiTConfig.from_diffusers(told)), ask_mmdit),
    "flux transformer": ("transformer", lambda told: Flux(FluxConfig.from_diffusers(told)), ask_flux),
}
"""Which part of which tiny pipeline, our network from its config, and how both are asked."""


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(machine())
    print(f"\nNetworks, relative error of one forward\n\n{networks()}")
    with tempfile.TemporaryDirectory() as root:
        print(f"\nWhole pictures, largest difference of 255\n\n{whole_pictures(Path(root))}")


if __name__ == "__main__":
    main()
