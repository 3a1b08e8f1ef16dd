"""What the doors answer while the disk is full, of jobs that cannot be read, and to what cannot be kept."""

import sqlite3

import pytest
from fastapi.testclient import TestClient
from tests.server.conftest import LOCAL
from tests.server.test_own_api import png

from darkroom.server.app import create_app
from darkroom.server.settings import Settings
from darkroom.studio.serving import uploads
from darkroom.studio.serving.service import Service

JSON = {"Content-Type": "application/json"}
CALLS = {
    "/api/jobs": lambda told: told["error"]["message"],
    "/v1/images/generations": lambda told: told["error"]["message"],
    "/sdapi/v1/txt2img": lambda told: told["detail"],
}


@pytest.fixture
def real(tmp_path):
    """A service that was not started: it takes jobs, and does none."""
    return Service(tmp_path / "real")


@pytest.fixture
def api(real):
    with TestClient(create_app(real, Settings(page=False, drain=0.0)), base_url=LOCAL) as client:
        yield client


@pytest.mark.parametrize("path", CALLS)
def test_a_full_disk_is_a_reason_to_come_back(api, real, path):
    (pages,) = real.ledger._db.execute("PRAGMA page_count").fetchone()
    real.ledger._db.execute(f"PRAGMA max_page_count = {pages}")
    wish = {"prompt": "x" * 2000, "steps": 2}
    while api.post("/api/jobs", json=wish).status_code == 202:
        assert len(real.jobs()) < 10, "it never became full"
    refused = api.post(path, json=wish)
    assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
    sentence = CALLS[path](refused.json())
    assert sentence.startswith("the queue cannot be read or written: database or disk is full; see that")
    real.ledger._db.execute(f"PRAGMA max_page_count = {pages + 100}")
    assert api.post("/api/jobs", json=wish).status_code == 202


def test_uploads_that_have_no_room_are_a_reason_to_come_back(api, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_BYTES", 10)
    refused = api.post("/api/uploads", files={"file": png()})
    assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
    assert "try again in 60 seconds" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    "field",
    [
        '"init_image": "\\ud800"',
        '"init_image": "x", "mask": "\\udfff"',
        '"image_prompts": [{"name": "x", "encoder": "x", "picture": "\\ud800"}]',
        '"latest": "\\ud800"',
        '"model": "\\ud800"',
        '"\\ud800": 1',
    ],
)
def test_half_characters_in_a_wish_are_refused(api, real, field):
    answer = api.post("/api/jobs", content=f'{{"prompt": "a cone", {field}}}', headers=JSON)
    assert answer.status_code == 422 and "not utf-8; retype it" in answer.json()["error"]["message"]
    assert real.jobs() == []


def test_a_job_of_another_version_is_in_no_list(api, real):
    bad, good = (api.post("/api/jobs", json={"prompt": "a cone", "steps": 2}).json()["id"] for _ in range(2))
    with sqlite3.connect(real.folder / "queue.sqlite") as db:
        db.execute("""UPDATE jobs SET requests = '[{"newer": 1}]' WHERE id = ?""", (bad,))
    db.close()
    real.cancel(good)
    real._board._jobs.clear()  # as after a start
    assert [job["id"] for job in api.get("/api/jobs").json()] == [good]
    answer = api.get(f"/api/jobs/{bad}")
    assert answer.status_code == 404 and "another version" in answer.json()["error"]["message"]
