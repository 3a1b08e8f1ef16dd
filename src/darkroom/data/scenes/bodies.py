"""Which part of each recolourable emoji is its body, found by looking at every one in every colour."""

from .recolour import Body

BODIES: dict[str, Body] = {
    "dog": Body(neutral=True, light=2.0),
    "elephant": Body(neutral=True),
    "cup": Body(neutral=True, dark=0.6),
    "cloud": Body(neutral=True),
    "top hat": Body(neutral=True),
    "candle": Body(neutral=True),
    "planet": Body(width=60),
    "fire": Body(width=80),
}
