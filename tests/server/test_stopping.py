"""A server that is told to stop while it works, with the starter."""

import asyncio
import signal
import threading
import time

import httpx
from tests.server.running import serving

from darkroom.server.desk import Desk
from darkroom.server.settings import Settings
from darkroom.studio.request import Request
from darkroom.studio.serving.jobs import Status
from darkroom.studio.serving.service import Service

LONG = Request(prompt="a zebra", seed=0, steps=150, width=256, height=256)


def test_sigterm_drains(tmp_path):
    """What runs is finished and answered; what a client only waits for is given up; accepted jobs stay."""
    answers = {}
    with (
        serving(tmp_path, "--limit-rows", "1", "--drain", "60", token=None) as running,
        httpx.Client(base_url=running.url, timeout=60) as client,
    ):

        def call(seed, steps):
            wish = {"prompt": "a zebra", "seed": seed, "steps": steps, "width": 64, "height": 64}
            answers[seed] = httpx.post(f"{running.url}/sdapi/v1/txt2img", json=wish, timeout=60)

        call(0, 2)  # the model is loaded now
        first = threading.Thread(target=call, args=(1, 100))
        first.start()
        while not client.get("/sdapi/v1/progress").json()["state"]["sampling_step"]:
            time.sleep(0.01)
        second = threading.Thread(target=call, args=(2, 2))
        second.start()
        while len(client.get("/api/jobs").json()) < 3:
            time.sleep(0.01)
        kept = client.post("/api/jobs", json={"prompt": "a cone", "steps": 2}).json()["id"]
        running.process.send_signal(signal.SIGTERM)
        first.join(60)
        second.join(60)
        assert running.process.wait(60) in (0, -signal.SIGTERM)
        assert "zebra" not in running.log.read_text()
    assert answers[1].status_code == 200 and len(answers[1].json()["images"]) == 1
    assert answers[2].status_code == 503 and "stopping" in answers[2].json()["detail"]
    with serving(tmp_path, token=None) as running, httpx.Client(base_url=running.url, timeout=60) as client:
        while (job := client.get(f"/api/jobs/{kept}").json())["status"] in ("queued", "running"):
            time.sleep(0.05)
        assert job["status"] == "done"


def test_what_outlasts_the_drain_is_made_by_the_next_start_only_for_who_comes_back(tmp_path):
    """A client that waited is told to ask again; one that has the id of its job will ask for it."""
    service = Service(tmp_path)
    service.start()
    desk = Desk(service, Settings(drain=0.0))
    waited_for, kept = (desk.submit([LONG], owner="", tag="").id for _ in range(2))

    async def stop():
        async with desk.waiting(waited_for):
            while service.view(waited_for).started is None:
                await asyncio.sleep(0.01)
            await desk.stop()

    asyncio.run(stop())
    again = Service(tmp_path)
    assert again.view(waited_for).status is Status.CANCELLED
    assert again.view(kept).status is Status.QUEUED
    again.stop()
