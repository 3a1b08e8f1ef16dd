"""The runner of bench.inference and its workers understand each other, through a worker that counts."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from bench.inference.measuring import in_turn
from bench.inference.protocol import Rival

WORKER = Path(__file__).with_name("fake_worker.py")
ROOT = str(Path(__file__).parents[2])


@pytest.fixture
def rival(tmp_path: Path) -> Iterator[Rival]:
    made = start(tmp_path)
    yield made
    made.close()


def start(folder: Path) -> Rival:
    return Rival([sys.executable, str(WORKER)], {**os.environ, "PYTHONPATH": ROOT}, folder / "worker.log")


def test_a_start_tells_its_stages(rival: Rival) -> None:
    assert list(rival.seconds) == ["import", "load", "prepare", "step", "all"]
    assert sum(rival.seconds[name] for name in ("load", "prepare")) < rival.seconds["all"]


def test_a_worker_may_know_its_seconds_and_may_print(rival: Rival) -> None:
    assert [rival.step(), rival.step()] == [2, 3]
    assert "very stdout" in rival.log.read_text()
    assert "prints from Python" in rival.log.read_text()


def test_workers_step_in_turn(tmp_path: Path) -> None:
    rivals = {name: start(tmp_path) for name in "ab"}
    assert in_turn(rivals, 2) == {"a": [2, 3], "b": [2, 3]}
    for rival in rivals.values():
        rival.close()


def test_an_answer_comes_as_an_array(rival: Rival, tmp_path: Path) -> None:
    file = rival.ask("answer", file=str(tmp_path / "answer.npy"))["file"]
    assert (np.load(file) == np.full((2, 3), 1)).all()


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
def test_peaks_are_of_the_worker(rival: Rival) -> None:
    peaks = rival.ask("memory")
    assert 0.001 < peaks["steps"] < 1.1 * peaks["start"] < 2  # it allocates next to nothing after its start


def test_a_worker_that_dies_is_told_with_its_code(rival: Rival) -> None:
    rival.step()
    rival.step()
    with pytest.raises(RuntimeError, match=r"code 3; see the end of .*worker\.log"):
        rival.step()


def test_a_worker_sleeps_while_it_waits_and_ends_when_it_is_hung_up_on(rival: Rival) -> None:
    rival.close()
    assert rival.process.returncode == 0
