"""Clients that wait, hang up or stay while the server is told to stop: real sockets, a studio on a leash."""

import base64
import json
import signal
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import httpx
import pytest

from darkroom.server.app import create_app
from darkroom.server.run import Server, bound
from darkroom.server.settings import Settings
from darkroom.studio.pictures import decode
from darkroom.studio.serving.jobs import Status

CALLS = {
    "openai": ("/v1/images/generations", {"prompt": "a cone"}),
    "stream": ("/v1/images/generations", {"prompt": "a cone", "stream": True, "partial_images": 1}),
    "a1111": ("/sdapi/v1/txt2img", {"prompt": "a cone"}),
}


@pytest.fixture
def live(service):
    """A server in a thread; ``live.stop()`` is what a signal does."""
    settings = Settings(page=False, port=0, drain=5)
    listening, ready = bound(settings), threading.Event()
    server = Server(create_app(service, settings), ready.set)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    assert ready.wait(10)
    server.port, server.thread = listening.getsockname()[1], thread
    yield server
    service.hold.set()
    server.handle_exit(signal.SIGTERM, None)
    thread.join(20)
    assert not thread.is_alive()


def until(true, seconds=10.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)


def running(service, count=1):
    until(lambda: sum(view.step >= 1 for view in service.views.values()) >= count)


@contextmanager
def called(port, path, wish):
    """A call on a socket of its own, whose answer nobody has read yet."""
    body = json.dumps(wish).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head.encode() + body)
        yield connection


@pytest.mark.parametrize("call", CALLS)
def test_who_hangs_up_cancels_the_job(live, service, call):
    service.hold.clear()
    with called(live.port, *CALLS[call]):
        running(service)
    (job,) = service.views
    until(lambda: service.view(job).status is Status.CANCELLED)


def test_jobs_of_our_own_api_go_on_without_their_readers(live, service):
    service.hold.clear()
    base = f"http://127.0.0.1:{live.port}/api/jobs"
    job = httpx.post(base, json={"prompt": "a cone"}).json()["id"]
    with httpx.stream("GET", f"{base}/{job}/events") as stream:
        next(stream.iter_lines())
    service.hold.set()
    assert service.wait(job).status is Status.DONE


def test_events_tell_all_and_end(live, service):
    service.hold.clear()
    base = f"http://127.0.0.1:{live.port}/api/jobs"
    job = httpx.post(base, json={"prompt": "a cone", "previews": 1}).json()["id"]
    told = []
    with httpx.stream("GET", f"{base}/{job}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            service.hold.set()
            name, _, value = line.partition(": ")
            told += [value] if name == "event" else [json.loads(value)] if name == "data" else []
    kinds, values = told[::2], told[1::2]
    assert kinds[0] in ("queued", "started") and kinds[-1] == "ended" and "step" in kinds
    preview = values[kinds.index("preview")]
    assert decode(base64.b64decode(preview["png"])).pixels.shape == (8, 8, 3) and preview["picture"] == 0
    assert values[-1]["job"]["status"] == "done" and "ended" not in kinds[:-1]
    again = httpx.get(f"{base}/{job}/events").text  # of one that has ended
    assert again.startswith("event: ended\n")


def stopped_under(call, live, service):
    """A server told to stop while it works on a call: the thread that waits, and where its answer comes."""
    service.hold.clear()
    path, wish = CALLS[call]
    answers = []
    url = f"http://127.0.0.1:{live.port}{path}"
    caller = threading.Thread(target=lambda: answers.append(httpx.post(url, json=wish, timeout=20)))
    caller.start()
    running(service)
    live.handle_exit(signal.SIGTERM, None)
    return caller, answers


@pytest.mark.parametrize("call", CALLS)
def test_what_runs_is_finished_and_answered_when_the_server_is_told_to_stop(live, service, call):
    caller, answers = stopped_under(call, live, service)
    until(lambda: live.desk.stopping.is_set())
    service.hold.set()
    caller.join(10)
    live.thread.join(10)
    assert (answers[0].status_code == 200 and "b64_json" in answers[0].text) or "images" in answers[0].text
    assert [view.status for view in service.views.values()] == [Status.DONE] and service.closed


@pytest.mark.parametrize("call", CALLS)
def test_what_outlasts_the_drain_is_cancelled_and_its_client_told(live, service, call):
    live.desk.settings = replace(live.desk.settings, drain=0.1)
    caller, answers = stopped_under(call, live, service)
    caller.join(10)
    live.thread.join(10)
    assert "the server is stopping; ask again" in answers[0].text and service.closed
    assert [view.status for view in service.views.values()] == [Status.CANCELLED]


def test_no_more_work_is_taken_then(live, service):
    service.hold.clear()
    with httpx.Client(base_url=f"http://127.0.0.1:{live.port}") as client:
        assert client.get("/api/models").status_code == 200
        live.desk.stopping.set()
        for path, wish in CALLS.values():
            refused = client.post(path, json=wish)
            assert refused.status_code == 503 and refused.headers["retry-after"]


def test_a_stream_that_goes_wrong_says_so(live, service):
    service.fails = "the starter draws no such thing."
    path, wish = CALLS["stream"]
    text = httpx.post(f"http://127.0.0.1:{live.port}{path}", json=wish).text
    told = json.loads(text.split("data: ")[-1])
    assert text.startswith("event: error\n") and told["error"]["message"] == service.fails


@pytest.mark.parametrize(("error", "status"), [("no such thing.", 422), ("oops; please report this.", 500)])
def test_a_failure_is_the_clients_or_ours(live, service, error, status):
    service.fails = error
    path, wish = CALLS["a1111"]
    answer = httpx.post(f"http://127.0.0.1:{live.port}{path}", json=wish)
    assert answer.status_code == status and answer.json()["detail"] == error
