"""One server and one browser for all tests of the page: the real command, a real Chromium."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
PATIENCE = 20_000
"""Milliseconds that anything may take on a busy machine."""


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of ``darkroom serve`` on a folder of its own."""
    pytest.importorskip("nicegui", reason="the page needs NiceGUI: pip install 'darkroom[serve]'")
    home = tmp_path_factory.mktemp("home")
    (home / "styles.csv").write_text("name,prompt,negative_prompt\nBeach day,{prompt} on a beach,night sky\n")
    log = (home / "log").open("w+")
    env = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    command = [sys.executable, "-m", "darkroom", "serve", "--port", "0", "--drain", "1"]
    process = subprocess.Popen(
        command,
        env=env | {"DARKROOM_HOME": str(home), "PYTHONUNBUFFERED": "1"},
        stdout=log,
        stderr=log,
    )
    try:
        yield _address(process, home / "log")
    finally:
        process.terminate()
        process.wait(30)


def _address(process: "subprocess.Popen[bytes]", log: Path) -> str:
    until = time.monotonic() + 90
    while time.monotonic() < until and process.poll() is None:
        if found := re.search(r"http://\S+", log.read_text()):
            return found[0].rstrip("/.")
        time.sleep(0.1)
    pytest.fail(f"darkroom serve did not start:\n{log.read_text()}")


@pytest.fixture(scope="session")
def chromium():
    """A browser; the tests that need one are skipped where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium is installed; on Debian: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(QUIET))
        yield browser
        browser.close()


def is_fault(line) -> bool:
    """Whether a line of the console tells of a fault; that a picture was refused is none."""
    return line.type == "error" and "status of 422" not in line.text


@pytest.fixture
def opened(chromium, url):
    """Opens a place in a browser that was never here: ``opened(path, **context) -> page``.

    Fails at the end where a page asked another host, or a script of it failed.
    """
    contexts, hosts, faults = [], set(), []

    def open_page(path: str = "/", context=None, **options):
        if context is None:
            context = chromium.new_context(**options)
            contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.on("websocket", lambda socket: hosts.add(urlsplit(socket.url).netloc))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda line: faults.append(line.text) if is_fault(line) else None)
        page.goto(url + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert hosts <= {urlsplit(url).netloc, ""}, (
        "a request left the machine"
    )  # "" are addresses that hold data
    assert not faults
