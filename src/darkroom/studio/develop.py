"""From a request to pictures: the way through model, guide, sampler and engine."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from darkroom import __version__
from darkroom.diffusion.brownian import Brownian
from darkroom.diffusion.grids import GRIDS, Grid, find
from darkroom.diffusion.guidance import cfg
from darkroom.diffusion.noise import Noise, varied
from darkroom.diffusion.samplers import SAMPLERS, Sampler
from darkroom.diffusion.torch_noise import TorchCpu, TorchGpu, comfy
from darkroom.errors import InvalidRequest, UnknownName
from darkroom.families.family import Model
from darkroom.studio.engine import Engine, Job
from darkroom.studio.files import sha256
from darkroom.studio.models import load_model
from darkroom.studio.pictures import read_to_fit
from darkroom.studio.request import Progress, Record, Request, Result

NOISES: dict[str, Callable[[Sequence[int], Sequence[int]], Noise]] = {
    "philox": Brownian,
    "torch": TorchCpu,
    "torch-gpu": TorchGpu,
    "comfy": comfy,
}
"""Who draws the noise, of seeds and the shape of a row."""


@dataclass
class Clock:
    """Seconds spent in each named part."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, part: str) -> Iterator[None]:
        """Add the time of the block to ``part``."""
        start = perf_counter()
        yield
        self.seconds[part] = self.seconds.get(part, 0.0) + perf_counter() - start


def develop(request: Request, progress: Callable[[Progress], None] | None = None) -> Result:
    """Make the pictures of one request.

    ``progress`` hears of each step that all of its pictures have done; it may raise to cancel.
    Raises DarkroomError for what cannot be had.
    """
    (result,) = develop_many([request], progress)
    return result


def develop_many(
    requests: Sequence[Request], progress: Callable[[Progress], None] | None = None
) -> list[Result]:
    """Make the pictures of many requests together, whatever their models, sizes, samplers and steps."""
    clock = Clock()
    with clock.time("load"):
        loaded = [load_model(request.model) for request in requests]
    with clock.time("encode"):
        filled = [fill(r, one.model) for r, one in zip(requests, loaded, strict=True)]
        jobs = [jobs_of(r, one.model) for r, one in zip(filled, loaded, strict=True)]
    with clock.time("sample"):
        run([(job, one.model) for some, one in zip(jobs, loaded, strict=True) for job in some], progress)
    results = []
    for request, one, some in zip(filled, loaded, jobs, strict=True):
        with clock.time("decode"):
            images = pixels(one.model, torch.cat([result_of(job) for job in some]))
        results.append(Result(images, record(request, one.digest), dict(clock.seconds)))
    return results


def fill(request: Request, model: Model) -> Request:
    """The request with the model's defaults and the scheduler by our name for it.

    Raises InvalidRequest when the size does not fit the model, and UnknownName.
    """
    filled = request.filled(**model.defaults)
    try:
        filled = replace(filled, scheduler=find(filled.scheduler or "").name)
    except KeyError:
        raise UnknownName("scheduler", filled.scheduler or "", GRIDS) from None
    try:
        model.latent_shape(filled.width or 0, filled.height or 0)
    except ValueError as error:
        raise InvalidRequest(f"{error}.") from None
    return filled


def jobs_of(request: Request, model: Model) -> list[Job]:
    """One job a picture of a filled request."""
    assert request.cfg_scale is not None
    told, shunned = (model.encode_prompts([text]) for text in (request.prompt, request.negative))
    guide = cfg(told, shunned, request.cfg_scale)
    shape = model.latent_shape(request.width or 0, request.height or 0)
    sampler, grid, given = sampler_of(request), grid_of(request, model), start_of(request, model)
    jobs = []
    for i in range(request.count):
        noise, start = noise_of(request.single(i), shape)
        x = model.process.corrupt(given, start, grid.start)
        jobs.append(
            Job(
                sampler(x, grid, noise),
                guide,
                model.process,
                model.network,
                sampler.questions(grid),
                getattr(torch, request.precision),
            )
        )
    return jobs


def noise_of(request: Request, shape: Sequence[int]) -> tuple[Noise, Tensor]:
    """The noise of a request for one picture and what it starts from, (1, C, H, W)."""
    source = NOISES[request.noise]
    noise = source((request.seed,), shape)
    if request.variation_seed is None:
        return noise, noise(0)
    return noise, varied(noise(0), source((request.variation_seed,), shape)(0), request.variation_strength)


def sampler_of(request: Request) -> Sampler:
    """The sampler of a filled request; raises UnknownName."""
    if request.sampler not in SAMPLERS:
        raise UnknownName("sampler", request.sampler or "", SAMPLERS)
    return SAMPLERS[request.sampler]


def grid_of(request: Request, model: Model) -> Grid:
    """The levels to visit; only the last ``strength`` of them when there is a picture to start from."""
    assert request.scheduler is not None and request.steps is not None
    grid = GRIDS[request.scheduler](model.process.schedule, request.steps)
    return grid if request.init_image is None else grid.cut(request.strength)


def start_of(request: Request, model: Model) -> Tensor:
    """The latent of the picture to start from, (1, C, H, W); zero where there is none."""
    if request.init_image is None:
        return torch.zeros(1, *model.latent_shape(request.width or 0, request.height or 0))
    picture = read_to_fit(request.init_image, request.width or 0, request.height or 0)
    return model.encode_pictures(torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 127.5 - 1)


def run(jobs: Sequence[tuple[Job, Model]], progress: Callable[[Progress], None] | None) -> None:
    """Run the jobs, each of its own model, to their end, telling of each step."""
    engine, latest = Engine(), dict[int, Tensor]()
    for job, _ in jobs:
        job.on_step = lambda job, x0: latest.__setitem__(id(job), x0)
        engine.submit(job)

    def preview() -> list[np.ndarray]:
        return [pixels(model, latest[id(job)])[0] for job, model in jobs]

    total = max(job.questions for job, _ in jobs)
    while engine.jobs:
        engine.step()
        if progress is not None:
            done = max(job.answered for job, _ in jobs)
            progress(
                Progress(done, max(total, done), preview)
            )  # an adaptive sampler may ask more than it thought


def result_of(job: Job) -> Tensor:
    """The final signal of a job that is done."""
    assert job.result is not None
    return job.result


def pixels(model: Model, latents: Tensor) -> tuple[np.ndarray, ...]:
    """Latents decoded one by one, so that a picture does not depend on its batch: uint8 (H, W, 3) each."""
    pictures = torch.cat([model.decode_latents(latent[None]) for latent in latents])
    values = ((pictures + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return tuple(values.permute(0, 2, 3, 1).cpu().numpy())


def record(request: Request, digest: str) -> Record:
    """What made the pictures of a filled request."""
    start = None if request.init_image is None else sha256(request.init_image)
    return Record(
        request=request,
        model_hash=digest,
        version=__version__,
        torch=torch.__version__,
        dtype=request.precision,
        init_hash=start,
    )
