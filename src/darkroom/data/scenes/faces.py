"""Where on each head that wears things its eyes and its crown are, measured on the drawings."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Face:
    """In fractions of the drawing's width and height: the point between the eyes; how wide glasses are; where
    a hat's rim rests; how wide a hat is there."""

    eyes: tuple[float, float]
    glasses: float
    brow: tuple[float, float]
    hat: float


FACES: dict[str, Face] = {
    "cat": Face((0.5, 0.5), 0.72, (0.5, 0.24), 0.56),
    "dog": Face((0.5, 0.4), 0.64, (0.5, 0.12), 0.56),
    "mouse": Face((0.5, 0.5), 0.5, (0.5, 0.24), 0.44),
    "hamster": Face((0.5, 0.42), 0.66, (0.5, 0.14), 0.5),
    "rabbit": Face((0.5, 0.56), 0.72, (0.5, 0.4), 0.6),
    "fox": Face((0.5, 0.5), 0.6, (0.5, 0.26), 0.46),
    "bear": Face((0.5, 0.42), 0.6, (0.5, 0.12), 0.52),
    "panda": Face((0.5, 0.5), 0.66, (0.5, 0.14), 0.52),
    "koala": Face((0.5, 0.44), 0.5, (0.5, 0.16), 0.42),
    "tiger": Face((0.5, 0.46), 0.66, (0.5, 0.1), 0.56),
    "lion": Face((0.5, 0.46), 0.56, (0.5, 0.14), 0.52),
    "cow": Face((0.5, 0.42), 0.52, (0.5, 0.14), 0.42),
    "pig": Face((0.5, 0.4), 0.66, (0.5, 0.12), 0.52),
    "frog": Face((0.5, 0.2), 0.8, (0.5, 0.1), 0.5),
    "monkey": Face((0.5, 0.42), 0.52, (0.5, 0.08), 0.5),
    "wolf": Face((0.5, 0.48), 0.6, (0.5, 0.22), 0.46),
    "raccoon": Face((0.5, 0.52), 0.56, (0.5, 0.16), 0.46),
    "person": Face((0.5, 0.15), 0.5, (0.5, 0.05), 0.5),
    "man": Face((0.5, 0.56), 0.72, (0.5, 0.16), 0.8),
    "woman": Face((0.5, 0.54), 0.66, (0.5, 0.14), 0.72),
    "boy": Face((0.5, 0.57), 0.72, (0.5, 0.16), 0.8),
    "girl": Face((0.5, 0.56), 0.66, (0.5, 0.16), 0.72),
    "baby": Face((0.5, 0.57), 0.72, (0.5, 0.14), 0.7),
    "old man": Face((0.5, 0.53), 0.72, (0.5, 0.12), 0.72),
    "old woman": Face((0.5, 0.57), 0.72, (0.5, 0.2), 0.72),
    "robot": Face((0.5, 0.45), 0.7, (0.5, 0.24), 0.62),
    "alien": Face((0.5, 0.58), 0.8, (0.5, 0.12), 0.7),
    "clown": Face((0.5, 0.4), 0.6, (0.5, 0.1), 0.5),
    "teddy bear": Face((0.5, 0.2), 0.42, (0.5, 0.05), 0.36),
}

# the hand of each kind that has one to hold things with, in fractions of the drawing
HANDS: dict[str, tuple[float, float]] = {
    "person": (0.9, 0.5),
    "snowman": (0.92, 0.55),
    "teddy bear": (0.9, 0.52),
}
BESIDE_HEAD = (0.96, 0.8)
