"""How the server stands in its surroundings: where it listens, who may come in, how much they may bring."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from darkroom.disk import explaining
from darkroom.errors import InvalidRequest

PORT = 7860
"""Where clients of AUTOMATIC1111's web UI look first."""
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
SHORTEST_TOKEN = 16
"""Characters: a shorter token could be guessed in the end."""
NAMELESS = "token"
"""What the holder of a token without a name is called."""
COMMENT = re.compile(r"(?:^|\s)#.*")
MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Settings:
    """``tokens`` by the names of their holders; none at all lets everyone in, and only on this machine.

    ``hosts`` are further names that the server goes by, ``origins`` further pages, as "https://name", whose
    scripts may ask. ``page`` says whether there is a page for people, ``model`` is what those get who name
    none. ``body`` bounds a request in bytes, ``pixels`` a picture that is sent, ``drain`` is how many seconds
    running work has left when the server is stopped. ``log_prompts`` writes prompts into the log.

    Raises InvalidRequest for a place that others can reach without a token, and for a short token.
    """

    host: str = "127.0.0.1"
    port: int = PORT
    tokens: Mapping[str, str] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    page: bool = True
    model: str = "starter"
    body: int = 32 * MIB
    pixels: int = 16 * MIB
    drain: float = 30.0
    log_prompts: bool = False

    def __post_init__(self) -> None:
        for name, token in self.tokens.items():
            if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
                raise InvalidRequest(
                    f"the token of '{name}' is no good; give {SHORTEST_TOKEN} or more plain characters."
                )
        if not self.tokens and not self.is_local:
            raise InvalidRequest(
                f"'{self.host}' can be reached from other machines; set a token with --token-file first."
            )
        for origin in self.origins:
            if not origin.startswith(("http://", "https://")) or origin.count("/") != 2:
                raise InvalidRequest(f"'{origin}' is no origin; write it like https://example.org.")

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host == "localhost" or (is_address(self.host) and ip_address(self.host).is_loopback)

    @property
    def is_everywhere(self) -> bool:
        """Whether it listens on every address of this machine."""
        return is_address(self.host) and ip_address(self.host).is_unspecified

    def url_at(self, port: int) -> str:
        """Where a browser on this machine finds it."""
        host = "127.0.0.1" if self.is_everywhere else self.host
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_address(text: str) -> bool:
    """Whether it is an IP address, which no name server can point elsewhere."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def read_tokens(path: Path) -> dict[str, str]:
    """Tokens by the names of their holders, from lines "TOKEN" or "NAME TOKEN".

    A # begins a comment at the start of a line and after white space; within a token it is a part of that.
    Raises DarkroomError where the file cannot be read, holds none, or has a name twice.
    """
    with explaining(path, "check the path"):
        lines = [COMMENT.sub("", line).split() for line in path.read_text().splitlines()]
    pairs = [line if len(line) == 2 else [NAMELESS, *line] for line in lines if line]
    tokens = {pair[0]: pair[-1] for pair in pairs}
    if not tokens or len(tokens) < len(pairs) or any(len(pair) != 2 for pair in pairs):
        raise InvalidRequest(f"'{path}' holds no tokens; write one a line, each with a name before it.")
    return tokens
