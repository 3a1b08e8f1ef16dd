"""What ``darkroom doctor`` tells: what was found, what was chosen for a model and why, and how fast it is."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any, TypeVar

from torch import Tensor

from darkroom.studio.develop import fill, how_loaded, jobs_of, pixels
from darkroom.studio.engine import Engine, Job
from darkroom.studio.hung import Hung
from darkroom.studio.models import load_model
from darkroom.studio.placement.choices import Placement
from darkroom.studio.placement.machine import FEATURES, Machine, found
from darkroom.studio.placement.rates import rates
from darkroom.studio.request import Request

Answer = TypeVar("Answer")
PROMPT = "a red apple to the left of a book"
STEPS = 3
"""Steps that are timed; the first shows what preparing costs."""


@dataclass(frozen=True)
class Checkup:
    """``rates`` are in thousand millions of operations a second, ``seconds`` of one picture at the model's
    own size: loading, its first guided step, each further one, and making pixels of it.
    """

    machine: Machine
    rates: Mapping[str, float]
    model: str
    size: tuple[int, int]
    steps: int
    placement: Placement
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def picture(self) -> float:
        """Seconds of a picture of ``steps`` steps."""
        return self.steps * self.seconds["step"] + self.seconds["decode"]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        features = {name: self.machine.has(name) for name in FEATURES}
        machine = {**asdict(self.machine), "features": features}
        placement = {**asdict(self.placement), "why": dict(self.placement.why)}
        return {**self.__dict__, "machine": machine, "placement": placement, "picture": self.picture}


def checkup(model: str = "starter", precision: str | None = None) -> Checkup:
    """Look at the machine, load a model and time it. Raises DarkroomError when it cannot be loaded."""
    measured = rates()
    request = Request(prompt=PROMPT, seed=0, model=model, precision=precision)
    loaded, loading = timed(lambda: load_model(*how_loaded(request)))
    filled = fill(request, loaded.model)
    (job,) = jobs_of(filled, loaded.model, Hung(loaded.model.network))
    latents, steps = stepped(job)
    _, decoding = timed(lambda: pixels(loaded.model, latents))
    seconds = {"load": loading, "first step": steps[0], "step": min(steps[1:]), "decode": decoding}
    size = filled.width or 0, filled.height or 0
    return Checkup(found(), measured, model, size, filled.steps or 0, loaded.placement, seconds)


def stepped(job: Job) -> tuple[Tensor, list[float]]:
    """What a job sees after some steps, and the seconds of each."""
    engine, seen = Engine(), list[Tensor]()
    job.on_step = lambda job, x0: seen.append(x0)
    engine.submit(job)
    seconds = [timed(engine.step)[1] for _ in range(min(STEPS, job.questions))]
    return seen[-1], seconds


def timed(action: Callable[[], Answer]) -> tuple[Answer, float]:
    """What a call answers, and its seconds."""
    begun = perf_counter()
    answer = action()
    return answer, perf_counter() - begun
