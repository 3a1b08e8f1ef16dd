"""What goes wrong, said in the shape that each door's clients read."""

import logging
import math
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from darkroom.errors import DarkroomError, UnknownName
from darkroom.server.headers import ALWAYS, API_POLICY
from darkroom.studio.serving.jobs import NoSuchJob, QueueFull, QuotaReached

log = logging.getLogger("darkroom.server")

OPENAI, A1111 = "/v1/", "/sdapi/"
CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    421: "misdirected",
    422: "invalid",
    429: "busy",
    500: "fault",
    503: "stopping",
}
OPENAI_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
}


class Refused(DarkroomError):
    """A refusal that has its own HTTP status, and in OpenAI's API the name of what is to blame."""

    def __init__(
        self,
        message: str,
        status: int = 422,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code, self.retry_after = status, param, code, retry_after


def shaped(
    path: str, status: int, message: str, param: str | None = None, code: str | None = None
) -> dict[str, object]:
    """An error as the clients of the door at ``path`` read it."""
    code = code or CODES.get(status, "error")
    if path.startswith(OPENAI):
        kind = OPENAI_TYPES.get(status, "invalid_request_error")
        return {"error": {"message": message, "type": kind, "param": param, "code": code}}
    if path.startswith(A1111):
        return {"error": code, "detail": message, "body": "", "errors": message}
    return {"error": {"code": code, "message": message, "field": param}}


def refusal(
    path: str,
    status: int,
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The response to what cannot be had. OpenAI's clients know 400 where others read 422."""
    status = 400 if status == 422 and path.startswith(OPENAI) else status
    param = None if param is None else _encodable(param)
    return JSONResponse(shaped(path, status, _encodable(message), param, code), status, headers)


def _encodable(text: str) -> str:
    """With half characters escaped: messages quote what was sent, and JSON may hold such."""
    return text.encode("utf-8", "backslashreplace").decode()


def explain(app: FastAPI) -> None:
    """Answer every error of this app in its door's shape."""
    app.add_exception_handler(DarkroomError, _refused)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(HTTPException, _by_status)
    app.add_exception_handler(Exception, _fault)


def status_of(error: DarkroomError) -> int:
    """The HTTP status of an error that its reader can put right."""
    if isinstance(error, Refused):
        return error.status
    if isinstance(error, QueueFull | QuotaReached):
        return 429
    return 404 if isinstance(error, NoSuchJob) else 422


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, DarkroomError)
    wait = getattr(error, "retry_after", None)
    param, code = getattr(error, "param", None), getattr(error, "code", None)
    if isinstance(error, UnknownName):
        param = param or error.kind
    headers = {} if wait is None else {"Retry-After": str(max(1, math.ceil(wait)))}
    return refusal(request.url.path, status_of(error), str(error), param=param, code=code, headers=headers)


def _unreadable(request: Request, error: Exception) -> Response:
    """What pydantic found, the first thing of it: a field and what is wrong with it."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:] if not isinstance(part, int) or part < 1000)
    if first["type"] == "extra_forbidden":
        message = f"there is no field '{place}' here; leave it out."
    elif first["type"] == "missing":
        message = f"the field '{place}' is missing; give it."
    else:
        message = f"{place or 'the request'} cannot be read: {str(first['msg']).lower()}."
    return refusal(request.url.path, 422, message, param=place or None)


def _by_status(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = {
        404: "there is nothing at this address; see the documentation of this API.",
        405: f"{request.method} means nothing at this address; see the documentation of this API.",
    }.get(error.status_code, str(error.detail))
    return refusal(request.url.path, error.status_code, message, headers=error.headers)


def _fault(request: Request, error: Exception) -> Response:
    """Starlette answers these outside of the guard, so that they need its headers from here."""
    message = "Darkroom failed; its log says how. Please report it."
    headers = {**ALWAYS, "Content-Security-Policy": API_POLICY, "Cache-Control": "no-store"}
    return refusal(request.url.path, 500, message, headers=headers)
