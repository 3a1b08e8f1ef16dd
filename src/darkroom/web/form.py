"""What is set on the page, as one value that makes requests and that a picture's request fills again."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from math import sqrt
from typing import Any

from darkroom.studio.request import PAIRS, Request, random_seed
from darkroom.text.wildcards import escape
from darkroom.web.models import LARGEST_SIDE, SIDE, first_settings, ships

SHAPES: dict[str, tuple[int, int]] = {
    "1:1": (1, 1),
    "4:3": (4, 3),
    "3:4": (3, 4),
    "16:9": (16, 9),
    "9:16": (9, 16),
}
"""Width to height."""
NAMES = ("prompt", "negative", "model", "steps", "cfg_scale", "sampler", "scheduler", "seed")
"""Fields of a request that the form has too."""
FURTHER = (
    "guidance",
    "clip_skip",
    "emphasis",
    "noise",
    "variation_seed",
    "variation_strength",
    "seed_size",
    "guide",
    "cfg_rescale",
    "cfg_interval",
    "pag_scale",
    "reuse",
)
LARGEST_SEED = 2**53 - 1
"""That is typed: browsers round larger whole numbers."""
DEFAULTS = {one.name: one.default for one in fields(Request)}
CELL = 16
"""Sides are multiples of it: every model here draws them."""


@dataclass(frozen=True)
class Form:
    """The settings of Create. ``side`` is that of a square with as many pixels; ``lock`` keeps the seed.

    ``None`` leaves a choice to the model. ``size`` is a size in pixels that no shape here has. ``further``
    are fields of a request that the page has no control for, taken over from a picture.
    """

    prompt: str = ""
    negative: str = ""
    styles: tuple[str, ...] = ()
    model: str = "starter"
    shape: str = "1:1"
    side: int | None = SIDE
    size: tuple[int, int] | None = None
    steps: int | None = None
    cfg_scale: float | None = None
    sampler: str | None = None
    scheduler: str | None = None
    seed: int = field(default_factory=random_seed)
    lock: bool = False
    count: int = 4
    live: bool = True
    builder: dict[str, str] = field(default_factory=dict)
    further: dict[str, Any] = field(default_factory=dict)

    @property
    def pixels(self) -> tuple[int, int] | None:
        """Width and height."""
        return self.size or (sides(self.shape, self.side) if self.side else None)

    def request(self, **changes: Any) -> Request:
        """One picture of these settings, styles not yet laid on. Raises InvalidRequest."""
        width, height = self.pixels or (None, None)
        values = {name: getattr(self, name) for name in NAMES} | {"width": width, "height": height}
        return Request(**(values | self.further | changes))

    def reusing(self, request: Request) -> "Form":
        """The settings that make a picture's request again; the seed is locked, styles are in its words.

        What it left to the model is left to it again.
        """
        size = (request.width, request.height) if request.width and request.height else None
        shape, side = shape_of(*size) if size else (self.shape, None)
        fits = size is None or (side is not None and sides(shape, side) == size)
        values = {name: getattr(as_typed(request), name) for name in NAMES}
        further = {name: getattr(request, name) for name in FURTHER}
        return replace(
            self,
            **values,
            styles=(),
            shape=shape,
            side=side,
            size=None if fits else size,
            lock=True,
            builder={},
            further={name: value for name, value in further.items() if value != DEFAULTS[name]},
        )

    def offered(self, models: Collection[str], styles: Collection[str]) -> "Form":
        """The settings with what there is: without styles that have gone, and with a model that is here."""
        form = replace(self, styles=tuple(name for name in self.styles if name in styles))
        return form if self.model in models else replace(form, **first_settings("starter"))

    def borrowing(self, values: Mapping[str, Any]) -> "Form":
        """The settings that anybody's picture tells; where its model is not here, in a size that ours has.

        Raises InvalidRequest where they make no request.
        """
        width, height = values.get("width"), values.get("height")
        if width and height and ships(values.get("model", self.model)) and width * height > LARGEST_SIDE**2:
            width, height = fitted(width, height, SIDE**2)
        kept = {name: getattr(self, name) for name in NAMES if name not in ("prompt", "negative")}
        told: dict[str, Any] = kept | dict(values)
        return self.reusing(Request(**(told | {"width": width, "height": height})))

    def plain(self) -> dict[str, Any]:
        """Values that JSON can hold."""
        return asdict(self)

    @staticmethod
    def read(values: Mapping[str, Any] | None) -> "Form":
        """What ``plain`` wrote; unknown names are left out."""
        names = {one.name for one in fields(Form)}
        known = {name: value for name, value in (values or {}).items() if name in names}
        if known.get("shape") not in SHAPES:
            known.pop("shape", None)
        for name in ("styles", "size"):
            if known.get(name) is not None:
                known[name] = tuple(known[name])
        further = dict(known.get("further") or {})
        for name in further.keys() & PAIRS:
            further[name] = tuple(further[name])
        known["further"] = further
        return Form(**known)


def as_typed(request: Request) -> Request:
    """A picture's request with its words as they are to be typed, where braces stand for choices."""
    return replace(request, prompt=escape(request.prompt), negative=escape(request.negative))


def sides(shape: str, side: int) -> tuple[int, int]:
    """Width and height in this shape with about as many pixels as a square of ``side``."""
    wide, high = SHAPES[shape]
    width = side * sqrt(wide / high)
    return rounded(width), rounded(width * high / wide)


def rounded(length: float) -> int:
    """To a multiple of ``CELL``, at least one."""
    return max(CELL, round(length / CELL) * CELL)


def shape_of(width: int, height: int) -> tuple[str, int]:
    """The nearest shape, and the side of the square with as many pixels."""
    nearest = min(SHAPES, key=lambda name: abs(SHAPES[name][0] / SHAPES[name][1] - width / height))
    return nearest, rounded(sqrt(width * height))


def fitted(width: int, height: int, pixels: int) -> tuple[int, int]:
    """Sides in about this proportion with at most about so many pixels, multiples of ``CELL``."""
    scale = min(1.0, sqrt(pixels / (width * height)))
    return rounded(width * scale), rounded(height * scale)
