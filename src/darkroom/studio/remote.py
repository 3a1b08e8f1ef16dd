"""Darkroom on another machine, or in another process: the same ``generate``, and the same results."""

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from darkroom.errors import DarkroomError, InvalidRequest
from darkroom.studio.attachments import Control, ImagePrompt, Lora
from darkroom.studio.calls import PATIENCE, Caller, Unreachable
from darkroom.studio.home import name_of
from darkroom.studio.request import Progress, Request, Result

if TYPE_CHECKING:
    import numpy as np

FILES = ("init_image", "mask", "others", "attached", "allow_pickle", "model")
"""Fields of a request that are not sent as they are."""


class RemoteRoom:
    """A server that makes pictures. ``model`` is one that it has; None is the one that it was started with.

    Raises DarkroomError where nobody answers at ``url``, or the token is wrong.
    """

    def __init__(self, url: str, token: str | None = None, model: str | None = None) -> None:
        self.model = model
        self.caller = Caller(url, token)
        self.models: list[dict[str, Any]] = self.caller.get("/api/models")

    def generate(
        self,
        prompt: str,
        progress: Callable[[Progress], None] | None = None,
        *,
        styles: Sequence[str] = (),
        styles_file: Path | None = None,
        previews: int = 0,
        **settings: Any,
    ) -> Result:
        """Pictures of a prompt; ``settings`` are the other fields of :class:`Request`, such as ``seed``.

        Pictures to start from are sent; LoRAs and the like are named, and lie on the server, as do styles and
        wildcards; with a ``styles_file`` its styles are laid around the prompt here. ``progress`` hears of
        each step and may raise to stop; its previews need ``previews``, every so many steps. Raises
        DarkroomError for what cannot be had.
        """
        if "model" in settings:
            raise InvalidRequest("the model is chosen when connecting: darkroom.connect(url, model=...).")
        request = Request(prompt=prompt, **settings)
        return self.develop(request, progress, styles=styles, styles_file=styles_file, previews=previews)

    def develop(
        self,
        request: Request,
        progress: Callable[[Progress], None] | None = None,
        *,
        styles: Sequence[str] = (),
        styles_file: Path | None = None,
        previews: int = 0,
    ) -> Result:
        """The pictures of a request, whose ``model`` is not looked at. Raises DarkroomError."""
        if styles_file is not None:
            request, styles = _styled(request, styles, styles_file), ()
        sent: dict[str, Path] = {}
        wish = self._wish(request, sent) | {"styles": list(styles), "previews": previews}
        start = time.perf_counter()
        job = self.caller.post("/api/jobs", wish, {"Idempotency-Key": uuid4().hex})["id"]
        try:
            ended = self._watched(job, progress, previews)
        except BaseException:
            self._give_up(job)
            raise
        if ended["status"] != "done":
            raise DarkroomError(ended["error"] or "somebody cancelled this on the server; ask again.")
        return self._result(ended, sent, {"server": time.perf_counter() - start})

    def _wish(self, request: Request, sent: dict[str, Path]) -> dict[str, Any]:
        """What our API takes: only what is not as it is by itself."""
        if request.others or request.allow_pickle:
            raise InvalidRequest(
                "parts of models and pickles stay where they are; set the model up on the server."
            )
        wish: dict[str, Any] = {"seed": request.seed}
        for one in fields(Request):
            value = getattr(request, one.name)
            if one.name not in FILES and (one.default is MISSING or value != one.default):
                wish[one.name] = value
        if self.model is not None:
            wish["model"] = self.model
        for name in ("init_image", "mask"):
            if path := getattr(request, name):
                wish[name] = self._upload(path, sent)
        return wish | self._attached(request, sent)

    def _attached(self, request: Request, sent: dict[str, Path]) -> dict[str, Any]:
        attached = request.attached
        wish = {
            "loras": [_lora(one) for one in attached.loras],
            "controls": [self._control(one, sent) for one in attached.controls],
            "image_prompts": [self._image_prompt(one, sent) for one in attached.image_prompts],
            "embeddings": [name_of(path) for path in attached.embeddings],
        }
        return {name: value for name, value in wish.items() if value}

    def _control(self, one: Control, sent: dict[str, Path]) -> dict[str, Any]:
        plain = {"scale": one.scale, "start": one.start, "end": one.end, "mode": one.mode}
        return {"name": name_of(one.model), "picture": self._upload(one.picture, sent), **plain}

    def _image_prompt(self, one: ImagePrompt, sent: dict[str, Path]) -> dict[str, Any]:
        names = {"name": name_of(one.model), "encoder": name_of(one.encoder), "scale": one.scale}
        return names | {"picture": self._upload(one.picture, sent)}

    def _upload(self, path: Path, sent: dict[str, Path]) -> str:
        """Send a file, and remember what it is called here."""
        from darkroom.studio.pictures import read_bytes

        data = read_bytes(path)
        sent[sha256(data).hexdigest()] = path
        return self.caller.upload(data)

    def _watched(
        self, job: str, progress: Callable[[Progress], None] | None, previews: int
    ) -> dict[str, Any]:
        """How a job ended; a server that restarts goes on with it, and is asked again."""
        heard = _Heard(progress, previews)
        until = time.monotonic() + PATIENCE
        while True:
            try:
                for kind, told in self.caller.events(f"/api/jobs/{job}/events"):
                    until = time.monotonic() + PATIENCE
                    heard.hear(kind, told)
                    if kind == "ended":
                        return dict(told["job"])
            except Unreachable:
                if time.monotonic() > until:
                    raise
            if time.monotonic() > until:
                raise Unreachable(f"{self.caller.url} has said nothing of the job for too long; ask again.")
            time.sleep(0.5)

    def _give_up(self, job: str) -> None:
        """Nobody waits for it any more."""
        try:
            self.caller.post(f"/api/jobs/{job}/cancel")
        except DarkroomError:
            return

    def _result(
        self, ended: Mapping[str, Any], sent: Mapping[str, Path], seconds: dict[str, float]
    ) -> Result:
        from darkroom.studio.expanding import gathered

        made = [self._made(one["url"], sent) for one in ended["pictures"]]
        whole = gathered(made)
        return Result(whole.images, whole.record, seconds, tuple(ended["notices"]))

    def _made(self, path: str, sent: Mapping[str, Path]) -> Result:
        """A picture with its record, in which files that were sent have the names that they have here."""
        from darkroom.studio.metadata import from_json
        from darkroom.studio.pictures import decode

        decoded = decode(self.caller.data(path))
        record = from_json(decoded.texts.record or "{}")
        names = {Path(there): sent[digest] for there, digest in record.hashes.items() if digest in sent}
        return Result((decoded.pixels,), record.moved(names))


class _Heard:
    """Tells of steps, with the latest previews: where they are wanted, once every picture has one."""

    def __init__(self, progress: Callable[[Progress], None] | None, previews: int) -> None:
        self.progress, self.previews = progress, previews
        self.shown: dict[int, np.ndarray] = {}

    def hear(self, kind: str, told: Mapping[str, Any]) -> None:
        job = told["job"]
        if kind == "preview":
            from darkroom.studio.pictures import decode

            self.shown[told["picture"]] = decode(base64.b64decode(told["png"])).pixels
        count = sum(request["count"] for request in job["requests"])
        ready = not self.previews or len(self.shown) == count
        if self.progress is not None and kind == "step" and job["steps"] and ready:
            self.progress(Progress(job["step"], job["steps"], self.preview))

    def preview(self) -> "list[np.ndarray]":
        """The latest of each picture. Raises DarkroomError where none were asked for."""
        if not self.previews:
            raise DarkroomError("no previews were asked for; say previews=1 for one at each step.")
        return [self.shown[i] for i in sorted(self.shown)]


def _lora(one: Lora) -> dict[str, Any]:
    if one.blocks is not None:
        raise InvalidRequest("the blocks of a LoRA cannot be weighed on a server; leave them out.")
    return {"name": name_of(one.file), "weight": one.weight, "text_weight": one.text_weight}


def _styled(request: Request, styles: Sequence[str], file: Path) -> Request:
    from dataclasses import replace

    from darkroom.studio.expanding import known_styles
    from darkroom.text.styles import styled

    prompt, negative = styled(request.prompt, request.negative, styles, known_styles(file))
    return replace(request, prompt=prompt, negative=negative)
