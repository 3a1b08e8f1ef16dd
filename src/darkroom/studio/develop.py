"""From a request to pictures: the way through model, guide, sampler and engine."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from darkroom import __version__
from darkroom.diffusion.grids import GRIDS, Grid
from darkroom.diffusion.samplers import SAMPLERS
from darkroom.errors import InvalidRequest
from darkroom.families.family import Model, Reading
from darkroom.networks.conditioning import Conditioning
from darkroom.studio import digests
from darkroom.studio.engine import Engine, Job
from darkroom.studio.hung import Hung
from darkroom.studio.methods import in_our_names
from darkroom.studio.models import Loaded, open_model
from darkroom.studio.placement.demand import placed
from darkroom.studio.placement.memory import check_setting
from darkroom.studio.placement.precision import DTYPES, default_precision
from darkroom.studio.prompts import guide_of, with_named_loras
from darkroom.studio.request import Progress, Record, Request, Result
from darkroom.studio.retelling import reusing, seeing
from darkroom.studio.start import given_of, start_of


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


def develop(
    request: Request, progress: Callable[[Progress], None] | None = None, memory: str = "auto"
) -> Result:
    """Make the pictures of one request.

    ``progress`` hears of each step that all of its pictures have done; it may raise to cancel. ``memory`` is
    "low", "auto" or "high": how much of a model is in memory at once, which changes no picture.
    Raises DarkroomError for what cannot be had.
    """
    (result,) = develop_many([request], progress, memory)
    return result


def develop_many(
    requests: Sequence[Request],
    progress: Callable[[Progress], None] | None = None,
    memory: str = "auto",
) -> list[Result]:
    """Make the pictures of many requests, whatever their models, sizes, samplers and steps.

    All that share weights are made together; those that change a model in different ways, after each other.
    """
    check_setting(memory)
    clock, found = Clock(), dict[int, Result]()
    requests = [with_named_loras(request) for request in requests]
    for same in by_weights(requests).values():
        results = _together([requests[i] for i in same], progress, clock, memory)
        found |= zip(same, results, strict=True)
    return [found[i] for i in range(len(requests))]


def by_weights(requests: Sequence[Request]) -> dict[object, list[int]]:
    """Places of requests that run on the same weights, or on those of models that nothing changes."""
    groups: dict[object, list[int]] = {}
    for i, request in enumerate(requests):
        key = (how_loaded(request), request.attached.weights) if request.attached else None
        groups.setdefault(key, []).append(i)
    return groups


def how_loaded(request: Request) -> tuple[str, str, str | None, bool, tuple[Path, ...]]:
    """What says which model it is, as :func:`~darkroom.studio.models.open_model` takes it."""
    precision = request.precision or default_precision()
    return request.model, precision, request.variant, request.allow_pickle, request.others


def _together(
    requests: Sequence[Request], progress: Callable[[Progress], None] | None, clock: Clock, memory: str
) -> list[Result]:
    with ExitStack() as stack:
        with clock.time("load"):
            loaded = [open_model(*how_loaded(request)) for request in requests]
            models = [one.model for one in loaded]
            filled = [fill(request, model) for request, model in zip(requests, models, strict=True)]
            filled = stack.enter_context(placed(models, filled, memory))
        return _developed(filled, loaded, progress, clock)


def _developed(
    filled: Sequence[Request],
    loaded: Sequence[Loaded],
    progress: Callable[[Progress], None] | None,
    clock: Clock,
) -> list[Result]:
    models = [in_tiles(one.model, request) for one, request in zip(loaded, filled, strict=True)]
    with ExitStack() as stack:
        with clock.time("encode"):
            hang = stack.enter_context(hung_on(models[0], filled[0]))  # those with attachments share a model
            hung = list(map(hang, filled, models))
            jobs = [list(jobs_of(*each)) for each in zip(filled, models, hung, strict=True)]
        # now, of the files as they were read, which may be replaced while pictures are made
        records = [record(request, one.digest) for request, one in zip(filled, loaded, strict=True)]
        with clock.time("sample"):
            run([(job, model) for some, model in zip(jobs, models, strict=True) for job in some], progress)
    results = []
    for told, model, some, hangs in zip(records, models, jobs, hung, strict=True):
        with clock.time("decode"):
            images = pixels(model, torch.cat([result_of(job) for job in some]))
        results.append(Result(images, told, dict(clock.seconds), hangs.notices))
    return results


def in_tiles(model: Model, request: Request) -> Model:
    """The model as a request wants it to encode and decode."""
    return model if request.vae_tile is None else model.tiled(request.vae_tile)


@contextmanager
def hung_on(model: Model, request: Request) -> Iterator[Callable[[Request, Model], Hung]]:
    """What a filled request hangs on its model hangs there while the block lasts.

    Yields what makes the :class:`Hung` of this request and of others that go with it, see :func:`by_weights`.
    Nothing is imported where nothing hangs.
    """
    if not request.attached:
        yield lambda _, own: Hung(own.network)
        return
    from darkroom.studio.hanging import hanging

    with hanging(model, request) as hang:
        yield lambda other, _: hang(other)


def fill(request: Request, model: Model) -> Request:
    """The request with the defaults of model and machine, sampler and scheduler by our names.

    Raises InvalidRequest when the size does not fit the model or it cannot do what is asked, and UnknownName.
    """
    filled = in_our_names(request).filled(**model.defaults, precision=default_precision())
    filled = in_our_names(filled)  # the model's defaults too
    size = filled.width or 0, filled.height or 0
    try:
        for width, height in (size, filled.seed_size or size):
            model.latent_shape(width, height)
    except ValueError as error:
        raise InvalidRequest(f"{error}.") from None
    _check_accepted(filled, model)
    return filled


def _check_accepted(request: Request, model: Model) -> None:
    """Raise InvalidRequest for a wish that this model cannot fulfil, rather than pass over it."""
    asked = {
        "clip skip": request.clip_skip is not None,
        "guidance": request.guidance is not None and "guidance" not in model.defaults,
        "loras": request.attached.loras,
        "controls": request.attached.controls,
        "image prompts": request.attached.image_prompts,
        "embeddings": request.attached.embeddings,
        "emphasis": request.emphasis != "a1111",
        "variant": request.variant is not None,
    }
    for wish, there in asked.items():
        if there and wish.replace(" ", "_") not in model.accepts:
            raise InvalidRequest(f"{model.name} takes no {wish}; leave that out, or choose another model.")


def jobs_of(request: Request, model: Model, hung: Hung, places: Iterable[int] | None = None) -> Iterator[Job]:
    """One job a picture of a filled request, or of those at ``places``, with what hangs on its model.

    Each is made when it is taken; the first takes longest, as prompts and pictures are encoded once for all.
    """
    width, height = request.width or 0, request.height or 0
    options = (request.clip_skip, request.guidance, request.emphasis, hung.embeddings)

    @cache
    def encode(text: str, wanted: bool) -> Conditioning:
        return model.encode_prompts([text], Reading(width, height, wanted, *options))

    process, sampler, grid = (
        model.process_at(width, height),
        SAMPLERS[request.sampler or ""],
        grid_of(request, model),
    )
    given = given_of(request, model)
    for i in range(request.count) if places is None else places:
        guide = guide_of(request, encode, grid, hung.finish, middle_blocks(request, model))
        start = start_of(request.single(i), model, given, grid)
        if start.kept:
            guide = start.kept.guide(guide)
        elif start.concat is not None:
            guide = seeing(guide, start.concat)
        yield Job(
            sampler(start.x, grid, start.noise),
            guide if request.reuse == 1 else reusing(guide, request.reuse),
            process,
            hung.network,
            sampler.questions(grid),
            DTYPES[request.precision or default_precision()],
            start.kept.settle if start.kept else None,
        )


def middle_blocks(request: Request, model: Model) -> Sequence[bool]:
    """Those whose attention a request has perturbed. Raises InvalidRequest where the network has none."""
    blocks: Sequence[bool] | None = getattr(model.network, "middle_blocks", None)
    if request.pag_scale and not blocks:
        raise InvalidRequest(f"{model.name} takes no pag scale; leave that out, or choose another model.")
    return blocks or ()


def grid_of(request: Request, model: Model) -> Grid:
    """The levels to visit; only the last ``strength`` of them when there is a picture to start from."""
    assert request.scheduler is not None and request.steps is not None
    schedule = model.process_at(request.width or 0, request.height or 0).schedule
    try:
        grid = GRIDS[request.scheduler](schedule, request.steps)
    except ValueError:  # at whole indices of a thousand there are not so many
        raise InvalidRequest(
            f"the scheduler '{request.scheduler}' has no {request.steps} steps to take; take fewer, or "
            "choose another."
        ) from None
    return grid if request.init_image is None else grid.cut(request.strength)


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
    return Record(
        request=request,
        model_hash=digest,
        version=__version__,
        torch=torch.__version__,
        dtype=request.precision or default_precision(),
        hashes={str(path): digests.digest(path) for path in request.files()},
    )
