"""A studio for tests of the doors: the service's contract in memory, with pictures that are ready at once.

``hold`` keeps jobs from ending until it is set, so that a test can look at one, cancel it or hang up.
"""

import hashlib
import secrets
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from darkroom.errors import DarkroomError
from darkroom.studio.pictures import encode
from darkroom.studio.request import Picture, Record
from darkroom.studio.serving.jobs import Event, JobView, NoSuchJob, QueueFull, QuotaReached, Status
from darkroom.studio.serving.limits import Limits
from darkroom.studio.serving.mail import Mailbox, reading, reading_async

DEFAULTS = {
    "width": 16,
    "height": 16,
    "steps": 4,
    "cfg_scale": 3.0,
    "sampler": "dpmpp_2m",
    "scheduler": "trailing",
}


class FakeService:
    """One thread a job; pictures are noise that depends on the request alone."""

    def __init__(self, folder: Path, limits: Limits | None = None) -> None:
        self.folder, self.limits = folder, limits or Limits()
        self.hold = threading.Event()
        self.hold.set()
        self.fails: str | None = None
        self.views: dict[str, JobView] = {}
        self.keys: dict[tuple[str, str], str] = {}
        self.readers: dict[str, list[Mailbox]] = {}
        self.cancelled: list[str] = []
        self.lock = threading.RLock()
        self.closed = False

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop(0)

    def halt(self, drain: float) -> None:
        end = time.monotonic() + drain
        while any(not view.status.ended for view in self.views.values()) and time.monotonic() < end:
            time.sleep(0.01)

    def stop(self, drain: float = 30.0) -> None:
        self.halt(drain)
        self.closed = True
        for readers in self.readers.values():
            for reader in readers:
                reader.close()

    def submit(self, requests, *, owner="", priority=0, previews=0, tag="", latest=None, key=None):
        with self.lock:
            if key is not None and (owner, key) in self.keys:
                return self.views[self.keys[owner, key]]
            self.limits.check(requests)
            open_ = [view for view in self.views.values() if not view.status.ended]
            if len(open_) >= self.limits.queue:
                raise QueueFull("the queue is full; come back later.", 7.2)
            if sum(view.owner == owner for view in open_) >= self.limits.per_owner:
                raise QuotaReached("you have enough here; wait for one to end.", 3)
            view = JobView(
                id=secrets.token_urlsafe(16), owner=owner, status=Status.QUEUED,
                requests=tuple(r.filled(**DEFAULTS) for r in requests), position=0, step=0, steps=0,
                seconds_left=None, pictures=(), error=None, notices=(), created=time.time(), started=None,
                ended=None, tag=tag,
            )  # fmt: skip
            self.views[view.id] = view
            if key is not None:
                self.keys[owner, key] = view.id
        threading.Thread(target=self._work, args=(view.id, previews), daemon=True).start()
        return view

    def _work(self, job: str, previews: int) -> None:
        steps = self.views[job].requests[0].steps
        self._tell(job, "started", status=Status.RUNNING, position=None, started=time.time(), steps=steps)
        for step in range(1, steps + 1):
            if step == steps // 2:
                self.hold.wait()
            if self.views[job].status.ended:
                return
            self._tell(job, "step", step=step)
            if previews and step % previews == 0:
                self._tell(job, "preview", pixels=np.full((8, 8, 3), step, np.uint8))
        if self.fails:
            self._tell(job, "ended", status=Status.FAILED, error=self.fails, ended=time.time())
            return
        made = [self._made(r.single(i)) for r in self.views[job].requests for i in range(r.count)]
        self._tell(job, "ended", status=Status.DONE, pictures=tuple(made), ended=time.time())

    def _made(self, request) -> str:
        rng = np.random.default_rng([request.seed, *request.prompt.encode()])
        pixels = rng.integers(0, 256, (request.height, request.width, 3), np.uint8)
        record = Record(request=request, model_hash="ab" * 32, version="0", torch="0")
        picture = secrets.token_urlsafe(16)
        (self.folder / f"{picture}.png").write_bytes(encode(Picture(pixels, record), "PNG"))
        return picture

    def _tell(self, job: str, kind: str, pixels=None, **changes) -> None:
        with self.lock:
            view = self.views[job]
            if view.status.ended:
                return
            view = self.views[job] = replace(view, **changes)
            for reader in self.readers.get(job, ()):
                shown = None if pixels is None else 0
                reader.put(Event(job=job, kind=kind, view=view, picture=shown, pixels=pixels))

    def cancel(self, job: str) -> JobView:
        self.cancelled.append(job)
        self._tell(job, "ended", status=Status.CANCELLED, ended=time.time())
        return self.view(job)

    def view(self, job: str) -> JobView:
        if job not in self.views:
            raise NoSuchJob
        return self.views[job]

    def jobs(self, *, owner=None, limit=100, before=None):
        found = [view for view in self.views.values() if owner in (None, view.owner)]
        found = [view for view in found if before is None or view.created < before]
        return sorted(found, key=lambda view: -view.created)[:limit]

    def _subscribe(self, job: str, box: Mailbox):
        with self.lock:
            view = self.view(job)
            box.put(Event(job=job, kind="ended" if view.status.ended else "queued", view=view))
            self.readers.setdefault(job, []).append(box)
        return lambda: self.readers[job].remove(box)

    def watch(self, job: str):
        return reading(lambda box: self._subscribe(job, box))

    def events(self, job: str):
        return reading_async(lambda box: self._subscribe(job, box))

    def wait(self, job: str, timeout=None) -> JobView:
        return list(self.watch(job))[-1].view

    def picture(self, picture: str) -> Path:
        path = self.folder / f"{picture}.png"
        if not path.exists():
            raise DarkroomError("there is no such picture; it may have been deleted.")
        return path

    def forget(self, job: str) -> None:
        self.cancel(job)
        for picture in self.views.pop(job).pictures:
            self.picture(picture).unlink()

    def keep_upload(self, data: bytes) -> Path:
        path = self.folder / f"upload-{hashlib.sha256(data).hexdigest()}"
        path.write_bytes(data)
        return path

    def load(self):
        return {"queued": 0, "running": 0}
