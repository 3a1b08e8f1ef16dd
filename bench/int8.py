"""What 8 bits bring and what they cost: ``python -m bench.int8`` prints docs/performance.md's tables.

Layers and whole steps of SD 1.5's U-Net with random weights, and the starter, whose weights are trained.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from bench.full_size import RandomStore, shapes_of
from bench.int8_pictures import pictures
from bench.measure import alternate, machine, median, table
from darkroom.networks.conditioning import Conditioning
from darkroom.networks.quantize import Report, quantize
from darkroom.networks.unet import UNet
from darkroom.networks.unet_config import UNetConfig

LINEAR = [(4096, 320, 320), (4096, 320, 2560), (4096, 1280, 320), (1024, 640, 5120), (256, 1280, 10240)]
"""Tokens, channels in, channels out: what SD 1.5 has at 512 pixels."""
CONVOLUTIONS = [
    (64, 320, 320, 3),
    (64, 960, 320, 3),
    (64, 320, 320, 1),
    (32, 640, 640, 3),
    (32, 1920, 640, 3),
    (16, 1280, 1280, 3),
    (8, 2560, 1280, 3),
]
"""Side, channels in, channels out, side of the kernel."""


def layers(rounds: int, compiled: bool) -> str:
    """Milliseconds of single layers in bf16 and in int8, with all that int8 needs around it."""
    rows = []
    for tokens, inner, outer in LINEAR:
        x = torch.randn(1, tokens, inner).bfloat16()
        name = f"linear, {tokens} tokens, {inner} to {outer}"
        rows.append([name, *compared(nn.Linear(inner, outer), x, rounds, compiled)])
    for side, inner, outer, kernel in CONVOLUTIONS:
        x = torch.randn(1, inner, side, side).bfloat16().contiguous(memory_format=torch.channels_last)
        name = f"{kernel}x{kernel}, {inner} to {outer} at {side}x{side}"
        layer = nn.Conv2d(inner, outer, kernel, padding=kernel // 2)
        rows.append([name, *compared(layer, x, rounds, compiled)])
    return table(["layer", "bf16, ms", "int8, ms", "times as fast", "error"], rows)


def compared(layer: nn.Module, x: Tensor, rounds: int, compiled: bool) -> list[str]:
    """Milliseconds of the layer, of its twin in int8, their ratio, and how far the answers are apart."""
    precise = layer.requires_grad_(False)(x.float())
    both = [nn.Sequential(layer).bfloat16().to(memory_format=torch.channels_last)]
    both.append(nn.Sequential(layer))
    quantize(both[1])
    error = far(both[1](x), precise)
    asked: list[Callable[[Tensor], Tensor]] = [torch.compile(one) if compiled else one for one in both]
    seconds = alternate({str(i): partial(one, x) for i, one in enumerate(asked)}, rounds)
    slow, fast = median(seconds["0"]), median(seconds["1"])
    return [f"{1000 * slow:.2f}", f"{1000 * fast:.2f}", f"{slow / fast:.2f}", f"{100 * error:.1f}%"]


def far(answer: Tensor, wanted: Tensor) -> float:
    """Relative distance, in the Euclidean norm."""
    return float((answer.float() - wanted.float()).norm() / wanted.float().norm())


def unet(rounds: int, compiled: bool, batch: int) -> str:
    """Seconds of a step of the U-Net, its distance from single precision, and the bytes of its weights."""
    asked = question(batch)
    precise = network()(*asked)
    networks = {kind: made(kind) for kind in ("bf16", "int8", "int8-weights")}
    errors = {kind: far(one(*asked), precise) for kind, (one, _) in networks.items()}
    actions = {
        kind: partial(torch.compile(one, fullgraph=True) if compiled else one, *asked)
        for kind, (one, _) in networks.items()
    }
    seconds = {kind: median(some) for kind, some in alternate(actions, rounds).items()}
    rows = [
        [
            kind,
            f"{seconds[kind]:.2f}",
            f"{seconds['bf16'] / seconds[kind]:.2f}",
            f"{100 * errors[kind]:.2f}%",
            f"{report.bytes_after / 2**20:.0f}",
            f"{len(report.quantized)} of {len(report.quantized) + len(report.kept)}",
        ]
        for kind, (_, report) in networks.items()
    ]
    head = ["U-Net", "s a step", "times as fast", "off single precision", "weights, MiB", "layers in int8"]
    return table(head, rows)


def made(kind: str) -> tuple[nn.Module, Report]:
    """The U-Net in bf16, or quantised from there."""
    one = network().bfloat16().to(memory_format=torch.channels_last)
    none = quantize(one, choose=lambda name, layer: False)
    return one, none if kind == "bf16" else quantize(one, kind)


def network() -> nn.Module:
    """SD 1.5's U-Net in single precision, always the same."""
    torch.manual_seed(0)
    with torch.device("meta"):
        one = UNet(UNetConfig())
    store = RandomStore(shapes_of(one))
    one.load_state_dict({name: store.tensor(name).float() for name in store.header.tensors}, assign=True)
    return one.eval().requires_grad_(False)


def question(batch: int) -> tuple[Tensor, Tensor, Conditioning]:
    """What a step at 512 pixels asks."""
    torch.manual_seed(1)
    x = torch.randn(batch, 4, 64, 64).contiguous(memory_format=torch.channels_last)
    return x, torch.full((batch,), 500.0), Conditioning(tokens=torch.randn(batch, 77, 768))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="Compile the layers and the U-Net first.")
    parser.add_argument("--prompts", type=int, default=5, help="Prompts of each skill, for the starter.")
    parser.add_argument("--only", choices=["layers", "unet", "starter"])
    told = parser.parse_args(arguments)
    torch.set_grad_enabled(False)
    parts: dict[str, Callable[[], str]] = {
        "layers": partial(layers, told.rounds, told.compile),
        "unet": partial(unet, told.rounds, told.compile, told.batch),
        "starter": partial(pictures, told.prompts),
    }
    how = "compiled" if told.compile else "not compiled"
    print(f"{machine()}; {how}, everything in turn, medians of {told.rounds} rounds.")
    for name, part in parts.items():
        if told.only in (None, name):
            print(f"\n{part()}", flush=True)


if __name__ == "__main__":
    main()
