"""Calls to a Darkroom server: plain HTTP from the standard library, with errors in a sentence."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import OpenerDirector, ProxyHandler, Request, build_opener
from uuid import uuid4

from darkroom.errors import DarkroomError, InvalidRequest

PATIENCE = 60.0
"""Seconds for which a busy or restarting server is asked again."""
SILENCE = 60.0
"""Seconds without a word after which a server is taken for gone; its streams say something every 15."""
LOCAL = ("localhost", "127.0.0.1", "::1")


class Unreachable(DarkroomError):
    """The server does not answer."""


class Caller:
    """Asks one server. Raises InvalidRequest for what is no address of one."""

    def __init__(self, url: str, token: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidRequest(f"'{url}' is no address of a server; write it like http://127.0.0.1:7860.")
        self.url = url.rstrip("/")
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        proxies = ProxyHandler({}) if parts.hostname in LOCAL else ProxyHandler()
        self._opener: OpenerDirector = build_opener(proxies)

    def get(self, path: str) -> Any:
        """JSON from a path."""
        return json.loads(self.data(path))

    def data(self, path: str) -> bytes:
        """What lies at a path."""
        return self._whole(Request(self.url + path, headers=self._headers))

    def post(self, path: str, value: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """Send JSON, get JSON."""
        kind = {"Content-Type": "application/json", **(headers or {})}
        data = json.dumps(value).encode()
        return json.loads(self._whole(Request(self.url + path, data, {**self._headers, **kind})))

    def upload(self, data: bytes) -> str:
        """Send a picture; returns the id that stands for it."""
        mark = uuid4().hex
        head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="picture"\r\n\r\n'
        body = head.encode() + data + f"\r\n--{mark}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={mark}"}
        answer = json.loads(self._whole(Request(f"{self.url}/api/uploads", body, {**self._headers, **kind})))
        return str(answer["id"])

    def events(self, path: str) -> Iterator[tuple[str, Any]]:
        """Server-sent events: their kinds and what they hold. Raises Unreachable where the stream breaks."""
        with self._answer(Request(self.url + path, headers=self._headers)) as answer:
            kind = ""
            for line in _lines(answer, self.url):
                name, _, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    yield kind, json.loads(value)

    def _whole(self, request: Request) -> bytes:
        """The answer, which a busy server gives later."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                with self._answer(request) as answer:
                    return b"".join(_chunks(answer, self.url))
            except Busy as busy:
                if time.monotonic() + busy.seconds > until:
                    raise
                time.sleep(busy.seconds)

    @contextmanager
    def _answer(self, request: Request) -> Iterator[HTTPResponse]:
        try:
            answer: HTTPResponse = self._opener.open(request, timeout=SILENCE)
        except HTTPError as error:
            with error:
                raise _told(error, self.url) from None
        except (URLError, HTTPException, OSError) as error:
            raise _gone(self.url, error) from error
        with closing(answer):
            yield answer


class Busy(DarkroomError):
    """The server wants to be asked again in so many ``seconds``."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


def _told(error: HTTPError, url: str) -> DarkroomError:
    """What the server says is wrong."""
    try:
        message = str(json.loads(error.read())["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return DarkroomError(f"{url} answers {error.code}; is it a Darkroom server? Check the address.")
    wait = error.headers.get("Retry-After", "")
    if error.code == 429:
        return Busy(message, float(wait) if wait.isdigit() else 1.0)
    return Unreachable(message) if error.code == 503 else DarkroomError(message)


def _gone(url: str, error: Exception) -> Unreachable:
    reason = str(getattr(error, "reason", "") or error) or type(error).__name__
    return Unreachable(
        f"{url} does not answer ({reason}); start it with 'darkroom serve', or check the address."
    )


def _chunks(answer: HTTPResponse, url: str) -> Iterator[bytes]:
    try:
        while chunk := answer.read(2**16):
            yield chunk
    except (HTTPException, OSError) as error:
        raise _gone(url, error) from error


def _lines(answer: HTTPResponse, url: str) -> Iterator[str]:
    try:
        while line := answer.readline():
            yield line.decode().rstrip("\r\n")
    except (HTTPException, OSError) as error:
        raise _gone(url, error) from error
