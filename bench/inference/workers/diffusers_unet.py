"""diffusers: as installed, or tuned by hand."""

from time import perf_counter

BEGUN = perf_counter()

import argparse  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from diffusers import StableDiffusionPipeline  # noqa: E402

from bench.inference.protocol import serve  # noqa: E402
from bench.inference.workers.told import parser, question  # noqa: E402


class Diffusers:
    """Its pipeline, whose U-Net is asked as the pipeline asks it."""

    def __init__(self, told: argparse.Namespace) -> None:
        self.told = told
        self.dtype = getattr(torch, told.precision)
        asked = question(told.model, told.rows)
        self.x = torch.from_numpy(asked.x).to(self.dtype)
        self.tokens = torch.from_numpy(asked.tokens).to(self.dtype)
        self.time = torch.tensor(asked.time)

    def load(self) -> None:
        folder = self.told.model / "pipeline"
        self.pipeline: Any = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=self.dtype)
        self.unet = self.pipeline.unet

    def prepare(self) -> None:
        if self.told.channels_last:
            self.unet.to(memory_format=torch.channels_last)
            self.x = self.x.contiguous(memory_format=torch.channels_last)
        if self.told.compile:
            torch._inductor.config.freezing = self.told.freeze
            torch._inductor.config.max_autotune = self.told.autotune
            self.unet = torch.compile(self.unet, fullgraph=True)

    @torch.no_grad()
    def step(self) -> None:
        (self.given,) = self.unet(self.x, self.time, encoder_hidden_states=self.tokens, return_dict=False)

    def answer(self) -> Any:
        self.step()
        return self.given.float().numpy()


class Pictures(Diffusers):
    """Whole pictures, for tools that give nothing else: the tiny autoencoder, Euler steps, noise of torch."""

    def load(self) -> None:
        from diffusers import AutoencoderTiny, EulerDiscreteScheduler

        super().load()
        self.pipeline.vae = AutoencoderTiny.from_pretrained(self.told.model / "tiny")
        self.pipeline.scheduler = EulerDiscreteScheduler.from_config(
            self.pipeline.scheduler.config, timestep_spacing="linspace"
        )

    def answer(self) -> Any:
        from bench.inference.workers.picture import PROMPT, SEED, SIGMAS, scale

        made = self.pipeline(
            PROMPT,
            negative_prompt="",
            sigmas=SIGMAS,
            guidance_scale=scale(self.told.rows),
            generator=torch.Generator().manual_seed(SEED),
        )
        return np.asarray(made.images[0], dtype=np.float32)


def main() -> None:
    told = parser(__doc__)
    told.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    told.add_argument("--channels-last", action="store_true")
    told.add_argument("--compile", action="store_true")
    told.add_argument("--freeze", action="store_true", help="Let inductor pack the weights for its kernels.")
    told.add_argument("--autotune", action="store_true", help="Let inductor try kernels on this machine.")
    told.add_argument("--pictures", action="store_true")
    options = told.parse_args()
    torch.set_num_threads(options.threads)
    serve((Pictures if options.pictures else Diffusers)(options), BEGUN)


if __name__ == "__main__":
    main()
