"""Pictures in and out of the page: opaque ids, checked before they are decoded, from the page alone."""

import io
import struct
import zlib

import pytest
from PIL import Image

fastapi = pytest.importorskip("fastapi", reason="the page needs FastAPI: pip install 'darkroom[serve]'")
from fastapi.testclient import TestClient  # noqa: E402

from darkroom.studio.serving.service import Service  # noqa: E402
from darkroom.web import pictures  # noqa: E402

OURS = {"X-Darkroom": "1"}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    service = Service(tmp_path_factory.mktemp("studio"))
    app = fastapi.FastAPI()
    app.include_router(pictures.router(service))
    yield TestClient(app)
    service.stop()


def png(width: int = 8, height: int = 8) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(buffer, "PNG")
    return buffer.getvalue()


def test_a_picture_comes_back_by_an_id_that_tells_nothing(client):
    answer = client.post("/studio/given", content=png(), headers=OURS)
    told = answer.json()
    assert answer.status_code == 200 and (told["width"], told["height"]) == (8, 8)
    assert len(told["name"]) >= 20
    back = client.get(f"/studio/given/{told['name']}")
    assert back.content == png() and back.headers["content-type"] == "image/png"
    assert back.headers["x-content-type-options"] == "nosniff"
    assert client.post("/studio/given", content=png(), headers=OURS).json()["name"] != told["name"]


def test_a_page_of_another_site_cannot_send(client):
    assert client.post("/studio/given", content=png()).status_code == 403


@pytest.mark.parametrize("data", [b"", b"<svg/>", b"GIF89a" + bytes(40), b"RIFF\0\0\0\0AVI ", png()[:45]])
def test_what_is_no_whole_picture_is_refused_in_a_sentence(client, data):
    answer = client.post("/studio/given", content=data, headers=OURS)
    assert answer.status_code == 422 and answer.json()["error"].endswith(".")


def test_a_picture_that_claims_too_much_is_not_decoded(client):
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    bomb = png()[:8] + chunk + png()[33:]
    assert client.post("/studio/given", content=bomb, headers=OURS).status_code == 422


def test_the_rules_of_the_doors_hold_here_too(client):
    film = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    frames[0].save(film, "PNG", save_all=True, append_images=frames[1:])
    answer = client.post("/studio/given", content=film.getvalue(), headers=OURS)
    assert answer.status_code == 422 and "a film of 3 frames" in answer.json()["error"]
    client.app.state.pixels = 63
    try:
        answer = client.post("/studio/given", content=png(), headers=OURS)
    finally:
        del client.app.state.pixels
    assert answer.status_code == 422 and "more than 63 pixels" in answer.json()["error"]


def test_a_picture_whose_file_is_gone_is_not_found(client, monkeypatch, tmp_path):
    monkeypatch.setattr(Service, "picture", lambda self, picture: tmp_path / "gone.png")
    answer = client.get("/studio/pictures/x")
    assert answer.status_code == 404 and answer.json()["error"].endswith(".")


def test_reading_stops_where_it_is_too_much(client, monkeypatch):
    monkeypatch.setattr(pictures, "LARGEST", 1000)
    read = []

    def parts():
        for _ in range(100):
            read.append(1)
            yield bytes(500)

    answer = client.post("/studio/given", content=parts(), headers=OURS)
    assert answer.status_code == 422 and "smaller" in answer.json()["error"]


@pytest.mark.parametrize("name", ["x", "..%2f..%2fqueue.sqlite", "%2Fetc%2Fpasswd"])
def test_unknown_ids_are_not_found(client, name):
    assert client.get(f"/studio/given/{name}").status_code == 404
    assert client.get(f"/studio/pictures/{name}").status_code == 404


def test_only_so_many_ids_are_kept(tmp_path):
    given = pictures.Given()
    names = [given.add(tmp_path) for _ in range(pictures.KEPT + 3)]
    assert len(given.paths) == pictures.KEPT and names[0] not in given.paths and names[-1] in given.paths
