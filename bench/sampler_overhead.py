"""What a step costs besides the network: ``python -m bench.sampler_overhead``.

The starter's own jobs at batch 1, guided, with the network and then with one that answers at once. What is
left in the second is told apart: the drawing of noise, the making of the job (a request becomes a grid, a
guide and a sampler at its first question), and the steps of sampler, guide and engine. Prompts are encoded
before. Beside it the same for diffusers: its DiT pipeline, which has no prompts, with its own DPM-Solver++,
around a transformer that answers at once.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from time import perf_counter
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import torch
from torch import Tensor, nn

from bench.measure import alternate, machine, median, table
from darkroom.diffusion.brownian import Path
from darkroom.diffusion.noise import Philox
from darkroom.diffusion.samplers import SAMPLERS
from darkroom.families.family import Model
from darkroom.networks.conditioning import Conditioning
from darkroom.studio.develop import fill, jobs_of
from darkroom.studio.engine import Engine, Job
from darkroom.studio.hung import Hung
from darkroom.studio.models import load_model
from darkroom.studio.request import Request

STEPS = 20
NETWORK = "the network"
DIFFUSERS = "diffusers: DPM++ 2M and its DiT pipeline"
ASKED = Request(prompt="two red apples to the left of a book", seed=1, steps=STEPS)
BROWNIAN = "Euler a on a Brownian path"


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
    engine = Engine()
    (job,) = taken(model, network, replace(ASKED, sampler=sampler, steps=steps))
    engine.submit(job)
    engine.run()
    return job.answered


def taken(model: Model, network: nn.Module, asked: Request) -> Iterator[Job]:
    """The job of one picture."""
    return jobs_of(fill(asked, model), model, Hung(network))


@contextmanager
def timed(owner: type, name: str) -> Iterator[list[float]]:
    """The seconds of each call of a method, while this lasts."""
    method, seconds = getattr(owner, name), list[float]()

    def call(*given: Any) -> object:
        start = perf_counter()
        answer = method(*given)
        seconds.append(perf_counter() - start)
        return answer

    with patch.object(owner, name, call):
        yield seconds


def parts(model: Model, asked: Request) -> tuple[float, float, float]:
    """The seconds of one picture's steps, of making its job, and of drawing its noise, the network apart."""
    engine = Engine()
    with timed(Philox, "__call__") as starts, timed(Path, "increment") as increments:
        begun = perf_counter()
        (job,) = taken(model, AtOnce(), asked)
        engine.submit(job)
        made, first = perf_counter(), sum(starts) + sum(increments)
        engine.run()
        ended, drawn = perf_counter(), sum(starts) + sum(increments)
    return ended - made - (drawn - first), made - begun - first, drawn


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
    named = {method.label: replace(ASKED, sampler=name) for name, method in SAMPLERS.items()}
    named[BROWNIAN] = replace(ASKED, sampler="euler_a", noise="brownian")
    asked = {label: walk(model, AtOnce(), request.sampler or "") for label, request in named.items()}
    measured: dict[str, list[tuple[float, float, float]]] = {label: [] for label in named}

    def measure(label: str) -> None:
        measured[label].append(parts(model, named[label]))

    actions: dict[str, Callable[[], object]] = {label: partial(measure, label) for label in named}
    actions[DIFFUSERS] = diffusers_pipeline(channels, side)
    actions[NETWORK] = partial(walk, model, model.network, "dpmpp_2m")
    wholes = {what: median(times) for what, times in alternate(actions, rounds).items()}
    network = (wholes[NETWORK] - wholes[SAMPLERS["dpmpp_2m"].label]) / STEPS
    rows = []
    for label in named:
        medians = (median(list(seconds)) for seconds in zip(*measured[label][1:], strict=True))
        rows.append([label, *of_network([seconds / asked[label] for seconds in medians], network)])
    theirs = of_network([wholes[DIFFUSERS] / STEPS], network)
    rows.append([DIFFUSERS, *theirs[:2], "in it", "in it"])
    rows.append([NETWORK, f"{1000 * network:.2f}", "100%", "", ""])
    how = f"{machine()}; medians of {rounds} rounds in turn, {STEPS} steps, batch 1, guided."
    columns = ["steps of", "ms a question", "of the network", "making the job", "drawing noise"]
    return f"{how}\n\n{table(columns, rows)}"


def of_network(seconds: Sequence[float], network: float) -> list[str]:
    """The first in milliseconds, and all as shares of the network's time."""
    return [f"{1000 * seconds[0]:.2f}", *(f"{part / network:.2%}" for part in seconds)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    print(report(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
