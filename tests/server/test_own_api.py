"""Our own API over a studio that develops at once."""

import json
import threading
from dataclasses import fields
from io import BytesIO

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from safetensors.numpy import save_file

from darkroom.server.app import create_app
from darkroom.server.desk import MOST_UPLOADS
from darkroom.server.settings import Settings
from darkroom.server.wishes import Wish
from darkroom.studio import home as home_module
from darkroom.studio.pictures import decode
from darkroom.studio.request import Request
from darkroom.studio.serving.jobs import Status
from darkroom.studio.serving.limits import Limits

ALICE, BOB = "the token of alice", "the token of the bob"


def png(colour="red", **options) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (16, 16), colour).save(buffer, "PNG", **options)
    return buffer.getvalue()


def holder(token: str) -> dict:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def api(client):
    return client()


def submitted(api, **wish) -> dict:
    answer = api.post("/api/jobs", json={"prompt": "a cone"} | wish)
    assert answer.status_code == 202, answer.text
    return answer.json()


def done(api, service, **wish) -> dict:
    job = submitted(api, **wish)["id"]
    service.wait(job)
    return api.get(f"/api/jobs/{job}").json()


def upload(api, data: bytes) -> dict:
    return api.post("/api/uploads", files={"file": ("any/../name.png", data)}).json()


class TestJobs:
    def test_from_wish_to_picture(self, api, service):
        answer = api.post("/api/jobs", json={"prompt": "a cone", "seed": 3, "count": 2})
        job = answer.json()
        assert answer.headers["location"] == f"/api/jobs/{job['id']}" and job["tag"] == "api"
        service.wait(job["id"])
        job = api.get(answer.headers["location"]).json()
        assert job["status"] == "done" and job["position"] is None and len(job["pictures"]) == 2
        picture = api.get(job["pictures"][1]["url"])
        assert decode(picture.content).pixels.shape == (16, 16, 3)
        record = api.get(job["pictures"][1]["url"] + "/record").json()
        assert record["requests"][0]["seed"] == 4 and record["infotext"].startswith("a cone\nSteps: 4")

    def test_cancelling_and_forgetting(self, api, service):
        service.hold.clear()
        job = submitted(api)["id"]
        assert api.post(f"/api/jobs/{job}/cancel").json()["status"] == "cancelled"
        service.hold.set()
        made = done(api, service)
        assert api.delete(f"/api/jobs/{made['id']}").status_code == 204
        assert api.get(f"/api/jobs/{made['id']}").status_code == 404
        assert api.get(made["pictures"][0]["url"]).status_code == 404

    def test_the_same_key_is_the_same_job(self, api):
        keys = [{"Idempotency-Key": key} for key in ("a", "a", "b")]
        ids = [api.post("/api/jobs", json={"prompt": "a cone"}, headers=key).json()["id"] for key in keys]
        assert ids[0] == ids[1] != ids[2]

    def test_the_list_is_the_newest_first(self, api, service):
        ids = [done(api, service)["id"] for _ in range(3)]
        listed = api.get("/api/jobs", params={"limit": 2}).json()
        assert [one["id"] for one in listed] == ids[:0:-1]
        older = api.get("/api/jobs", params={"before": listed[-1]["created"]}).json()
        assert [one["id"] for one in older] == ids[:1]

    def test_a_failure_is_told(self, api, service):
        service.fails = "the starter draws no such thing."
        assert done(api, service)["error"] == service.fails


def test_a_wish_has_what_a_request_has_by_itself():
    """So that a field that is added there is not forgotten here, nor its default another."""
    ours, theirs = Wish.model_fields, {field.name: field for field in fields(Request)}
    hidden = {"attached", "others", "allow_pickle"}  # named by parts, or left to the server
    assert set(ours) == (set(theirs) - hidden) | {
        "styles",
        "loras",
        "controls",
        "image_prompts",
        "embeddings",
    }
    for name in set(ours) & set(theirs) - {"prompt", "seed", "model"}:
        assert ours[name].default == theirs[name].default, name


class TestOwners:
    def test_nobody_sees_or_stops_the_jobs_of_others(self, client, service):
        tokens = {"alice": ALICE, "bob": BOB}
        api = client(tokens=tokens)
        job = api.post("/api/jobs", json={"prompt": "a cone"}, headers=holder(ALICE)).json()["id"]
        service.wait(job)
        calls = [("GET", ""), ("POST", "/cancel"), ("DELETE", ""), ("GET", "/events")]
        for method, path in calls:
            assert api.request(method, f"/api/jobs/{job}{path}", headers=holder(BOB)).status_code == 404
        assert api.get("/api/jobs", headers=holder(BOB)).json() == []
        assert len(api.get("/api/jobs", headers=holder(ALICE)).json()) == 1
        assert service.view(job).owner == "alice"

    def test_uploads_are_their_owners_alone(self, client):
        api = client(tokens={"alice": ALICE, "bob": BOB})
        sent = api.post("/api/uploads", files={"file": png()}, headers=holder(ALICE)).json()["id"]
        wish = {"prompt": "a cone", "init_image": sent}
        assert api.post("/api/jobs", json=wish, headers=holder(BOB)).status_code == 422
        assert api.post("/api/jobs", json=wish, headers=holder(ALICE)).status_code == 202

    def test_the_queue_and_each_share_of_it_are_bounded(self, client, service):
        service.limits = Limits(queue=3, per_owner=2)
        service.hold.clear()
        api = client(tokens={"alice": ALICE, "bob": BOB})

        def ask(token, path="/api/jobs"):
            return api.post(path, json={"prompt": "a cone"}, headers=holder(token))

        assert [ask(ALICE).status_code for _ in range(2)] == [202, 202]
        refused = ask(ALICE)
        assert refused.status_code == 429 and refused.headers["retry-after"] == "3"
        assert ask(BOB).status_code == 202
        full = ask(BOB)
        assert full.status_code == 429 and full.headers["retry-after"] == "8"  # 7.2 s, and never sooner
        openai = ask(BOB, "/v1/images/generations")
        assert openai.status_code == 429 and openai.json()["error"]["type"] == "rate_limit_error"
        assert ask(BOB, "/sdapi/v1/txt2img").headers["retry-after"] == "8"


class TestPictures:
    def test_a_picture_that_was_sent_is_where_another_starts(self, api, service):
        sent = upload(api, png())
        assert (sent["width"], sent["height"], sent["infotext"]) == (16, 16, None)
        job = submitted(api, init_image=sent["id"], mask=sent["id"], strength=0.5)
        request = service.view(job["id"]).requests[0]
        assert request.init_image.read_bytes() == png() and request.mask == request.init_image
        assert job["requests"][0]["init_image"] is True  # and not where it lies

    def test_a_picture_that_was_made_is_too(self, api, service):
        made = done(api, service)["pictures"][0]["id"]
        job = submitted(api, init_image=made)
        path = service.view(job["id"]).requests[0].init_image
        assert path.read_bytes() == service.picture(made).read_bytes() and path != service.picture(made)

    @pytest.mark.parametrize("name", ["/etc/passwd", "../studio/x", "http://127.0.0.1/x.png", "", "x" * 5000])
    def test_no_paths_and_no_addresses(self, api, name):
        refused = api.post("/api/jobs", json={"prompt": "a cone", "init_image": name})
        assert refused.status_code == 422 and "upload it first" in refused.json()["error"]["message"]
        assert api.get(f"/api/pictures/{name}").status_code in (404, 422)

    def test_only_so_many_can_be_named(self, api, monkeypatch):
        monkeypatch.setattr("darkroom.server.desk.MOST_UPLOADS", 2)
        ids = [upload(api, png(colour))["id"] for colour in ("red", "green", "blue")]
        answers = [api.post("/api/jobs", json={"prompt": "x", "init_image": one}) for one in ids]
        assert [one.status_code for one in answers] == [422, 202, 202] and MOST_UPLOADS >= 100

    def test_uploads_that_are_no_pictures(self, client):
        api = client(pixels=100)
        refused = api.post("/api/uploads", files={"file": png()})
        assert refused.status_code == 422 and "more than 100 pixels" in refused.json()["error"]["message"]
        assert "is not a PNG" in upload(api, b"<svg/>")["error"]["message"]


class TestNames:
    @pytest.fixture
    def lora(self, home):
        (home / "loras").mkdir()
        path = home / "loras" / "ink.safetensors"
        save_file({}, path)
        return path

    def test_files_go_by_names_in_the_users_folder(self, api, service, lora):
        assert api.get("/api/files").json()["loras"] == ["ink"]
        assert api.get("/sdapi/v1/loras").json()[0]["name"] == "ink"
        job = submitted(api, loras=[{"name": "ink", "weight": 0.5}])
        assert service.view(job["id"]).requests[0].attached.loras[0].file == lora
        assert job["requests"][0]["loras"] == [{"name": "ink", "weight": 0.5, "text_weight": None}]
        assert str(lora.parent) not in json.dumps(job)
        submitted(api, prompt="a <lora:ink:0.5> cone")

    @pytest.mark.parametrize("path", ["/api/jobs", "/v1/images/generations", "/sdapi/v1/txt2img"])
    def test_never_by_paths_however_they_are_hidden(self, api, lora, path):
        """Also where choices or the user's wildcards would only later make a tag of them."""
        for name in (str(lora), f"../loras/{lora.name}", "/etc/passwd", "nothing"):
            for prompt in (
                f"<lora:{name}:1>",
                f"{{<lora|<lora}}:{name}:1>",
                f"a {{{{<lora:{name}:1>}}|{{<lora:{name}:1>}}}}",
            ):
                refused = api.post(path, json={"prompt": prompt})
                assert refused.status_code in (400, 422), (prompt, refused.text)
        for wish in ({"loras": [{"name": str(lora)}]}, {"embeddings": [str(lora)]}, {"model": str(lora)}):
            assert api.post("/api/jobs", json={"prompt": "a cone"} | wish).status_code == 422
        assert api.post("/api/jobs", json={"prompt": "__x/../../loras/ink__"}).status_code == 422

    def test_each_folder_is_looked_into_once_and_only_so_many_hang_on_a_model(self, api, lora, monkeypatch):
        looked, named = [], home_module.named
        monkeypatch.setattr(home_module, "named", lambda kind: looked.append(kind) or named(kind))
        submitted(api, loras=[{"name": "ink"}] * 16, prompt="a cone" + "<lora:ink:0.1>" * 16)
        assert looked.count("loras") <= 3, "for the list, for the tags, when the job is taken"
        for wish in ({"loras": [{"name": "ink"}] * 33}, {"prompt": "<lora:ink:1>" * 33}):
            refused = api.post("/api/jobs", json={"prompt": "a cone"} | wish)
            assert refused.status_code == 422 and "32" in refused.json()["error"]["message"]

    def test_nothing_says_where_the_server_keeps_its_files(self, api, home):
        for wish in ({"prompt": "__none__"}, {"styles": ["none"]}, {"prompt": "<lora:none:1>"}):
            refused = api.post("/api/jobs", json={"prompt": "a cone"} | wish)
            assert refused.status_code == 422 and str(home) not in refused.text

    def test_models_are_named_too(self, api):
        for model in ("/etc/passwd", "owner/name", "./starter", "startr"):
            for path in ("/api/jobs", "/v1/images/generations"):
                refused = api.post(path, json={"prompt": "a cone", "model": model})
                assert refused.status_code in (404, 422)
            options = {"override_settings": {"sd_model_checkpoint": model}, "prompt": "a cone"}
            assert api.post("/sdapi/v1/txt2img", json=options).status_code == 422

    def test_styles_of_the_user(self, api, service, home):
        (home / "styles.csv").write_text("name,prompt,negative_prompt\nink,{prompt} in ink,blur\n")
        assert api.get("/api/styles").json() == [
            {"name": "ink", "prompt": "{prompt} in ink", "negative": "blur"}
        ]
        job = submitted(api, styles=["ink"])
        assert service.view(job["id"]).requests[0].prompt == "a cone in ink"
        refused = api.post("/api/jobs", json={"prompt": "a cone", "styles": ["inc"]})
        assert "did you mean 'ink'" in refused.json()["error"]["message"]


class TestLimits:
    def test_too_many_are_refused_before_any_choice_is_made(self, api, monkeypatch):
        monkeypatch.setattr("darkroom.server.checking.expanded", None)
        refused = api.post("/api/jobs", json={"prompt": "a {red|blue} cone", "count": 1000})
        assert refused.status_code == 422 and "too many for one job" in refused.json()["error"]["message"]

    @pytest.mark.parametrize(
        "wish",
        [
            {"prompt": "x" * 8001},
            {"steps": 151},
            {"steps": 10**30},
            {"count": 65},
            {"width": 4096, "height": 4096},
            {"seed_size": [4096, 4096]},
            {"seed": -1},
            {"seed": 2**64},
            {"cfg_scale": "3"},
            {"cfg_scale": 1e9},
            {"count": True},
            {"unknown": 1},
            {"prompt": ""},
            {"sampler": "eular"},
            {"scheduler": "karas"},
            {"cfg_interval": [5, 1]},
        ],
    )
    def test_more_than_there_is_is_refused_in_a_sentence(self, api, wish):
        refused = api.post("/api/jobs", json={"prompt": "a cone"} | wish)
        message = refused.json()["error"]["message"]
        assert refused.status_code == 422 and message.endswith((".", "?")) and len(message) < 1000
        assert api.get("/api/jobs").json() == []

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b'{"prompt": NaN}', b"[" * 10_000])
    def test_what_is_no_wish_at_all(self, api, body):
        refused = api.post("/api/jobs", content=body, headers={"Content-Type": "application/json"})
        assert refused.status_code in (400, 422) and refused.json()["error"]["message"]

    def test_a_fault_of_ours_says_nothing_of_the_inside(self, service, monkeypatch):
        monkeypatch.setattr(service, "jobs", lambda **_: 1 / 0)
        app = create_app(service, Settings(page=False, drain=0))
        with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as api:
            failed = api.get("/api/jobs")
        assert failed.status_code == 500 and "division" not in failed.text
        assert failed.json()["error"]["code"] == "fault"
        assert failed.headers["x-content-type-options"] == "nosniff"


def test_prompts_are_in_the_log_only_when_asked_for(client, caplog):
    caplog.set_level("DEBUG")
    for path in ("/api/jobs", "/v1/images/generations", "/sdapi/v1/txt2img"):
        client().post(path, json={"prompt": "a secret zebra"})
        client().post(path, json={"prompt": "a secret zebra", "sampler_name": "zebra", "sampler": "zebra"})
    assert "1 pictures" in caplog.text and "zebra" not in caplog.text
    client(log_prompts=True).post("/api/jobs", json={"prompt": "a secret zebra"})
    assert "a secret zebra" in caplog.text


def test_a_cancelled_job_is_told_to_who_waits_for_it(client, service):
    service.hold.clear()
    api = client()

    def cancel():
        while not service.views:
            pass
        service.cancel(next(iter(service.views)))

    threading.Thread(target=cancel).start()
    answer = api.post("/v1/images/generations", json={"prompt": "a cone"})
    assert answer.status_code == 409 and answer.json()["error"]["code"] == "cancelled"
    assert Status.CANCELLED in [view.status for view in service.views.values()]
