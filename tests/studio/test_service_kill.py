"""Accepted work survives kill -9: nothing is lost, nothing is made twice, whatever the moment."""

import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from killed import CANCELLED, request

from darkroom.studio.replay import read_record
from darkroom.studio.serving.jobs import Status
from darkroom.studio.serving.service import Service

KILLED = Path(__file__).with_name("killed.py")


@pytest.mark.parametrize(("kills", "jobs", "seed"), [(7, 30, 1)])
def test_no_job_is_lost_or_doubled(tmp_path, kills, jobs, seed):
    folder = tmp_path / "studio"
    command = [sys.executable, str(KILLED), str(folder), str(kills), str(jobs), str(seed)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout.split()[1]) >= kills // 2, "the kills came too late to prove anything"
    told = defaultdict(set)
    for line in (folder / "told.txt").read_text().splitlines():
        status, number, job = line.split()
        told[int(number), job].add(status)
    assert len(told) == jobs, "each key was worth one job, in every life"
    service = Service(folder)
    views = service.jobs(limit=1000)
    assert {view.id for view in views} == {job for _, job in told}
    kept = [check(service, number, job, statuses) for (number, job), statuses in told.items()]
    files = [path.stem for path in (folder / "pictures").iterdir()]
    assert sorted(files) == sorted(picture for pictures in kept for picture in pictures)
    service.stop()


def check(service: Service, number: int, job: str, told: set[str]) -> tuple[str, ...]:
    """What became of a job is what was told of it, and its pictures are what was asked for, each once."""
    view, wanted = service.view(job), request(number)
    ends = {status for status in told if status != "accepted"}
    assert ends == {view.status}, "an end that was told stays so"
    assert view.status is Status.DONE or (number % CANCELLED == 0 and view.status is Status.CANCELLED)
    seeds = [read_record(service.picture(picture)).request.seed for picture in view.pictures]
    every = [wanted.seed + i for i in range(wanted.count)]
    assert seeds == every if view.status is Status.DONE else set(seeds) <= set(every)
    return view.pictures
