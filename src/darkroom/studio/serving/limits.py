"""How much the service takes on. Nothing here imports torch."""

from collections.abc import Sequence
from dataclasses import dataclass

from darkroom.errors import InvalidRequest
from darkroom.studio.request import Request


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds on work and on what is kept.

    ``queue`` and ``per_owner`` count jobs that have not ended; ``pictures`` is of a job, ``pixels`` of a
    picture and ``steps`` of a request. ``rows`` bounds the pictures under way at once, and one forward pass.
    ``models`` are the bytes that loaded models may take (None: half of the machine's memory) and
    ``activations`` those that one forward pass may (None: an eighth). Ended jobs are kept for ``kept_days``,
    the newest up to ``kept_bytes`` of pictures.
    """

    queue: int = 256
    per_owner: int = 64
    rows: int = 32
    pictures: int = 64
    pixels: int = 2048 * 2048
    steps: int = 150
    models: int | None = None
    activations: int | None = None
    kept_days: float = 30.0
    kept_bytes: int = 10 * 2**30

    def check(self, requests: Sequence[Request]) -> None:
        """Raise InvalidRequest for a job that is larger than one may be."""
        if not requests:
            raise InvalidRequest("a job needs a request; this one has none.")
        pictures = sum(request.count for request in requests)
        if pictures > self.pictures:
            raise InvalidRequest(
                f"{pictures} pictures are too many for one job; ask for {self.pictures} or fewer."
            )
        for request in requests:
            self.check_size(request)

    def check_size(self, request: Request) -> None:
        """Raise InvalidRequest for a picture too large or steps too many, as far as the request says."""
        for width, height in ((request.width, request.height), request.seed_size or (None, None)):
            if width and height and width * height > self.pixels:
                raise InvalidRequest(
                    f"{width}x{height} is more than the {self.pixels:,} pixels a picture may have here; "
                    "ask for fewer."
                )
        if request.steps is not None and request.steps > self.steps:
            raise InvalidRequest(f"{request.steps} steps are too many here; ask for {self.steps} or fewer.")
