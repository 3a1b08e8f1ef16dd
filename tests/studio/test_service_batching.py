"""Continuous batching: one pass at a time, within its bound, whose failures stay with the culprit."""

import pytest
import torch
from test_engine import MIX, Pointwise, finished, job

from darkroom.studio.serving.batching import Batch
from darkroom.studio.serving.room import Room, peak_of

ENDLESS = 10**12


def run(batch: Batch) -> list:
    passes = []
    while done := batch.turn():
        passes.append(done)
    return passes


@pytest.mark.parametrize("most", [1, 2, 5, 64])
def test_pictures_that_join_at_any_time_end_as_alone_and_no_pass_is_too_large(most):
    network, batch, jobs = Pointwise(), Batch(Room(most, ENDLESS)), [job(Pointwise(), *spec) for spec in MIX]
    for one in jobs:
        one.network = network
        batch.join(one, number=jobs.index(one))
        batch.turn()
    run(batch)
    assert max(network.calls) <= most
    for one, spec in zip(jobs, MIX, strict=True):
        torch.testing.assert_close(
            one.result, finished(Pointwise(), [spec])[0], rtol=1e-6, atol=1e-6, equal_nan=False
        )


def test_a_pass_holds_no_more_than_memory_allows():
    class Greedy(Pointwise):
        def forward(self, x, time, cond):
            torch.empty(len(x), 2**18)  # a mebibyte a row
            return super().forward(x, time, cond)

    network, batch = Greedy(), Batch(Room(64, 5 * 2**20))
    for i in range(8):
        batch.join(job(network, i, "euler", 3, 1.0), number=i)
    run(batch)
    assert network.calls[0] == 2 and max(network.calls) == 4


def test_too_little_memory_makes_passes_smaller_and_no_picture_fail():
    class Full(Pointwise):
        def forward(self, x, time, cond):
            if len(x) > 3:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")
            return super().forward(x, time, cond)

    network, batch = Full(), Batch(Room(64, ENDLESS))
    jobs = [job(network, i, "euler", 3, 1.0) for i in range(8)]
    for one in jobs:
        batch.join(one)
    passes = run(batch)
    assert not any(done.failed for done in passes) and all(one.done for one in jobs)
    assert len(network.calls) < 3 * 8, "it learned a bound above one"


@pytest.mark.parametrize("culprit", range(1, 7))
def test_a_failure_in_a_pass_stays_with_its_picture(culprit):
    class Picky(Pointwise):
        def forward(self, x, time, cond):
            if (cond.pooled[:, 0] == torch.tensor(0.1) * culprit).any():
                raise ValueError("not this one")
            return super().forward(x, time, cond)

    batch = Batch(Room(64, ENDLESS))
    jobs = [job(Picky(), i, "euler", 3, 2.0) for i in range(7)]
    seats = []
    for one in jobs:
        one.network = jobs[0].network
        seats.append(batch.join(one))
    passes = run(batch)
    failed = [(seat, str(error)) for done in passes for seat, error in done.failed]
    assert failed == [(seats[culprit], "not this one")]
    assert [one.done for one in jobs] == [i != culprit for i in range(7)]


def test_a_small_model_waits_for_one_step_of_a_large_one_at_most():
    from time import sleep

    class Slow(Pointwise):
        def forward(self, x, time, cond):
            sleep(0.05)
            return super().forward(x, time, cond)

    large, small, batch = Slow(), Pointwise(), Batch(Room(64, ENDLESS))
    batch.join(job(large, 1, "euler", 6, 1.0))
    batch.turn()
    batch.join(job(small, 2, "euler", 20, 1.0))
    while not small.calls or len(small.calls) < 20:
        batch.turn()
    assert len(large.calls) <= 3
    run(batch)
    assert len(large.calls) == 6


def test_the_urgent_go_first_where_a_pass_cannot_hold_all():
    batch, network = Batch(Room(1, ENDLESS)), Pointwise()
    calm, urgent = job(network, 1, "euler", 3, 1.0), job(network, 2, "euler", 3, 1.0)
    batch.join(calm, number=1)
    batch.turn()
    batch.join(urgent, urgency=1, number=2)
    for _ in range(3):
        assert not urgent.done
        batch.turn()
    assert urgent.done and calm.answered == 1


def test_who_leaves_is_asked_no_more():
    batch, network = Batch(Room(64, ENDLESS)), Pointwise()
    seats = [batch.join(job(network, i, "euler", 5, 1.0)) for i in range(3)]
    batch.turn()
    batch.leave(seats[1])
    batch.leave(seats[1])
    run(batch)
    assert sum(network.calls) == 5 + 1 + 5
    assert [seat.job.done for seat in seats] == [True, False, True]


def test_a_peak_is_what_lives_at_one_time():
    x = torch.ones(1000)
    with torch.inference_mode(), peak_of(x.device) as peak:
        one = x + 1
        two = x + 2
        del one
        three = x * 3
        four = three.view(10, 100)
        del three
        five = x - 1
    assert peak.bytes == 3 * x.nbytes
    del two, four, five
