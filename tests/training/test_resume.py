"""A run that is killed, stopped or damaged ends in the same bits as one that was left alone."""

import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from toy import STEPS, digests, journal, recipe

from darkroom.errors import DarkroomError
from darkroom.training.loop import Stopped, train

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["toy", "darkroom.training.loop", "torch._dynamo"])  # imported once


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    out = tmp_path_factory.mktemp("unbroken")
    train(recipe(), out, quiet=True)
    return out


def run(out: Path, workers: int) -> None:
    """What a process of its own does; code 7 says that it was stopped, cleanly."""
    os.setsid()  # a process group of its own, as a shell gives it
    torch.set_num_threads(1)
    try:
        train(recipe(workers=workers), out, quiet=True)
    except Stopped:
        sys.exit(7)


def disturb(out: Path, step: int, hit: Callable[[int], None], workers: int = 0) -> int | None:
    """Start or resume a run and ``hit`` its process once its journal has reached ``step``: its exit code."""
    process = context.Process(target=run, args=(out, workers))
    process.start()
    assert process.pid is not None
    while process.is_alive() and steps_done(out) < step:
        time.sleep(0.001)
    hit(process.pid)
    process.join(60)
    return process.exitcode


def steps_done(out: Path) -> int:
    file = out / "metrics.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def same(out: Path, unbroken: Path) -> bool:
    last = f"checkpoints/step-{STEPS:08d}"
    return digests(out / last) == digests(unbroken / last) and journal(out) == journal(unbroken)


def test_sigkill_at_any_moment(tmp_path: Path, unbroken: Path) -> None:
    rng = random.Random(1)

    def kill(process: int) -> None:
        time.sleep(rng.uniform(0, 0.03))  # in a step, in a checkpoint, in a removal
        os.kill(process, signal.SIGKILL)

    codes = [disturb(tmp_path, step, kill) for step in range(4, STEPS, 6)]
    assert codes.count(-signal.SIGKILL) >= 5
    train(recipe(), tmp_path, quiet=True)
    assert same(tmp_path, unbroken)
    assert not list((tmp_path / "checkpoints").glob(".*")), "half-written checkpoints are swept away"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop(tmp_path: Path, unbroken: Path, number: int) -> None:
    """The whole process group is asked, as a terminal and schedulers do, batch workers too."""
    assert disturb(tmp_path, 7, lambda process: os.killpg(process, number), workers=1) == 7
    names = [path.name for path in sorted((tmp_path / "checkpoints").iterdir())]
    assert int(names[-1].removeprefix("step-")) == steps_done(tmp_path), (
        "saved at the step that it had reached"
    )
    train(recipe(), tmp_path, quiet=True)
    assert same(tmp_path, unbroken)


def test_stopped_after_every_step(tmp_path: Path, unbroken: Path) -> None:
    for _ in range(STEPS):
        train(recipe(), tmp_path, max_minutes=0, quiet=True)
    assert same(tmp_path, unbroken)


def test_damage_is_found_and_the_checkpoint_before_is_used(
    tmp_path: Path, unbroken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    for _ in range(14):
        train(recipe(), out, max_minutes=0, quiet=True)
    file = out / "checkpoints" / "step-00000014" / "optimizer.safetensors"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    train(recipe(), out, quiet=True)
    told = capsys.readouterr().err
    assert "step-00000014' is damaged (optimizer.safetensors has changed)" in told
    assert "carrying on from" in told and "step-00000013" in told
    assert same(out, unbroken)


def test_no_silent_start_from_nothing_when_all_is_damaged(tmp_path: Path) -> None:
    train(recipe(steps=4), tmp_path, quiet=True)
    for file in tmp_path.glob("checkpoints/*/network.safetensors"):
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DarkroomError, match=r"no checkpoint in .* is whole"):
        train(recipe(), tmp_path, quiet=True)
