"""Our attention against torch's in bf16, on the shapes of models: ``python -m bench.attention``.

Each shape is timed with both, in turn, and both are compared with float64. The kernel is built anew first.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import torch
from torch import Tensor

from bench.measure import alternate, machine, median, table
from darkroom.networks.attend import Attention, torch_attention
from darkroom.networks.kernels import flash
from darkroom.networks.layers import split_heads


@dataclass(frozen=True)
class Case:
    """Queries and keys of one attention in one model."""

    what: str
    batch: int
    heads: int
    queries: int
    keys: int
    width: int
    masked: bool = False

    @property
    def shape(self) -> str:
        masked = ", masked" if self.masked else ""
        return f"({self.batch}, {self.heads}, {self.queries}, {self.width}), {self.keys} keys{masked}"

    @property
    def operations(self) -> int:
        return 4 * self.batch * self.heads * self.queries * self.keys * self.width

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Random normals as networks have them: heads are split off a contiguous (B, L, heads * d)."""
        draw = torch.Generator().manual_seed(1)
        q, k, v = (
            split_heads(torch.randn(self.batch, n, self.heads * self.width, generator=draw), self.heads)
            for n in (self.queries, self.keys, self.keys)
        )
        mask = torch.rand(self.batch, 1, 1, self.keys, generator=draw) > 0.5 if self.masked else None
        return q.bfloat16(), k.bfloat16(), v.bfloat16(), mask


CASES = (
    Case("SD 1.5, 512 px", 1, 8, 4096, 4096, 40),
    Case("SD 1.5, guided", 2, 8, 4096, 4096, 40),
    Case("SD 1.5, one level down", 1, 8, 1024, 1024, 80),
    Case("SD 1.5, two levels down", 1, 8, 256, 256, 160),
    Case("SD 1.5, in the middle", 1, 8, 64, 64, 160),
    Case("SD 1.5, to the prompt", 1, 8, 4096, 77, 40),
    Case("SD 1.5, to the prompt, one level down", 1, 8, 1024, 77, 80),
    Case("SD 1.5, to the prompt, in the middle", 1, 8, 64, 77, 160),
    Case("SDXL, 1024 px", 1, 10, 4096, 4096, 64),
    Case("SDXL, one level down", 1, 20, 1024, 1024, 64),
    Case("SDXL, to the prompt", 1, 10, 4096, 77, 64),
    Case("SD 3.5 medium, 512 px", 1, 24, 1357, 1357, 64),
    Case("FLUX, 512 px", 1, 24, 1280, 1280, 128),
    Case("PixArt, 512 px", 1, 16, 1024, 1024, 72),
    Case("PixArt, to the prompt", 1, 16, 1024, 300, 72, masked=True),
    Case("image adapter", 1, 8, 4096, 4, 40),
    Case("autoencoder, 512 px", 1, 1, 4096, 4096, 512),
    Case("starter", 1, 4, 64, 101, 64, masked=True),
    Case("starter, eight pictures", 8, 4, 64, 101, 64, masked=True),
)


def rows(kernel: Attention, rounds: int, repeats: int) -> Iterator[list[str]]:
    """A row of the table for each case."""
    for case in CASES:
        tensors = case.tensors()
        times = max(1, min(repeats, int(5e9 / case.operations)))  # short ones often, as clocks are coarse
        ways = {"torch": torch_attention, "ours": kernel}
        seconds = alternate({name: partial(again, way, tensors, times) for name, way in ways.items()}, rounds)
        theirs, ours = (median(seconds[name]) / times for name in ways)
        rate = case.operations / ours / 1e9
        yield [
            case.what,
            case.shape,
            f"{theirs * 1e3:.3g}",
            f"{ours * 1e3:.3g}",
            f"{theirs / ours:.2f}",
            f"{rate:.0f}",
            *(f"{1e3 * error(way, tensors):.2f}" for way in ways.values()),
        ]


def again(way: Attention, tensors: tuple[Tensor, Tensor, Tensor, Tensor | None], times: int) -> None:
    for _ in range(times):
        way(*tensors)


def error(way: Attention, tensors: tuple[Tensor, Tensor, Tensor, Tensor | None]) -> float:
    """How far off float64 the first 256 queries of a head are, as a share of their root mean square."""
    q, k, v, mask = tensors
    true = torch_attention(q[:1, :1, :256].double(), k[:1, :1].double(), v[:1, :1].double(), first(mask))
    return ((way(*tensors)[:1, :1, :256] - true).norm() / true.norm()).item()


def first(mask: Tensor | None) -> Tensor | None:
    return None if mask is None else mask[:1]


HEAD = ["attention", "queries and keys", "torch, ms", "ours, ms", "times faster", "GFLOP/s"]
ERRORS = ["error of torch's, thousandths", "of ours"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=100, help="Most calls that are timed together.")
    told = parser.parse_args()
    with TemporaryDirectory() as folder, torch.no_grad():
        begun = perf_counter()
        kernel = flash.available(Path(folder))
        if isinstance(kernel, str):
            raise SystemExit(f"There is no attention of ours here: {kernel}")
        print(
            f"{machine()}, {torch.get_num_threads()} threads; medians of {told.rounds} rounds, both in turn."
        )
        print(f"Built in {perf_counter() - begun:.1f} s.\n")
        print(table(HEAD + ERRORS, list(rows(kernel, told.rounds, told.repeats))))


if __name__ == "__main__":
    main()
