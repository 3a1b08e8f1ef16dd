"""What is made ready for a job: its LoRAs found once, its model as the request wants it."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_service import SMALL

from darkroom.families.starter import Starter
from darkroom.studio.pictures import read
from darkroom.studio.replay import replay
from darkroom.studio.serving import preparing as module
from darkroom.studio.serving.jobs import Status
from darkroom.studio.serving.limits import Limits
from darkroom.studio.serving.preparing import Preparing
from darkroom.studio.serving.service import Service


class Tiled(Starter):
    """What a starter that can work in tiles would be; its pictures are black there, to be known by."""

    def decode_latents(self, latents: torch.Tensor) -> torch.Tensor:
        return super().decode_latents(latents) * 0 - 1


@pytest.fixture
def service(tmp_path):
    with Service(tmp_path / "studio") as service:
        yield service


def test_loras_are_looked_for_once_a_job_however_long_it_waits(monkeypatch):
    found: list[str] = []
    monkeypatch.setattr(module, "with_named_loras", lambda request: found.append(request.prompt) or request)
    preparing = Preparing(SimpleNamespace(of=lambda request: None), Limits())
    job = SimpleNamespace(entry=SimpleNamespace(requests=(SMALL, replace(SMALL, prompt="a dog"))))
    job = type("Job", (), vars(job))()  # one that can be held weakly
    for _ in range(3):
        for number in (0, 1):
            assert preparing.of(SimpleNamespace(job=job, request=number)) is None
    assert found == ["a cat", "a dog"]


def test_a_model_without_tiles_refuses_them_and_makes_no_record_that_is_not_true(service):
    job = service.submit([replace(SMALL, vae_tile=64)])
    ended = service.wait(job.id, 30)
    assert ended.status is Status.FAILED and "takes no tiles" in ended.error


def test_pictures_are_decoded_in_the_tiles_that_were_asked_for(service, monkeypatch):
    monkeypatch.setattr(Starter, "tiled", lambda self, side: Tiled(**vars_of(self)))
    plain, tiled = (service.submit([replace(SMALL, vae_tile=tile)]) for tile in (None, 64))
    shown = []
    for job in (plain, tiled):
        (picture,) = service.wait(job.id, 30).pictures
        path = service.picture(picture)
        shown.append(read(path).pixels)
        assert replay(path)[1].same_file
    assert shown[0].max() > 0 and np.all(shown[1] == 0)


def vars_of(starter: Starter) -> dict[str, object]:
    return {name: getattr(starter, name) for name in ("config", "painter", "autoencoder")}
