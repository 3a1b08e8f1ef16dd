"""What a browser left behind on the page, so that it finds all as it was: kept on the server's disk."""

import json
import re
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from threading import Lock, Timer
from typing import Any

from darkroom.disk import explaining, whole
from darkroom.errors import DarkroomError

COOKIE = "darkroom_browser"
NAME = re.compile(r"[\w-]{32,64}")
LARGEST = 2 * 2**20
"""Bytes of one browser's values: more than a person types and paints."""
PAUSE = 1.0
"""Seconds of changes that are written together."""
KEPT = 90 * 86400.0
"""Seconds that a browser is remembered after it was here."""


def browser_of(cookies: Mapping[str, str]) -> str:
    """The name by which a browser is known again: its own, or a new one that nobody can guess."""
    known = cookies.get(COOKIE, "")
    return known if NAME.fullmatch(known) else secrets.token_urlsafe(32)


@lru_cache(maxsize=256)
def memory_of(folder: Path, owner: str, browser: str) -> "Memory":
    """The memory of one browser of one owner, the same for all of its pages."""
    name = sha256("\0".join((owner, browser)).encode()).hexdigest()
    return Memory(folder / f"{name[:32]}.json")


class Memory:
    """Values by name in a file, which is written whole and soon after a change."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.values: dict[str, Any] = {}
        self._lock = Lock()
        self._timer: Timer | None = None
        with suppress(OSError, ValueError):
            kept = json.loads(self.path.read_bytes())
            self.values = kept if isinstance(kept, dict) else {}

    def get(self, name: str, otherwise: Any = None) -> Any:
        """A value, or ``otherwise`` where there is none."""
        return self.values.get(name, otherwise)

    def keep(self, name: str, value: Any) -> None:
        """Remember a value that JSON can hold."""
        with self._lock:
            self.values[name] = value
            if self._timer is None:
                self._timer = Timer(PAUSE, self.write)
                self._timer.daemon = True
                self._timer.start()

    def write(self) -> None:
        """Put all on the disk now; what is too large, or finds no room, is forgotten with the server."""
        with self._lock:
            self._timer, data = None, json.dumps(self.values).encode()
        if len(data) <= LARGEST:
            with suppress(DarkroomError), explaining(self.path), whole(self.path) as file:
                file.write(data)


def sweep(folder: Path) -> None:
    """Forget browsers that have not been here for long."""
    for path in folder.glob("*.json"):
        with suppress(OSError):
            if path.stat().st_mtime < time.time() - KEPT:
                path.unlink()
