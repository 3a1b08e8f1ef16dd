"""Batches are the same whoever makes them, and trouble in a worker is told in a sentence."""

import multiprocessing
import os
import signal
import time

import numpy as np
import pytest
import torch
from toy import batch

from darkroom.errors import DarkroomError, UnknownName
from darkroom.training.data import WorkerDied, batches
from darkroom.training.recipe import Batch


def troubled(step: int) -> Batch:
    """A user's mistake at step 3, a fault of the program's at step 4."""
    if step == 3:
        raise UnknownName("thing", "aple", ["apple"])
    if step == 4:
        raise ZeroDivisionError("at step four")
    return {"step": np.array([step])}


def test_workers_change_nothing() -> None:
    with batches(batch, range(5, 12)) as here, batches(batch, range(5, 12), workers=2) as there:
        pairs = list(zip(here, there, strict=True))
    assert len(pairs) == 7
    for step, (one, other) in enumerate(pairs, 5):
        assert torch.equal(one["x"], other["x"]) and torch.equal(one["x"], torch.from_numpy(batch(step)["x"]))
        assert one["names"] == other["names"] == [f"row {step}"] * 8
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_users_mistake_is_one_sentence(workers: int) -> None:
    with batches(troubled, range(6), workers=workers) as made:
        assert [next(made)["step"].item() for _ in range(3)] == [0, 1, 2]
        with pytest.raises(DarkroomError, match=r"^there is no thing named 'aple'; did you mean 'apple'\?$"):
            next(made)


def test_a_fault_keeps_its_kind() -> None:
    with (
        batches(troubled, range(4, 6), workers=1) as made,
        pytest.raises(ZeroDivisionError, match="at step four"),
    ):
        next(made)


def test_a_killed_worker_is_told_and_nothing_hangs() -> None:
    started = time.monotonic()
    with batches(batch, range(10_000), workers=1) as made:
        next(made)
        (worker,) = multiprocessing.active_children()
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(WorkerDied, match="run the same command again"):
            list(made)
    assert time.monotonic() - started < 60
    assert not multiprocessing.active_children()


@pytest.mark.filterwarnings("ignore:Got pickle error")
def test_what_cannot_be_sent_to_a_worker_is_named() -> None:
    with (
        pytest.raises(TypeError, match=r"recipe\.batch must be picklable"),
        batches(lambda step: {}, range(3), workers=1),
    ):
        pass


def test_the_hook_for_dead_children_is_left_alone() -> None:
    """Torch's own would raise in the middle of whatever the main thread does."""
    before = signal.getsignal(signal.SIGCHLD)
    with batches(batch, range(3), workers=1) as made:
        next(made)
        assert signal.getsignal(signal.SIGCHLD) == before
