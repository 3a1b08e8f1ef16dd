"""How one picture comes to be, step by step: what goes in, what is guessed, what guidance and words do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from darkroom.diffusion.guidance import Guide, Guiding
from darkroom.diffusion.levels import Level
from darkroom.errors import InvalidRequest
from darkroom.families.family import Model
from darkroom.studio.attending import Attended, attending
from darkroom.studio.develop import fill, grid_of, how_loaded, jobs_of, pixels, result_of
from darkroom.studio.engine import Engine
from darkroom.studio.hung import Hung
from darkroom.studio.models import load_model
from darkroom.studio.request import Request

CURVE = 65
"""Points of the curve of a schedule."""
_ONE = Lock()
"""Hooks belong to a network, and so to one explanation at a time."""


@dataclass(frozen=True)
class Moment:
    """One call of the network. Pictures are uint8 (H, W, 3).

    ``alpha`` and ``sigma`` say how much signal and noise ``noisy`` holds; ``estimate`` is the clean picture
    that sampling goes by; ``alone`` the one of the negative prompt, and ``pull`` (H, W) in [0, 1] how far
    guidance moves each pixel from it: None where nothing guides. ``attention`` (words, h, w) is how much each
    place looks at each word; None where the network does not tell.
    """

    alpha: float
    sigma: float
    noisy: np.ndarray
    estimate: np.ndarray
    alone: np.ndarray | None
    pull: np.ndarray | None
    attention: np.ndarray | None


@dataclass(frozen=True)
class Explanation:
    """A picture and how it came to be; ``curve`` are (alpha, sigma) along the schedule from noise to picture.

    ``words`` are those that ``attention`` is of, the first a token that stands before every prompt;
    ``visited`` are the levels that the steps go through, the last of them the picture's.
    """

    request: Request
    words: tuple[str, ...]
    moments: tuple[Moment, ...]
    picture: np.ndarray
    curve: tuple[tuple[float, float], ...]
    visited: tuple[tuple[float, float], ...]


def explain(request: Request, progress: Callable[[int, int], None] | None = None) -> Explanation:
    """Make one picture and tell of each step.

    ``progress(step, steps)`` may raise to stop. Raises DarkroomError for what cannot be had.
    """
    if request.guide != "cfg" or request.pag_scale or request.attached or request.reuse > 1:
        raise InvalidRequest(
            "a picture is explained with plain guidance, nothing reused and nothing hung on the model."
        )
    model = load_model(*how_loaded(request)).model
    request = fill(replace(request, count=1), model)
    (job,) = jobs_of(request, model, Hung(model.network))
    watched = Watched(job.guide)
    job.guide, engine = watched, Engine()
    with _ONE, attending(job.network) as attended:
        watched.attended = attended
        engine.submit(job)
        while engine.jobs:
            engine.step()
            if progress is not None:
                progress(job.answered, max(job.questions, job.answered))
    words = words_of(model, request.prompt)
    moments = tuple(moment(model, step, words) for step in watched.steps)
    grid = grid_of(request, model)
    times = torch.linspace(1, 0, CURVE, dtype=torch.float64)
    return Explanation(
        request,
        words,
        moments,
        pixels(model, result_of(job))[0],
        shares(grid.schedule.at(times)),
        shares(grid.levels),
    )


@dataclass(frozen=True)
class Step:
    """What went in and out of a guide: answers of the network, and what the guide made of them."""

    x: Tensor
    level: Level
    answers: Sequence[Tensor]
    x0: Tensor
    weights: Tensor | None


class Watched:
    """A guide that notes what it is asked and what it answers."""

    def __init__(self, guide: Guide) -> None:
        self.guide, self.steps = guide, list[Step]()
        self.attended: Attended | None = None

    def __call__(self, x: Tensor, level: Level) -> Guiding:
        guiding, answers = self.guide(x, level), list[Tensor]()
        weights: Tensor | None = None
        queries = next(guiding)
        while True:
            got = yield queries
            if self.attended is not None and self.attended.blocks:
                weights = self.attended.weights[:1]  # of the first question, which is the prompt's
                self.attended.clear()
            answers += got
            try:
                queries = guiding.send(got)
            except StopIteration as stop:
                self.steps.append(Step(x, level, answers, stop.value, weights))
                return stop.value


def moment(model: Model, step: Step, words: Sequence[str]) -> Moment:
    """A step as pictures."""
    noisy, estimate = pixels(model, torch.cat([step.x, step.x0]))
    alone = pixels(model, step.answers[1])[0] if len(step.answers) == 2 else None
    attention = None if step.weights is None else placed(step.weights, step.x, len(words))
    return Moment(
        float(step.level.alpha),
        float(step.level.sigma),
        noisy,
        estimate,
        alone,
        None if alone is None else distance(estimate, alone),
        attention,
    )


def distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How far two pictures are from each other at each pixel, (H, W) in [0, 1]."""
    return np.abs(one.astype(np.float32) - other).mean(axis=2) / 255


def placed(weights: Tensor, x: Tensor, words: int) -> np.ndarray | None:
    """Attention (1, positions, tokens) laid out as the picture is: float32 (words, h, w)."""
    positions, tokens = weights.shape[1:]
    side = round((x.shape[-1] * x.shape[-2] / positions) ** 0.5)
    if tokens < words:
        return None
    maps = weights[0, :, :words].T.unflatten(1, (x.shape[-2] // side, x.shape[-1] // side))
    return maps.float().cpu().numpy()


def words_of(model: Model, prompt: str) -> tuple[str, ...]:
    """The words as the starter reads them, after the token that stands before them; none of other models."""
    from darkroom.families.starter import Starter

    if not isinstance(model, Starter):
        return ()
    return ("(start)", *model.tokenizer.pieces(prompt))


def shares(levels: Level) -> tuple[tuple[float, float], ...]:
    """(alpha, sigma) of each level."""
    return tuple(zip(levels.alpha.tolist(), levels.sigma.tolist(), strict=True))
