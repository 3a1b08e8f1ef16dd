"""Darkroom, as ``darkroom generate`` loads a model."""

from time import perf_counter

BEGUN = perf_counter()

import argparse  # noqa: E402
from typing import Any  # noqa: E402

import torch  # noqa: E402

from bench.inference.protocol import serve  # noqa: E402
from bench.inference.workers.told import parser, question  # noqa: E402
from darkroom.networks.conditioning import Conditioning  # noqa: E402
from darkroom.studio.models import load_model  # noqa: E402


class Darkroom:
    """Its network, asked as the engine asks it."""

    def __init__(self, told: argparse.Namespace) -> None:
        self.told = told
        asked = question(told.model, told.rows)
        self.x = torch.from_numpy(asked.x)
        self.time = torch.full((told.rows,), asked.time)
        self.cond = Conditioning(tokens=torch.from_numpy(asked.tokens))

    def load(self) -> None:
        self.network = load_model(str(self.told.model / "pipeline"), "bfloat16").model.network

    def prepare(self) -> None:
        """Nothing yet."""

    @torch.inference_mode()
    def step(self) -> None:
        self.given = self.network(self.x, self.time, self.cond)

    def answer(self) -> Any:
        self.step()
        return self.given.float().numpy()


def main() -> None:
    told = parser(__doc__).parse_args()
    torch.set_num_threads(told.threads)
    serve(Darkroom(told), BEGUN)


if __name__ == "__main__":
    main()
