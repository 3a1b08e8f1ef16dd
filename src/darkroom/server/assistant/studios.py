"""Where an assistant's pictures are made: in this process, or on a server. Both take our API's wishes."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError

from darkroom.errors import DarkroomError, InvalidRequest
from darkroom.server import catalogue
from darkroom.server.desk import Desk
from darkroom.server.shapes import job_told
from darkroom.server.views import record_of
from darkroom.server.wishes import Wish, requests_of, told
from darkroom.studio.calls import Caller

Heard = Callable[[int, int], None]
"""(step, steps); may raise to stop."""
NOBODY = ""
"""The owner of what is made without tokens."""
TAG = "mcp"


@dataclass(frozen=True)
class Made:
    """Pictures by their ids, in order, and what should be known of them."""

    pictures: tuple[str, ...]
    notices: tuple[str, ...]


class Studio(Protocol):
    """What an assistant needs of one. All of it raises DarkroomError."""

    def make(self, wish: Mapping[str, Any], heard: Heard) -> Made:
        """The pictures of a wish, when they are there."""
        ...

    def picture(self, picture: str) -> bytes:
        """The PNG of a picture."""
        ...

    def request(self, picture: str) -> dict[str, Any]:
        """What was asked for, as our API tells it."""
        ...

    def keep(self, data: bytes) -> str:
        """An id for a picture that wishes can then name."""
        ...

    def models(self) -> list[dict[str, Any]]:
        """As our API tells them."""
        ...

    def samplers(self) -> dict[str, list[dict[str, Any]]]:
        """Samplers and schedulers, as our API tells them."""
        ...


class Here:
    """In this process."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def make(self, wish: Mapping[str, Any], heard: Heard) -> Made:
        """See Studio."""
        try:
            asked = Wish.model_validate(dict(wish))
        except ValidationError as error:
            first = error.errors()[0]
            raise InvalidRequest(f"{first['loc'][0]}: {first['msg'].lower()}.") from None
        job = self.desk.submit(requests_of(asked, self.desk, NOBODY), owner=NOBODY, tag=TAG)
        try:
            for event in self.desk.service.watch(job.id):
                heard(event.view.step, event.view.steps)
        except BaseException:
            self.desk.service.cancel(job.id)
            raise
        return _made(job_told(self.desk.service.view(job.id)).model_dump())

    def picture(self, picture: str) -> bytes:
        """See Studio."""
        return self.desk.picture(picture)

    def request(self, picture: str) -> dict[str, Any]:
        """See Studio."""
        request = told(record_of(self.desk.picture(picture)).request)
        return dict(json.loads(json.dumps(request)))

    def keep(self, data: bytes) -> str:
        """See Studio."""
        return self.desk.uploads.add(NOBODY, self.desk.keep(data))

    def models(self) -> list[dict[str, Any]]:
        """See Studio."""
        return [one.model_dump() for one in catalogue.models(self.desk)]

    def samplers(self) -> dict[str, list[dict[str, Any]]]:
        """See Studio."""
        return {
            "samplers": [one.model_dump() for one in catalogue.samplers()],
            "schedulers": [one.model_dump() for one in catalogue.schedulers()],
        }


class There:
    """On a server."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    def make(self, wish: Mapping[str, Any], heard: Heard) -> Made:
        """See Studio."""
        job = self.caller.post("/api/jobs", dict(wish))["id"]
        try:
            for _, event in self.caller.events(f"/api/jobs/{job}/events"):
                heard(event["job"]["step"], event["job"]["steps"])
        except BaseException:
            self.caller.post(f"/api/jobs/{job}/cancel")
            raise
        return _made(self.caller.get(f"/api/jobs/{job}"))

    def picture(self, picture: str) -> bytes:
        """See Studio."""
        return self.caller.data(f"/api/pictures/{_plain(picture)}")

    def request(self, picture: str) -> dict[str, Any]:
        """See Studio."""
        record = self.caller.get(f"/api/pictures/{_plain(picture)}/record")
        return dict(record["requests"][0])

    def keep(self, data: bytes) -> str:
        """See Studio."""
        return self.caller.upload(data)

    def models(self) -> list[dict[str, Any]]:
        """See Studio."""
        return list(self.caller.get("/api/models"))

    def samplers(self) -> dict[str, list[dict[str, Any]]]:
        """See Studio."""
        return {kind: self.caller.get(f"/api/{kind}") for kind in ("samplers", "schedulers")}


def _made(job: Mapping[str, Any]) -> Made:
    """Raises DarkroomError for a job that was not done."""
    if job["status"] != "done":
        raise DarkroomError(job["error"] or "it was cancelled; ask again.")
    return Made(tuple(one["id"] for one in job["pictures"]), tuple(job["notices"]))


def _plain(picture: str) -> str:
    """The id, which must not lead elsewhere on the server."""
    if not picture.replace("-", "").replace("_", "").isalnum():
        raise InvalidRequest(f"'{picture[:40]}' is no id of a picture; take one from an earlier result.")
    return picture
