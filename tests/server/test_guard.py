"""Who may come in, and what browsers are told: each rule on every route, mounted apps and sockets too."""

import re
from base64 import b64encode

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from darkroom.cli.main import main
from darkroom.errors import DarkroomError
from darkroom.server.app import create_app
from darkroom.server.guard import COOKIE, cookie_of
from darkroom.server.settings import Settings, read_tokens
from darkroom.studio.serving.limits import Limits

TOKEN, OTHER = "the token of alice", "the token of the bob"
TOKENS = {"alice": TOKEN, "bob": OTHER}
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def basic(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"anyone:{password}".encode()).decode()}


class TestWhereItListens:
    def test_only_this_machine_by_itself(self):
        assert Settings().is_local and Settings(host="localhost").is_local and Settings(host="::1").is_local

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "studio.example.org"])
    def test_no_other_place_without_a_token(self, host):
        with pytest.raises(DarkroomError, match="set a token"):
            Settings(host=host)
        Settings(host=host, tokens=TOKENS)

    def test_the_command_line_refuses_too(self, capsys):
        with pytest.raises(SystemExit) as end:
            main(["serve", "--host", "0.0.0.0", "--no-page"])
        assert end.value.code == 2 and "set a token with --token-file" in capsys.readouterr().err

    @pytest.mark.parametrize("token", ["short", "sixteen letters\n", "sixteen lettérs!"])
    def test_tokens_that_could_be_guessed_or_not_be_sent(self, token):
        with pytest.raises(DarkroomError, match="the token of 'x' is no good"):
            Settings(tokens={"x": token})

    def test_tokens_from_a_file(self, tmp_path):
        path = tmp_path / "tokens"
        path.write_text("alice aaaaaaaaaaaaaaaaaaaa  # her laptop\n\n# nobody\nbob bbbbbbbbbbbbbbbbbbbb\n")
        assert read_tokens(path) == {"alice": "a" * 20, "bob": "b" * 20}
        path.write_text("a" * 20)
        assert read_tokens(path) == {"token": "a" * 20}
        for bad in ("", "x " + "a" * 20 + "\nx " + "b" * 20, "too many words here"):
            path.write_text(bad)
            with pytest.raises(DarkroomError, match="holds no tokens"):
                read_tokens(path)

    def test_a_mark_within_a_token_begins_no_comment(self, tmp_path):
        path = tmp_path / "tokens"
        path.write_text("#alice aaaaaaaaaaaaaaaaaaaa\nbob bbbbbbbbbbbbbbbb#bbbb\t# hers\n  # nobody\n")
        assert read_tokens(path) == {"bob": "bbbbbbbbbbbbbbbb#bbbb"}


def every_call(app) -> list[tuple[str, str]]:
    """Method and path of every operation, with something in each place."""
    found = [("GET", "/api/openapi.json"), ("GET", "/"), ("GET", "/nothing"), ("POST", "/logout")]
    for path, methods in app.openapi()["paths"].items():
        found += [(method.upper(), re.sub(r"\{\w+\}", "x", path)) for method in methods]
    return found


class TestTokens:
    def test_every_route_wants_one(self, client):
        closed = client(tokens=TOKENS)
        calls = every_call(closed.app)
        assert len(calls) > 50
        for method, path in calls:
            for headers in (
                {},
                {"Authorization": "Bearer wrong"},
                basic("wrong"),
                {"Cookie": f"{COOKIE}={TOKEN}"},
            ):
                answer = closed.request(method, path, headers=headers)
                assert answer.status_code == 401, (method, path, headers)
                assert TOKEN not in answer.text

    @pytest.mark.parametrize(
        "headers",
        [BEARER, basic(TOKEN), {"Cookie": f"{COOKIE}={cookie_of(TOKEN)}"}],
        ids=["bearer", "basic", "cookie"],
    )
    def test_it_comes_in_three_ways(self, client, headers):
        assert client(tokens=TOKENS, headers=headers).get("/api/models").status_code == 200

    def test_without_tokens_everyone_here_may(self, client):
        assert client().get("/api/models").status_code == 200

    def test_challenges_fit_the_door(self, client):
        closed = client(tokens=TOKENS)
        assert closed.get("/sdapi/v1/options").headers["www-authenticate"].startswith("Basic")
        assert closed.get("/api/jobs").headers["www-authenticate"].startswith("Bearer")

    def test_mounted_apps_and_sockets_are_behind_it(self, service):
        app = create_app(service, Settings(page=False, drain=0, tokens=TOKENS))

        @app.websocket("/socket")
        async def socket(websocket: WebSocket):
            await websocket.accept()
            await websocket.send_text(websocket.state.owner)
            await websocket.close()

        app.mount("/mounted", lambda *_: pytest.fail("let in"))
        with TestClient(app, base_url="http://127.0.0.1") as inside:
            assert inside.get("/mounted/x").status_code == 401
            for headers in (
                {},
                {"Authorization": "Bearer wrong"},
                BEARER | {"Origin": "http://evil.example"},
            ):
                with pytest.raises(WebSocketDisconnect), inside.websocket_connect("/socket", headers=headers):
                    pytest.fail("let in")
            cookie = {"Cookie": f"{COOKIE}={cookie_of(TOKEN)}", "Host": "127.0.0.1"}
            with inside.websocket_connect(
                "/socket", headers=cookie | {"Origin": "http://127.0.0.1"}
            ) as opened:
                assert opened.receive_text() == "alice"


class TestLogin:
    def test_people_are_led_to_it_and_programs_are_told(self, client):
        closed = client(tokens=TOKENS)
        led = closed.get("/library", headers={"Accept": "text/html"})
        assert led.status_code == 303 and led.headers["location"] == "/login?next=/library"
        assert closed.get("/library").status_code == 401

    def test_the_right_token_sets_a_cookie_that_is_not_the_token(self, client):
        closed = client(tokens=TOKENS)
        assert closed.post("/login", data={"token": "wrong"}).status_code == 401
        entered = closed.post("/login?next=/library", data={"token": TOKEN})
        assert entered.status_code == 303 and entered.headers["location"] == "/library"
        cookie = entered.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and TOKEN not in cookie
        assert closed.get("/api/models").status_code == 200  # the client keeps cookies
        closed.post("/logout")
        assert closed.get("/api/models").status_code == 401

    @pytest.mark.parametrize(
        "next", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "/a\r\nb"]
    )
    def test_it_leads_nowhere_else(self, client, next):
        closed = client(tokens=TOKENS)
        assert closed.post("/login", params={"next": next}, data={"token": TOKEN}).headers["location"] == "/"
        assert "evil" not in closed.get("/login", params={"next": next}).text

    def test_pages_of_others_cannot_log_in(self, client):
        entering = client(tokens=TOKENS).post("/login", data={"token": TOKEN}, headers={"Origin": "null"})
        assert entering.status_code == 403


class TestHosts:
    @pytest.mark.parametrize(
        "host", ["127.0.0.1", "127.0.0.1:7860", "localhost:1", "LOCALHOST", "[::1]:7860"]
    )
    def test_its_own_names(self, client, host):
        assert client().get("/api/models", headers={"Host": host}).status_code == 200

    @pytest.mark.parametrize(
        "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "8.8.8.8", "[::2]"]
    )
    def test_no_others_even_with_a_token(self, client, host):
        closed = client(tokens=TOKENS, headers=BEARER)
        assert closed.get("/api/models", headers={"Host": host}).status_code == 421

    def test_two_at_once(self, client):
        headers = [("Host", "127.0.0.1"), ("Host", "evil.example")]
        assert client().get("/api/models", headers=headers).status_code == 421

    def test_names_that_were_added(self, client):
        known = client(hosts=("Studio.example.org",))
        assert known.get("/api/models", headers={"Host": "studio.example.org:8080"}).status_code == 200

    def test_everywhere_it_goes_by_the_address_that_was_called(self, service):
        app = create_app(service, Settings(page=False, host="0.0.0.0", tokens=TOKENS, drain=0))
        with TestClient(app, base_url="http://192.168.1.7", headers=BEARER) as called:
            assert called.get("/api/models").status_code == 200
            assert called.get("/api/models", headers={"Host": "192.168.1.8"}).status_code == 421
            assert called.get("/api/models", headers={"Host": "0.0.0.0"}).status_code == 421


class TestOrigins:
    @pytest.mark.parametrize(
        "origin",
        [
            "null",
            "http://evil.example",
            "https://127.0.0.1",
            "http://127.0.0.1:81",
            "http://127.0.0.1.evil.example",
            "",
        ],
    )
    def test_pages_of_others_cannot_ask(self, client, origin):
        ours = client()
        for method, path in (("GET", "/api/models"), ("POST", "/api/jobs"), ("POST", "/sdapi/v1/interrupt")):
            assert ours.request(method, path, headers={"Origin": origin}).status_code == 403

    def test_ours_can(self, client):
        ours = client()
        assert ours.get("/api/models", headers={"Origin": "http://127.0.0.1"}).status_code == 200
        host = {"Host": "localhost:7860", "Origin": "http://localhost:7860"}
        assert ours.get("/api/models", headers=host).status_code == 200

    def test_those_that_were_added_can_and_browsers_are_told(self, client):
        ours = client(origins=("https://pages.example",))
        told = ours.get("/api/models", headers={"Origin": "https://pages.example"})
        assert told.status_code == 200
        assert told.headers["access-control-allow-origin"] == "https://pages.example"
        asking = {"Origin": "https://pages.example", "Access-Control-Request-Method": "POST"}
        assert ours.options("/api/jobs", headers=asking).status_code == 200
        other = ours.get("/api/models", headers={"Origin": "https://other.example"})
        assert other.status_code == 403 and "access-control-allow-origin" not in other.headers

    def test_clients_in_browsers_may_send_what_they_send_and_read_what_is_told(self, client, service):
        """OpenAI's for one; what it sends of its own is none of ours to list."""
        ours, page = client(origins=("https://pages.example",)), {"Origin": "https://pages.example"}
        wanted = "authorization,content-type,x-stainless-lang,x-stainless-os"
        asking = page | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": wanted}
        told = ours.options("/v1/images/generations", headers=asking)
        assert told.status_code == 200 and told.headers["access-control-allow-headers"] == wanted
        assert ours.options("/v1/models", headers=asking | {"Origin": "https://x.example"}).status_code == 400
        service.limits = Limits(queue=0)
        full = ours.post("/api/jobs", json={"prompt": "a cone"}, headers=page)
        read = full.headers["access-control-expose-headers"].lower().split(", ")
        assert full.headers["retry-after"] and set(read) == {"location", "retry-after"}

    def test_what_browsers_fetch_for_others_without_an_origin(self, client):
        ours = client()
        image = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
        assert ours.get("/api/models", headers=image).status_code == 403
        visit = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        assert ours.get("/api/models", headers=visit).status_code == 200
        assert ours.post("/sdapi/v1/interrupt", headers=visit).status_code == 403


class TestAnswers:
    @pytest.mark.parametrize(
        "path", ["/api/models", "/nothing", "/v1/models", "/sdapi/v1/options", "/login", "/api/jobs/x"]
    )
    def test_every_one_says_how_browsers_must_take_it(self, client, path):
        for answer in (client().get(path), client().get(path, headers={"Host": "evil.example"})):
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-frame-options"] == "DENY"
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert answer.headers["cache-control"] == "no-store"

    def test_types_of_pictures_are_fixed(self, client, service):
        ours = client()
        job = ours.post("/api/jobs", json={"prompt": "a cone"}).json()["id"]
        (picture,) = service.wait(job).pictures
        for format in ("png", "jpeg", "webp"):
            told = ours.get(f"/api/pictures/{picture}?format={format}")
            assert told.headers["content-type"] == f"image/{format}"
        assert ours.get(f"/api/pictures/{picture}?format=svg").status_code == 422

    @pytest.mark.parametrize(
        "path", ["/api/uploads", "/v1/images/generations", "/sdapi/v1/txt2img", "/login"]
    )
    @pytest.mark.parametrize("chunked", [False, True])
    def test_bodies_are_bounded(self, client, path, chunked):
        ours = client(body=1024)
        data = iter([b"x" * 600, b"x" * 600]) if chunked else b"x" * 1200
        kind = "multipart/form-data; boundary=x" if path == "/api/uploads" else "application/json"
        refused = ours.post(path, content=data, headers={"Content-Type": kind})
        assert refused.status_code == 413 and "too large" in refused.text
        assert refused.headers["x-content-type-options"] == "nosniff"
        assert refused.json().keys() >= {"error"}
