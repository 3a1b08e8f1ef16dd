"""What a run says, and the journal that programs read."""

import itertools
import json
from pathlib import Path

import pytest

from darkroom.training import progress
from darkroom.training.progress import Journal, Report, Smooth, clock


def test_smoothing_has_no_pull_of_its_start() -> None:
    smooth = Smooth()
    for value in (4.0, float("nan"), 4.0, float("inf")):
        smooth.add(value)
    assert smooth.value == pytest.approx(4.0)
    smooth.add(5.0)
    assert 4.0 < smooth.value < 5.0


def test_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """One step of ten pictures in two seconds, after a slow first one; a rest does not count."""
    times = iter([0.0, 100.0, 102.0, 150.0, 152.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(times))
    report = Report("toy", 0, 3603, 10, quiet=True)
    report.tell(1, 1.0, 0)
    report.tell(2, 1.0, 0)
    report.rest()
    report.tell(3, 1.0, 1)
    assert report.text() == "step 3/3603, loss 1, 5.0 pictures/s, 2:00:00 left, 1 skipped"


def test_lines_now_and_then_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    times = itertools.count()
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(times)))
    with Report("toy", 0, 100, 1) as report:
        for step in range(1, 71):
            report.tell(step, 1.0, 0)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "toy: step 30/100",
        "toy: step 60/100",
        "toy: step 70/100",
    ]


def test_quiet_says_only_what_matters(capsys: pytest.CaptureFixture[str]) -> None:
    with Report("toy", 0, 10, 1, quiet=True) as report:
        report.tell(1, 1.0, 0)
        report.say("the disk is on fire [not markup]")
    assert capsys.readouterr().err == "the disk is on fire [not markup]\n"


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00:00"), (59.6, "0:01:00"), (36_061, "10:01:01")])
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_a_journal_drops_what_will_be_done_again_and_lines_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with Journal(path, 0) as journal:
        for step in range(5):
            journal.write(step, {"loss": float(step)})
    with path.open("a") as file:
        file.write('{"step": 5, "lo')
    with Journal(path, 3) as journal:
        journal.write(3, {"loss": float("inf")})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [{"step": k, "loss": float(k)} for k in range(3)] + [{"step": 3, "loss": None}]
