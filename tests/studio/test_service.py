"""The service: pictures of many jobs made together are those made alone; each job ends once, and says how."""

import asyncio
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from darkroom.diffusion.samplers import SAMPLERS
from darkroom.errors import DarkroomError, InvalidRequest, UnknownName
from darkroom.studio.develop import develop
from darkroom.studio.pictures import read
from darkroom.studio.replay import read_record, replay
from darkroom.studio.request import Request
from darkroom.studio.serving.jobs import NoSuchJob, QueueFull, QuotaReached, Status
from darkroom.studio.serving.limits import Limits
from darkroom.studio.serving.service import Service

SMALL = Request(prompt="a cat", seed=5, steps=2, width=32, height=32)
LONG = replace(SMALL, steps=150, width=256, height=256)  # outlives what a test does beside it
MIX = [
    SMALL,
    Request(prompt="a red house", seed=9, steps=5, width=64, height=48, sampler="euler", cfg_scale=1.0),
    Request(prompt="two dogs", seed=1, steps=4, width=32, height=32, sampler="heun", cfg_scale=5.0, count=2),
    Request(prompt="a {red|blue|green} cube", seed=3, steps=3, width=48, height=48, count=3),
    Request(prompt="a bird", seed=4, steps=6, width=32, height=32, sampler="euler_a", noise="torch"),
    Request(prompt="a cat AND a dog", seed=2, steps=3, width=32, height=32),
    Request(prompt="a tree", seed=8, steps=3, width=32, height=32, guide="apg", cfg_scale=4.0),
    Request(prompt="a sun", seed=6, steps=4, width=32, height=32, cfg_interval=(0.2, 3.0)),
    Request(prompt="a boat", seed=7, steps=3, width=32, height=32, sampler="dpm_adaptive"),
    Request(prompt="a cup", seed=1, steps=6, width=32, height=32, reuse=2),
    Request(prompt="a star", seed=4, steps=3, width=32, height=32, precision="bfloat16"),
    Request(prompt="a heart", seed=5, steps=3, width=32, height=32, precision="int8"),
]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with Service(tmp_path_factory.mktemp("studio")) as service:
        yield service


@contextmanager
def full_of(service, count=1, **more):
    """While so many long jobs are there, which are cancelled in the end."""
    jobs = [service.submit([LONG], **more) for _ in range(count)]
    yield jobs
    for job in jobs:
        service.cancel(job.id)


def until(true, seconds=60.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)


def test_each_picture_of_any_mix_is_the_one_made_alone_and_replays(service):
    jobs = []
    for i, request in enumerate(MIX):
        jobs.append(service.submit([request], owner=f"owner {i % 3}", priority=i % 2))
        time.sleep(0.02 * (i % 3))
    for job in jobs:
        ended = service.wait(job.id, 120)
        assert (ended.status, ended.error, ended.step) == (Status.DONE, None, ended.steps)
        alone = [picture for request in job.requests for picture in develop(request)]
        assert len(ended.pictures) == len(alone) == sum(request.count for request in job.requests)
        for picture, other in zip(ended.pictures, alone, strict=True):
            path = service.picture(picture)
            assert np.abs(read(path).pixels.astype(int) - other.pixels).max() <= 1
            assert read_record(path) == other.record
    _, likeness = replay(service.picture(ended.pictures[0]))
    assert likeness.largest <= 1 and likeness.same_model


def test_choices_are_made_when_a_job_is_accepted(service):
    job = service.submit([replace(MIX[3], steps=1)])
    assert len({request.prompt for request in job.requests}) > 1
    assert not any("{" in request.prompt for request in job.requests)
    assert service.wait(job.id).requests == job.requests


def test_a_watcher_hears_all_that_happens_in_order(service):
    job = service.submit([replace(SMALL, steps=6, count=2)], previews=2)
    events = list(service.watch(job.id))
    kinds = [event.kind for event in events]
    assert kinds[0] in ("queued", "started") and kinds[-1] == "ended"
    steps = [event.view.step for event in events]
    assert steps == sorted(steps) and steps[-1] == events[-1].view.steps == 6
    shown = [event for event in events if event.kind == "preview"]
    assert {event.picture for event in shown} <= {0, 1} and shown
    assert all(event.pixels.shape == (32, 32, 3) and event.pixels.dtype == np.uint8 for event in shown)
    assert [event.kind for event in service.watch(job.id)] == ["ended"]


def test_a_late_preview_is_near_the_picture(service):
    with full_of(service):
        job = service.submit([replace(SMALL, steps=10)], previews=9)
        (shown,) = (event.pixels for event in service.watch(job.id) if event.kind == "preview")
    made = read(service.picture(service.view(job.id).pictures[0])).pixels
    assert np.abs(made.astype(int) - shown).mean() < 16
    assert np.abs(made.astype(int) - 128).mean() > 16, "or grey would pass"


def test_asyncio_hears_the_same_and_a_sleeper_hears_the_end(service):
    async def hear(sleep):
        job = await asyncio.to_thread(service.submit, [replace(SMALL, steps=20)], previews=1)
        kinds = []
        async for event in service.events(job.id):
            kinds.append(event.kind)
            await asyncio.sleep(sleep)
        return kinds

    async def both():
        return await asyncio.gather(hear(0), hear(0.5))

    quick, slow = asyncio.run(both())
    assert quick[-1] == slow[-1] == "ended"
    assert quick.count("step") > slow.count("step")


def test_cancel_stops_at_a_step_and_stays_so(service):
    with full_of(service) as (job,):
        until(lambda: service.view(job.id).step > 2)
        assert service.cancel(job.id).status is Status.CANCELLED
        until(lambda: service.load()["running"] == 0)
        ended = service.cancel(job.id)
        assert (ended.status, ended.pictures, ended.error) == (Status.CANCELLED, (), None)
    assert [event.view.status for event in service.watch(job.id)] == [Status.CANCELLED]


def test_the_newest_of_a_live_redraw_overtakes_its_own_alone(service):
    first = service.submit([LONG], latest="live")
    others = [service.submit([LONG], latest="live", owner="B"), service.submit([LONG], latest="x")]
    newest = service.submit([SMALL], latest="live")
    assert service.view(first.id).status is Status.CANCELLED
    assert service.wait(newest.id).status is Status.DONE
    assert not any(service.view(job.id).status is Status.CANCELLED for job in others)
    for job in others:
        service.cancel(job.id)


def test_a_key_is_worth_one_job(service):
    first = service.submit([SMALL], key="once")
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(service.submit([LONG], key="once").id)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {first.id}
    other = service.submit([SMALL], key="once", owner="B")
    assert other.id != first.id and service.wait(other.id).status is Status.DONE


def test_what_cannot_be_had_is_refused_at_once_or_in_one_sentence(service):
    for wrong, error in (
        ({"sampler": "eulr"}, UnknownName),
        ({"scheduler": "karas"}, UnknownName),
        ({"model": "startr"}, UnknownName),
        ({"width": 4096, "height": 4096}, InvalidRequest),
        ({"steps": 151}, InvalidRequest),
        ({"count": 65}, InvalidRequest),
        ({"prompt": "a cat <lora:gone:1>"}, UnknownName),
    ):
        with pytest.raises(error):
            service.submit([replace(SMALL, **wrong)])
    with pytest.raises(InvalidRequest):
        service.submit([])
    odd = replace(SMALL, width=40)
    reason = "the starter draws pictures whose sides are multiples of 16, not 40x32."
    service.wait(service.submit([SMALL]).id)
    with pytest.raises(InvalidRequest, match=reason):
        service.submit([odd])


def test_what_only_the_model_can_refuse_ends_the_job_in_one_sentence(tmp_path):
    service = Service(tmp_path)
    job = service.submit([replace(SMALL, width=40)])
    service.start()
    ended = service.wait(job.id)
    assert (ended.status, ended.pictures) == (Status.FAILED, ())
    assert ended.error == "the starter draws pictures whose sides are multiples of 16, not 40x32."
    service.stop()


def test_one_that_goes_wrong_takes_no_other_with_it(service, monkeypatch):
    def broken(x, grid, noise):
        yield x, next(grid.steps())[0]
        raise ZeroDivisionError("at the second step")

    def nowhere(x, grid, noise):
        yield x, next(grid.steps())[0]
        return x * torch.nan

    for name, method in (("broken", broken), ("nowhere", nowhere)):
        monkeypatch.setitem(SAMPLERS, name, replace(SAMPLERS["euler"], name=name, method=method))
    good = service.submit([replace(SMALL, steps=30)])
    bad = [service.submit([replace(SMALL, sampler=name)]) for name in ("broken", "nowhere")]
    errors = [service.wait(job.id).error for job in bad]
    assert errors[0].startswith("the picture could not be made (ZeroDivisionError: at the second step)")
    assert errors[1].startswith("the picture came out as no numbers at all")
    assert service.wait(good.id).status is Status.DONE


def test_a_bound_refuses_with_a_time_to_come_back(tmp_path):
    with Service(tmp_path, Limits(queue=3, per_owner=2)) as service:
        with full_of(service, 2, owner="A", latest="live"):
            assert service.load()["queued"] + service.load()["running"] == 1, "one overtook the other"
            service.submit([LONG], owner="A")
            with pytest.raises(QuotaReached) as quota:
                service.submit([LONG], owner="A")
            service.submit([LONG], owner="A", latest="live")
            service.submit([LONG], owner="B")
            with pytest.raises(QueueFull) as full:
                service.submit([LONG], owner="C")
            assert all(1 <= error.value.retry_after <= 60 for error in (quota, full))
        for job in service.jobs():
            service.cancel(job.id)
        assert service.wait(service.submit([SMALL], owner="A").id).status is Status.DONE


def test_jobs_are_listed_forgotten_and_unknown_ones_named(service):
    job = service.wait(service.submit([SMALL], owner="lister", tag="page").id)
    other = service.submit([SMALL], owner="lister")
    listed = service.jobs(owner="lister")
    assert [one.id for one in listed] == [other.id, job.id]
    assert service.jobs(owner="lister", before=listed[0].created)[0] == job
    assert job.tag == "page"
    path = service.picture(job.pictures[0])
    service.forget(job.id)
    assert not path.exists()
    for ask in (
        service.view,
        service.cancel,
        service.forget,
        service.wait,
        lambda id: list(service.watch(id)),
    ):
        with pytest.raises(NoSuchJob):
            ask(job.id)
    with pytest.raises(DarkroomError, match="no such picture"):
        service.picture(job.pictures[0])
    with pytest.raises(DarkroomError, match="no such picture"):
        service.picture("../queue")


def test_an_upload_is_a_picture_to_start_from_and_kept_once(service):
    made = service.wait(service.submit([SMALL]).id)
    data = service.picture(made.pictures[0]).read_bytes()
    path = service.keep_upload(data)
    assert service.keep_upload(data) == path and path.read_bytes() == data
    request = replace(SMALL, init_image=path, strength=0.5, steps=4)
    job = service.wait(service.submit([request]).id)
    alone = develop(request).images[0].astype(int)
    assert np.abs(read(service.picture(job.pictures[0])).pixels - alone).max() <= 1
    assert service.ledger.upload_names() == {path.name}
    with pytest.raises(DarkroomError, match="no file"):
        service.submit([replace(request, init_image=path.with_name("gone"))])


def test_what_a_stop_leaves_is_done_by_the_next(tmp_path):
    service = Service(tmp_path)
    service.start()
    running = service.submit([replace(SMALL, count=3, steps=100), replace(SMALL, count=30, steps=100)])
    until(lambda: service.view(running.id).step > 1)
    readers = [threading.Thread(target=lambda: list(service.watch(running.id)))]
    readers[0].start()
    with pytest.raises(DarkroomError, match="another Darkroom"):
        Service(tmp_path)
    service.stop(drain=0.0)
    readers[0].join(10)
    assert not readers[0].is_alive(), "a stop ends all watching"
    with pytest.raises(DarkroomError, match="stopping"):
        service.submit([SMALL])
    with pytest.raises(DarkroomError, match="stopped"):
        service.forget(running.id)
    assert service.view(running.id).status is Status.QUEUED, "it can still be looked at"
    again = Service(tmp_path)
    assert again.view(running.id).status is Status.QUEUED
    assert again.ledger.entry(running.id).attempts == 0, "a stop is nobody's fault"
    again.cancel(running.id)
    again.stop()
