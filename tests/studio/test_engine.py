"""The engine: any mix of jobs shares one forward, and none of them can tell."""

from dataclasses import replace

import pytest
import torch
from bench.sampler_overhead import AtOnce, walk
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from darkroom.diffusion.grids import trailing
from darkroom.diffusion.guidance import autoguidance, cfg, cfg_zero_star, unguided
from darkroom.diffusion.levels import Flow
from darkroom.diffusion.noise import Philox
from darkroom.diffusion.prediction import predict_x0
from darkroom.diffusion.process import Process
from darkroom.diffusion.samplers import SAMPLERS
from darkroom.networks.conditioning import Conditioning
from darkroom.studio.engine import Engine, Job
from darkroom.studio.models import load_model

SHAPE = (2, 4, 4)
PROCESS = Process(Flow(), predict_x0)


class Pointwise(nn.Module):
    """A nonlinear network of position, time and prompt whose rows cannot touch each other."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[int] = []

    def forward(self, x: Tensor, time: Tensor, cond: Conditioning) -> Tensor:
        self.calls.append(len(x))
        assert cond.tokens is not None and cond.mask is not None
        told = (cond.tokens * cond.mask[..., None]).sum(dim=(1, 2))
        return torch.tanh(x * (1 + told[:, None, None, None]) + time[:, None, None, None])


def prompt(value: float, length: int) -> Conditioning:
    tokens = torch.full((1, length, 3), value)
    return Conditioning(tokens=tokens, mask=torch.ones(1, length, dtype=torch.bool), pooled=tokens[:, 0])


def job(network: nn.Module, seed: int, sampler: str, steps: int, scale: float) -> Job:
    grid, noise = trailing(PROCESS.schedule, steps), Philox.run(seed, 1, SHAPE)
    method = SAMPLERS[sampler]
    guide = (
        cfg(prompt(0.1 * seed, 1 + seed), prompt(0.0, 1), scale) if scale != 1 else unguided(prompt(0.2, 2))
    )
    return Job(method(noise(0), grid, noise), guide, PROCESS, network, method.questions(grid))


MIX = [
    (1, "euler", 3, 2.0),
    (2, "heun", 5, 1.0),
    (3, "dpmpp_2m", 4, 3.5),
    (4, "euler_a", 7, 2.0),
    (5, "ddpm", 2, 1.0),
]


def finished(network: nn.Module, specs: list, max_rows: int = 64) -> list[Tensor]:
    jobs, engine = [job(network, *spec) for spec in specs], Engine(max_rows)
    for one in jobs:
        engine.submit(one)
    engine.run()
    return [one.result for one in jobs]


@pytest.mark.parametrize("max_rows", [1, 3, 64])
def test_a_job_among_others_ends_as_it_would_alone(max_rows):
    together = finished(Pointwise(), MIX, max_rows)
    alone = [finished(Pointwise(), [spec])[0] for spec in MIX]
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


def test_all_that_is_asked_at_once_is_one_forward():
    network = Pointwise()
    finished(network, MIX)
    assert network.calls[0] == 2 + 1 + 2 + 2 + 1
    assert len(network.calls) == max(2 * 5 - 1, 7)


def test_a_late_job_joins_the_next_step():
    network, engine = Pointwise(), Engine()
    first, late = job(network, *MIX[0]), job(network, *MIX[2])
    engine.submit(first)
    engine.step()
    engine.submit(late)
    engine.run()
    assert network.calls == [2, 4, 4, 2, 2]
    torch.testing.assert_close(late.result, finished(Pointwise(), [MIX[2]])[0])


def test_jobs_of_different_networks_do_not_share_a_forward():
    one, two, engine = Pointwise(), Pointwise(), Engine()
    for network in (one, two):
        engine.submit(job(network, *MIX[0]))
    engine.run()
    assert one.calls == two.calls == [2, 2, 2]


def test_a_guide_may_ask_another_network_than_the_jobs():
    own, weak = Pointwise(), Pointwise()
    guide = autoguidance(prompt(0.2, 2), weak, 2.0)
    grid, noise = trailing(PROCESS.schedule, 3), Philox.run(0, 1, SHAPE)
    engine = Engine()
    engine.submit(Job(SAMPLERS["euler"](noise(0), grid, noise), guide, PROCESS, own, 3))
    engine.run()
    assert own.calls == weak.calls == [1, 1, 1]


def test_a_guide_may_ask_nothing():
    network, engine = Pointwise(), Engine()
    guide = cfg_zero_star(prompt(0.2, 2), prompt(0.0, 1), 2.0, zero_above=0.9)
    grid, noise = trailing(PROCESS.schedule, 3), Philox.run(0, 1, SHAPE)
    engine.submit(Job(SAMPLERS["euler"](noise(0), grid, noise), guide, PROCESS, network, 3))
    engine.run()
    assert network.calls == [2, 2]


def test_conditions_that_are_asked_again_are_stacked_once(monkeypatch):
    stacked, stack = [], Conditioning.stack
    monkeypatch.setattr(Conditioning, "stack", lambda many: stacked.append(len(many)) or stack(many))
    together = finished(Pointwise(), [MIX[0], MIX[2]])
    assert stacked == [4, 2], "once for both jobs, and once for the one that goes on"
    for one, spec in zip(together, (MIX[0], MIX[2]), strict=True):
        torch.testing.assert_close(one, finished(Pointwise(), [spec])[0])


def test_every_estimate_is_heard_and_counted():
    heard: list[int] = []
    one = replace(job(Pointwise(), *MIX[1]), on_step=lambda job, x0: heard.append(job.answered))
    engine = Engine()
    engine.submit(one)
    engine.run()
    assert heard == list(range(1, one.questions + 1))


class Linear(nn.Module):
    """A network of one matrix, which autocast multiplies in the precision asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Linear(4, 4)
        self.seen: list[torch.dtype] = []

    def forward(self, x: Tensor, time: Tensor, cond: Conditioning) -> Tensor:
        answer = self.matrix(x)
        self.seen.append(answer.dtype)
        return answer


def test_a_job_in_bf16_ends_close_by_and_changes_nothing_for_others():
    torch.manual_seed(0)
    network = Linear()
    single = finished(network, MIX[:3])
    engine, jobs = Engine(), [job(network, *spec) for spec in MIX[:3]]
    for one, precision in zip(jobs, (torch.float32, torch.bfloat16, torch.float32), strict=True):
        one.precision = precision
        engine.submit(one)
    network.seen.clear()
    engine.run()
    assert set(network.seen) == {torch.float32, torch.bfloat16}
    assert all(one.result.dtype == torch.float32 for one in jobs)
    torch.testing.assert_close(jobs[0].result, single[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(jobs[2].result, single[2], rtol=0, atol=1e-6)
    assert 0 < (jobs[1].result - single[1]).abs().max() < 0.05


class Counting(TorchDispatchMode):
    """Counts torch's operations."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("sampler", "most"), [("dpmpp_2m", 25), ("euler", 26), ("unipc", 32), ("heun", 50)])
def test_a_step_takes_few_operations_besides_the_network(sampler, most):
    """Each costs a microsecond or two; what does not hang on the answers is worked out before the first."""
    model, network, counts = load_model("starter").model, AtOnce(), []
    for steps in (10, 20):
        with Counting() as counting:
            walk(model, network, sampler, steps)
        counts.append(counting.count)
    assert (counts[1] - counts[0]) / 10 <= most
