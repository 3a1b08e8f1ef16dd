"""``darkroom serve`` as its users start it: a process of its own, on a free port of this machine."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TOKEN = "a token that nobody guesses"


@dataclass
class Running:
    """A server process, where it listens, and what it wrote."""

    process: subprocess.Popen
    url: str
    log: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@contextmanager
def serving(folder: Path, *words: str, token: str | None = TOKEN) -> Iterator[Running]:
    """A server with ``folder`` as its user's own; it is killed in the end if it is still there."""
    env = os.environ | {"DARKROOM_HOME": str(folder)} | ({"DARKROOM_TOKEN": token} if token else {})
    log = folder / "server.log"
    command = [sys.executable, "-m", "darkroom", "serve", "--port", "0", "--no-page", *words]
    with log.open("w") as errors:
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=errors, text=True)
    watchdog = threading.Timer(120, process.kill)
    watchdog.start()
    try:
        line = process.stdout.readline()
        assert line.startswith("Darkroom listens on "), log.read_text()
        yield Running(process, line.split()[-1], log)
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        process.stdout.close()
