"""stable-diffusion.cpp through its Python package: whole pictures, with steps timed as it reports them."""

from time import perf_counter

BEGUN = perf_counter()

import argparse  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
from stable_diffusion_cpp import StableDiffusion  # noqa: E402

from bench.inference.protocol import serve  # noqa: E402
from bench.inference.workers.picture import PROMPT, SEED, SIGMAS, scale  # noqa: E402
from bench.inference.workers.told import parser  # noqa: E402


class StableDiffusionCpp:
    """A picture of one step: the time from the report that it begins to the report that it is done."""

    def __init__(self, told: argparse.Namespace) -> None:
        self.told = told

    def load(self) -> None:
        told = self.told
        self.model = StableDiffusion(
            model_path=str(told.model / "single.safetensors"),
            taesd_path=str(told.model / "tiny" / "diffusion_pytorch_model.safetensors"),
            wtype=told.weights,
            n_threads=told.threads,
            diffusion_flash_attn=told.flash,
            diffusion_conv_direct=told.direct,
            vae_decode_only=True,
            rng_type="cpu",
            sampler_rng_type="cpu",
        )

    def prepare(self) -> None:
        """Nothing: it was built for this processor."""

    def step(self) -> float:
        reports: list[tuple[int, float]] = []
        (self.made,) = self.model.generate_image(
            prompt=PROMPT,
            negative_prompt="",
            sample_method="euler",
            sigmas=",".join(map(str, SIGMAS)),
            sample_steps=len(SIGMAS) - 1,
            cfg_scale=scale(self.told.rows),
            seed=SEED,
            progress_callback=lambda step, _steps, _mean: reports.append((step, perf_counter())),
        )
        begun, done = (next(when for step, when in reports if step == told) for told in (0, 1))
        return done - begun

    def answer(self) -> Any:
        self.step()
        return np.asarray(self.made, dtype=np.float32)


def main() -> None:
    told = parser(__doc__)
    told.add_argument("--weights", default="bf16", help="As stable-diffusion.cpp calls types.")
    told.add_argument("--flash", action="store_true")
    told.add_argument("--direct", action="store_true", help="Convolve without unfolding.")
    serve(StableDiffusionCpp(told.parse_args()), BEGUN)


if __name__ == "__main__":
    main()
