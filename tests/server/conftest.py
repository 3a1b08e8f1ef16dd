"""Doors over a studio that develops at once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.server.fake import FakeService

from darkroom.server.settings import Settings

LOCAL = "http://127.0.0.1"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """The user's own folder, empty."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("DARKROOM_HOME", str(folder))
    return folder


@pytest.fixture
def service(tmp_path) -> Iterator[FakeService]:
    folder = tmp_path / "studio"
    folder.mkdir()
    service = FakeService(folder)
    yield service
    service.hold.set()
    service.stop(0)


@pytest.fixture
def client(service) -> Iterator[Callable]:
    """Clients of an app with these settings."""
    from contextlib import ExitStack

    from fastapi.testclient import TestClient

    from darkroom.server.app import create_app

    with ExitStack() as stack:

        def make(headers: dict | None = None, **settings) -> TestClient:
            app = create_app(service, Settings(page=False, drain=0.2, **settings))
            made = TestClient(app, base_url=LOCAL, headers=headers, follow_redirects=False)
            return stack.enter_context(made)

        yield make
