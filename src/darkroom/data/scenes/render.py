"""From a scene to its picture and its exact truth: segmentation, depth and boxes."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from ...errors import InvalidRequest, UnknownName
from .catalogue import kind
from .catalogue import kind as catalogue_kind
from .drawings import compose
from .graph import Box, Scene, Thing
from .grounds import DARK, GROUNDS, ground
from .lights import LIGHTS, light_ground, light_scene
from .places import PLACES
from .props import check_word
from .sprites import Drawing, margin, rimmed, scaled
from .styles import STYLES, prepare, style

SMALLEST, LARGEST = 16, 2048
MOST_THINGS = 255  # that a uint8 segmentation can tell apart
LIGHT_ON_PLAIN = 0.35  # so that an orange ground is not brown in the rain
RIM_ON_LIGHT, RIM_ON_DARK, RIM_IN_NEON = (18, 18, 28), (235, 238, 255), (112, 116, 142)


@dataclass(frozen=True)
class Part:
    """One drawing in the picture: a thing, or what it wears or holds.

    ``owner`` is the thing's index, ``word`` what a sign says, ``look`` which of its kind's drawings it is.
    """

    kind: str
    colour: str | None
    box: Box
    owner: int
    word: str | None = None
    look: int = 0

    @property
    def drawing(self) -> Drawing:
        looks = len(catalogue_kind(self.kind).looks) or 1  # drawings of one look are drawn and kept once
        return Drawing(self.kind, self.colour, self.word, self.look % looks)


@dataclass(frozen=True)
class Annotation:
    """The truth of a picture of n things.

    ``segmentation`` uint8 (side, side): 0 is ground, i + 1 is things[i] with all it wears and holds.
    ``depth`` float32 (side, side): each thing's depth, 1 for the ground.
    ``boxes`` float32 (n, 4): left, top, right, bottom of each whole drawing in fractions of the side.
    ``visible`` float32 (n,): the part of each that shows; what is outside the picture counts as hidden.
    """

    segmentation: np.ndarray
    depth: np.ndarray
    boxes: np.ndarray
    visible: np.ndarray


def parts(scene: Scene) -> list[Part]:
    """Every drawing with its own box, thing by thing, each from back to front."""
    return [part for i in range(len(scene.things)) for part in _parts_of(scene, i)]


def _parts_of(scene: Scene, owner: int) -> list[Part]:
    thing = scene.things[owner]
    aspect, pieces = compose(thing.kind, thing.colour, thing.worn, thing.held)
    whole = fitted(thing.box, aspect)
    word, look = thing.word, (scene.noise_seed + 7 * owner) % max(1, len(kind(thing.kind).looks))
    return [
        Part(p.kind, p.colour, _place(p.box, whole), owner, *((word, look) if p.itself else (None, 0)))
        for p in pieces
    ]


def fitted(box: Box, aspect: float) -> Box:
    """The largest box of an aspect inside ``box``, standing on the middle of its bottom."""
    width = min(box.width, box.height * aspect)
    middle = (box.left + box.right) / 2
    return Box(middle - width / 2, box.bottom - width / aspect, middle + width / 2, box.bottom)


def _place(inner: Box, whole: Box) -> Box:
    x, y, w, h = whole.left, whole.top, whole.width, whole.height
    return Box(x + inner.left * w, y + inner.top * h, x + inner.right * w, y + inner.bottom * h)


def _pixels(box: Box, side: int) -> tuple[int, int, int, int]:
    """Left, top, width and height in whole pixels, at least one each way."""
    left, top = round(box.left * side), round(box.top * side)
    return left, top, max(1, round(box.right * side) - left), max(1, round(box.bottom * side) - top)


def _far_to_near(scene: Scene) -> list[int]:
    return sorted(range(len(scene.things)), key=lambda i: -scene.things[i].depth)


def check(scene: Scene, side: int) -> None:
    """UnknownName or InvalidRequest if the scene cannot be drawn at this size."""
    if not SMALLEST <= side <= LARGEST:
        raise InvalidRequest(f"a picture cannot be {side} pixels wide; choose from {SMALLEST} to {LARGEST}")
    for what, name, known in (
        ("ground", scene.ground, GROUNDS),
        ("light", scene.light, LIGHTS),
        ("style", scene.style, STYLES),
    ):
        if name not in known:
            raise UnknownName(what, name, known)
    if not 0 <= scene.noise_seed < 2**64:
        raise InvalidRequest(f"a scene's noise_seed cannot be {scene.noise_seed}; choose from 0 to 2**64 - 1")
    if len(scene.things) > MOST_THINGS:
        raise InvalidRequest(
            f"a scene holds at most {MOST_THINGS} things, not {len(scene.things)}; leave some out"
        )
    for thing in scene.things:
        _check_thing(thing)


def _check_thing(thing: Thing) -> None:
    if thing.box.width <= 0 or thing.box.height <= 0:
        raise InvalidRequest(
            f"the {thing.kind} has an empty box {tuple(thing.box)}; give it a width and a height"
        )
    if thing.word is not None:
        check_word(thing.word)


def render(scene: Scene, side: int = 128) -> np.ndarray:
    """The picture, uint8 (side, side, 3): a pure function of the scene and the size."""
    check(scene, side)
    rng = np.random.Generator(np.random.Philox(key=scene.noise_seed))
    strength = 1.0 if scene.ground in PLACES else LIGHT_ON_PLAIN
    lit = light_ground(scene.light, ground(scene.ground, side, rng), strength)
    canvas = prepare(scene.style, lit)
    rim_colour, reach = _rim_colour(scene), margin(side)
    for i in _far_to_near(scene):
        for part in _parts_of(scene, i):
            x, y, w, h = _pixels(part.box, side)
            sprite, rim = rimmed(part.drawing, w, h, reach)
            canvas.paste(rim_colour, (x - reach, y - reach, x + w + reach, y + h + reach), rim)
            canvas.paste(sprite, (x, y), sprite)
    return style(scene.style, light_scene(scene.light, canvas, rng), rng)


def _rim_colour(scene: Scene) -> tuple[int, int, int]:
    if scene.style == "neon":
        return RIM_IN_NEON
    return RIM_ON_DARK if scene.ground in DARK else RIM_ON_LIGHT


def annotate(scene: Scene, side: int = 128) -> Annotation:
    """The truth of ``render(scene, side)``; styles and lights do not change it."""
    check(scene, side)
    segmentation = np.zeros((side, side), np.uint8)
    depth = np.ones((side, side), np.float32)
    whole = np.zeros(len(scene.things))
    for i in _far_to_near(scene):
        mask, whole[i] = _mask(_parts_of(scene, i), side)
        segmentation[mask], depth[mask] = i + 1, scene.things[i].depth
    shown = np.bincount(segmentation.ravel(), minlength=len(whole) + 1)[1 : len(whole) + 1]
    boxes = [fitted(t.box, compose(t.kind, t.colour, t.worn, t.held)[0]) for t in scene.things]
    visible = (shown / np.maximum(whole, 1)).astype(np.float32)
    return Annotation(segmentation, depth, np.array(boxes, np.float32).reshape(-1, 4), visible)


def _mask(drawn: list[Part], side: int) -> tuple[np.ndarray, int]:
    """Where a thing covers the picture, and how many pixels it has, those outside the picture among them."""
    roomy = Image.new("L", (3 * side, 3 * side))  # the picture stands in the middle
    for part in drawn:
        x, y, w, h = _pixels(part.box, side)
        alpha = scaled(part.drawing, w, h).getchannel("A")
        roomy.paste(255, (x + side, y + side), alpha)
    covered = np.asarray(roomy) > 127
    return covered[side : 2 * side, side : 2 * side], int(covered.sum())
