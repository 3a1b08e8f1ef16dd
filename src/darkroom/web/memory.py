"""What a browser left behind on the page, so that it finds all as it was: kept on the server's disk."""

import json
import re
import secrets
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from darkroom.disk import explaining, whole

COOKIE = "darkroom_browser"
NAME = re.compile(r"[\w-]{32,64}")
LARGEST = 2**20
"""Bytes of one browser's values: more than a person types."""


def browser_of(cookies: dict[str, str]) -> str:
    """The name by which a browser is known again: its own, or a new one that nobody can guess."""
    known = cookies.get(COOKIE, "")
    return known if NAME.fullmatch(known) else secrets.token_urlsafe(32)


class Memory:
    """Values by name of one browser of one owner, written whole to a file whose name tells of neither."""

    def __init__(self, folder: Path, owner: str, browser: str) -> None:
        name = sha256("\0".join((owner, browser)).encode()).hexdigest()
        self.path = folder / f"{name[:32]}.json"
        self.values: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            kept = json.loads(self.path.read_bytes())
            self.values = kept if isinstance(kept, dict) else {}

    def get(self, name: str, otherwise: Any = None) -> Any:
        """A value, or ``otherwise`` where there is none."""
        return self.values.get(name, otherwise)

    def keep(self, name: str, value: Any) -> None:
        """Remember a value that JSON can hold; one that is too large is forgotten with the page."""
        if self.values.get(name) == value:
            return
        self.values[name] = value
        data = json.dumps(self.values).encode()
        if len(data) <= LARGEST:
            with explaining(self.path), whole(self.path) as file:
                file.write(data)
