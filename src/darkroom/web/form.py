"""What is set on the page, as one value that makes requests and that a picture's request fills again."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from math import sqrt
from typing import Any

from darkroom.studio.request import Request, random_seed

SHAPES: dict[str, tuple[int, int]] = {
    "1:1": (1, 1),
    "4:3": (4, 3),
    "3:4": (3, 4),
    "16:9": (16, 9),
    "9:16": (9, 16),
}
"""Width to height."""
CELL = 16
"""Sides are multiples of it: every model here draws them."""


@dataclass(frozen=True)
class Form:
    """The settings of Create. ``side`` is that of a square with as many pixels; ``lock`` keeps the seed.

    ``None`` leaves a choice to the model. ``size`` is a size in pixels that no shape here has.
    """

    prompt: str = ""
    negative: str = ""
    styles: tuple[str, ...] = ()
    model: str = "starter"
    shape: str = "1:1"
    side: int = 128
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

    @property
    def pixels(self) -> tuple[int, int]:
        """Width and height."""
        return self.size or sides(self.shape, self.side)

    def request(self, **changes: Any) -> Request:
        """One picture of these settings, styles not yet laid on. Raises InvalidRequest."""
        width, height = self.pixels
        names = ("prompt", "negative", "model", "steps", "cfg_scale", "sampler", "scheduler", "seed")
        values = {name: getattr(self, name) for name in names} | {"width": width, "height": height}
        return Request(**(values | changes))

    def reusing(self, request: Request) -> "Form":
        """The settings that make a picture's request again; the seed is locked, styles are in its words."""
        width, height = request.width or self.pixels[0], request.height or self.pixels[1]
        shape, side = shape_of(width, height)
        fits = sides(shape, side) == (width, height)
        names = ("prompt", "negative", "model", "steps", "cfg_scale", "sampler", "scheduler", "seed")
        return replace(
            self,
            **{name: getattr(request, name) for name in names},
            styles=(),
            shape=shape,
            side=side,
            size=None if fits else (width, height),
            lock=True,
            builder={},
        )

    def plain(self) -> dict[str, Any]:
        """Values that JSON can hold."""
        return asdict(self)

    @staticmethod
    def read(values: Mapping[str, Any] | None) -> "Form":
        """What ``plain`` wrote; unknown names are left out."""
        names = {one.name for one in fields(Form)}
        known = {name: value for name, value in (values or {}).items() if name in names}
        for name in ("styles", "size"):
            if known.get(name) is not None:
                known[name] = tuple(known[name])
        return Form(**known)


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
