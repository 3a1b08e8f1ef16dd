"""The engine: keeps every live picture's sampler, and answers what they all ask in one forward pass.

A picture is a job of one row: a sampler (a generator that asks for x0) inside a guide (a generator that turns
that question into questions for the network). Rows of one forward may stand at different levels and belong to
different jobs, samplers, guides and step counts; none of them knows.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from darkroom.diffusion.guidance import Guide, Guiding, Query
from darkroom.diffusion.levels import Level
from darkroom.diffusion.process import Process
from darkroom.diffusion.samplers import Sampling
from darkroom.networks.conditioning import Conditioning

MAX_ROWS = 64
"""Rows of one forward: beyond this a larger batch is no faster, and memory grows."""


@dataclass
class Job:
    """One picture under way.

    ``questions`` is how often its sampler will ask, ``answered`` how often it has been answered;
    ``precision`` is what the network computes in; ``settle`` has the last word on the final signal;
    ``on_step(job, x0)`` hears every estimate of the clean signal.
    """

    sampling: Sampling
    guide: Guide
    process: Process
    network: nn.Module
    questions: int
    precision: torch.dtype = torch.float32
    settle: Callable[[Tensor], Tensor] | None = None
    on_step: Callable[["Job", Tensor], None] | None = None
    result: Tensor | None = None
    answered: int = 0
    _guiding: Guiding | None = field(default=None, repr=False)
    queries: tuple[Query, ...] = field(default=(), repr=False)

    @property
    def done(self) -> bool:
        """Whether the final signal is there."""
        return self.result is not None

    @torch.inference_mode()
    def start(self) -> None:
        """Run the sampler to its first question."""
        self._advance(lambda: next(self.sampling))

    @torch.inference_mode()
    def answer(self, answers: Sequence[Tensor]) -> None:
        """Hand the guide the network's answers; the guide may ask again, or answer the sampler."""
        assert self._guiding is not None
        try:
            self.queries = self._guiding.send(answers)
        except StopIteration as stop:
            self._step(stop.value)

    def _step(self, x0: Tensor) -> None:
        self.answered += 1
        if self.on_step is not None:
            self.on_step(self, x0)
        self._advance(lambda: self.sampling.send(x0))

    def _advance(self, move: Callable[[], tuple[Tensor, Level]]) -> None:
        try:
            x, level = move()
        except StopIteration as stop:
            self.result = stop.value if self.settle is None else self.settle(stop.value)
            self.queries = ()
        else:
            self._guiding = self.guide(x, level)
            self.queries = next(self._guiding)


class Engine:
    """Runs jobs together. ``max_rows`` bounds one forward pass."""

    def __init__(self, max_rows: int = MAX_ROWS) -> None:
        self.max_rows = max_rows
        self.jobs: list[Job] = []
        self._told: dict[tuple[Conditioning, ...], Conditioning] = {}

    def submit(self, job: Job) -> None:
        """A job joins at the next step."""
        job.start()
        if not job.done:
            self.jobs.append(job)

    def run(self) -> None:
        """Step until every job is done."""
        while self.jobs:
            self.step()

    def step(self) -> None:
        """Answer one round of questions of every live job."""
        asked = [(job, query) for job in self.jobs for query in job.queries]
        answers = self._answer(asked)
        first = 0
        for job in self.jobs:
            last = first + len(job.queries)
            job.answer(answers[first:last])
            first = last
        self.jobs = [job for job in self.jobs if not job.done]

    def _answer(self, asked: Sequence[tuple[Job, Query]]) -> list[Tensor]:
        """The network's x0 for each question, in the order asked."""
        answers: dict[int, Tensor] = {}
        told, self._told = self._told, {}
        for numbers in self._forwards(asked):
            job, queries = asked[numbers[0]][0], [asked[i][1] for i in numbers]
            conds = tuple(query.cond for query in queries)
            cond = self._told[conds] = told.get(conds) or Conditioning.stack(conds)
            x0 = forward(job.process, queries[0].network or job.network, queries, cond, job.precision)
            answers |= zip(numbers, x0.split_with_sizes([query.x.shape[0] for query in queries]), strict=True)
        return [answers[i] for i in range(len(asked))]

    def _forwards(self, asked: Sequence[tuple[Job, Query]]) -> Iterator[list[int]]:
        """The numbers of the questions that can share a forward pass, as few passes as there can be."""
        groups: dict[Hashable, list[int]] = {}
        for i, (job, query) in enumerate(asked):
            groups.setdefault(group_of(job, query), []).append(i)
        for members in groups.values():
            yield from (members[i : i + self.max_rows] for i in range(0, len(members), self.max_rows))


def group_of(job: Job, query: Query) -> Hashable:
    """What questions must have in common to share a forward pass."""
    network = id(query.network or job.network)
    return network, job.process, job.precision, query.x.shape[1:], query.cond.names


@torch.inference_mode()
def forward(
    process: Process,
    network: nn.Module,
    queries: Sequence[Query],
    cond: Conditioning,
    precision: torch.dtype = torch.float32,
) -> Tensor:
    """One forward pass for many questions, row under row: x0 of all, as exact as the signals are.

    ``cond`` holds the conditions of all.
    """
    x = torch.cat([query.x for query in queries])
    lower = precision != torch.float32
    with torch.autocast(x.device.type, precision) if lower else nullcontext():
        return process.denoise(network, x, _level(queries), cond).to(x)


def _level(queries: Sequence[Query]) -> Level:
    """The levels of all rows; one for all where they are asked at the very same."""
    level = queries[0].level
    if level.t.numel() == 1 and all(query.level is level for query in queries):
        return level
    levels = [query.level.expand(len(query.x)) for query in queries]
    return Level(*(torch.cat(parts) for parts in zip(*levels, strict=True)))
