"""What a step costs besides the network: ``python -m bench.sampler_overhead``.

The starter's own jobs at batch 1, guided, with the network and then with one that answers at once; what is
left in the second is sampler, guide, engine, and the noise where a sampler draws it. Prompts are encoded
before. Beside it the same for diffusers: its DiT pipeline, which has no prompts, with its own DPM-Solver++,
around a transformer that answers at once.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor, nn

from bench.measure import alternate, machine, median, table
from darkroom.diffusion.samplers import SAMPLERS
from darkroom.families.family import Model
from darkroom.networks.conditioning import Conditioning
from darkroom.studio.develop import fill, jobs_of
from darkroom.studio.engine import Engine
from darkroom.studio.hung import Hung
from darkroom.studio.models import load_model
from darkroom.studio.request import Request

STEPS = 20
NETWORK = "the network"
DIFFUSERS = "diffusers: DPM++ 2M and its DiT pipeline"
ASKED = Request(prompt="two red apples to the left of a book", seed=1, steps=STEPS)


class AtOnce(nn.Module):
    """A network that answers with its question."""

    def forward(self, x: Tensor, *rest: object) -> Tensor:
        return x


class Encoded:
    """A model that has read its prompts before."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.read: dict[tuple[str, ...], Conditioning] = {}

    def __getattr__(self, name: str) -> object:
        return getattr(self.model, name)

    def encode_prompts(self, prompts: Sequence[str], *reading: Any) -> Conditioning:
        key = tuple(prompts)
        if key not in self.read:
            self.read[key] = self.model.encode_prompts(prompts, *reading)
        return self.read[key]


def walk(model: Model, network: nn.Module, sampler: str, steps: int = STEPS) -> int:
    """One picture's way through sampler, guide and engine, without decoding; how often it asked."""
    request = fill(replace(ASKED, sampler=sampler, steps=steps), model)
    (job,) = jobs_of(request, model, Hung(network))
    engine = Engine()
    engine.submit(job)
    engine.run()
    return job.answered


class TransformerAtOnce(nn.Module):
    """What diffusers' pipeline asks of a transformer."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.config = SimpleNamespace(sample_size=side, in_channels=channels, out_channels=channels)
        self.dtype, self.device = torch.float32, torch.device("cpu")

    def forward(self, x: Tensor, timestep: Tensor, class_labels: Tensor) -> SimpleNamespace:
        return SimpleNamespace(sample=x)


class DecoderAtOnce(nn.Module):
    """What it asks of an autoencoder."""

    config = SimpleNamespace(scaling_factor=1.0)
    dtype, device = torch.float32, torch.device("cpu")

    def decode(self, latents: Tensor) -> SimpleNamespace:
        return SimpleNamespace(sample=latents)


def diffusers_pipeline(channels: int, side: int) -> "partial[object]":
    """Its DiT pipeline with guidance, ready to be called."""
    from diffusers import DiTPipeline, DPMSolverMultistepScheduler

    pipe = DiTPipeline(TransformerAtOnce(channels, side), DecoderAtOnce(), DPMSolverMultistepScheduler())
    pipe.set_progress_bar_config(disable=True)
    return partial(pipe, class_labels=[1], guidance_scale=3.0, num_inference_steps=STEPS, output_type="pt")


def report(rounds: int) -> str:
    """Measure every sampler in turn, by the question, and return the table."""
    model = cast(Model, Encoded(load_model("starter").model))
    channels, side, _ = model.latent_shape(128, 128)
    named = {method.label: name for name, method in SAMPLERS.items()}
    asked = {label: walk(model, AtOnce(), name) for label, name in named.items()}
    actions: dict[str, Callable[[], object]] = {
        label: partial(walk, model, AtOnce(), name) for label, name in named.items()
    }
    actions[DIFFUSERS] = diffusers_pipeline(channels, side)
    actions[NETWORK] = partial(walk, model, model.network, "dpmpp_2m")
    seconds = {
        what: median(times) / asked.get(what, STEPS) for what, times in alternate(actions, rounds).items()
    }
    seconds[NETWORK] -= seconds[SAMPLERS["dpmpp_2m"].label]
    rows = [[what, f"{1000 * s:.2f}", f"{s / seconds[NETWORK]:.2%}"] for what, s in seconds.items()]
    how = f"{machine()}; medians of {rounds} rounds in turn, {STEPS} steps, batch 1, guided."
    return f"{how}\n\n{table(['sampler, with guide and engine', 'ms a question', 'of the network'], rows)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    print(report(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
