"""Ground, light and style, as phrases for every place in a caption."""

from dataclasses import dataclass

from ..catalogue import COLOURS
from ..graph import Scene
from .inflect import with_article
from .voice import Voice

# Ordered from plain to fancy.
WHERE: dict[str, tuple[str, ...]] = {
    "beach": ("on a beach", "on the beach", "at the beach", "on a sandy beach", "on the sand of a beach"),
    "grass": ("on the grass", "on grass", "in a meadow", "on a lawn", "in a grassy field", "on green grass"),
    "forest": ("in a forest", "in the forest", "in the woods", "among the trees of a forest"),
    "snow": ("in the snow", "on snow", "in a snowy landscape", "in a snowy field", "on snowy ground"),
    "city": ("in a city", "in the city", "in a city street", "in the middle of a city"),
    "night sky": (
        "against a night sky",
        "in front of a night sky",
        "at night",
        "under a starry sky",
        "in the night sky",
    ),
    "space": ("in space", "in outer space", "out in space", "among the stars in space"),
    "wooden floor": (
        "on a wooden floor",
        "on the wooden floor",
        "on wooden boards",
        "on a floor made of wood",
    ),
}
NOUNS: dict[str, tuple[str, ...]] = {
    "beach": ("a beach", "a sandy beach"),
    "grass": ("grass", "a meadow", "a grassy field"),
    "forest": ("a forest", "the woods"),
    "snow": ("snow", "a snowy landscape"),
    "city": ("a city", "a city street"),
    "night sky": ("a night sky", "the night sky", "a starry sky"),
    "space": ("space", "outer space"),
    "wooden floor": ("a wooden floor", "wooden boards"),
}
PLAIN = (
    "on {a} background",
    "on a plain {c} background",
    "against {a} background",
    "with {a} background",
    "on plain {c}",
)
WEATHER = {
    "rain": (
        "in the rain",
        "in the rain",
        "on a rainy day",
        "in rainy weather",
        "in falling rain",
        "while it rains",
    ),
    "sunset": ("at sunset", "at sunset", "at dusk", "during sunset", "in the light of the setting sun"),
}
WEATHER_SENTENCES = {
    "rain": ("it is raining", "it is raining", "rain is falling", "the weather is rainy", "it rains"),
    "sunset": ("the sun is setting", "it is sunset", "the light is that of a sunset", "it is evening"),
}
LEADS = {
    "watercolour": ("a watercolour of", "a watercolour painting of", "a painting in watercolour of"),
    "pixel art": ("a pixel art picture of", "pixel art of", "pixel art showing", "a pixelated picture of"),
    "pencil sketch": ("a pencil sketch of", "a pencil drawing of", "a sketch of", "a sketch in pencil of"),
    "neon": ("a neon drawing of", "a neon picture of", "neon art of", "glowing neon art of"),
}
MANNERS = {
    "watercolour": ("in watercolour", "painted in watercolour", "in watercolour style", "as a watercolour"),
    "pixel art": ("in pixel art style", "as pixel art", "drawn as pixel art", "in pixels"),
    "pencil sketch": (
        "as a pencil sketch",
        "drawn in pencil",
        "in pencil",
        "in the style of a pencil sketch",
    ),
    "neon": ("in neon", "in neon style", "drawn in neon", "in glowing neon lines"),
}
TAGS = {
    "watercolour": ("watercolour", "watercolour style"),
    "pixel art": ("pixel art", "pixel art style"),
    "pencil sketch": ("pencil sketch", "pencil drawing", "sketch"),
    "neon": ("neon", "neon style"),
}


@dataclass(frozen=True)
class Told:
    """Which parts of the setting a caption tells."""

    ground: str | None
    light: str | None
    style: str | None


def told(scene: Scene, voice: Voice) -> Told:
    """What is told of the setting: the plainest is mostly left open, the rest mostly told."""
    ground = scene.ground != "white" if voice.exact else voice.tells(0.2 if scene.ground == "white" else 0.9)
    return Told(
        scene.ground if ground else None,
        scene.light if scene.light != "day" and voice.tells(0.9) else None,
        scene.style if scene.style != "flat" and voice.tells(0.95) else None,
    )


def where(ground: str, voice: Voice) -> str:
    """ "on a beach", "on a blue background"."""
    if ground in COLOURS:
        colour = _coloured(ground, voice)
        return voice.pick(PLAIN).format(a=with_article(colour), c=colour)
    return voice.pick(WHERE[ground])


def where_sentence(ground: str, voice: Voice) -> str:
    """ "the background is a beach"."""
    what = _coloured(ground, voice) if ground in COLOURS else voice.pick(NOUNS[ground])
    if ground in COLOURS:
        return voice.pick(
            (f"the background is {what}", f"the background is plain {what}", f"everything else is {what}")
        )
    return voice.pick(
        (
            f"the background is {what}",
            f"in the background is {what}",
            f"the scene is set {where(ground, voice)}",
        )
    )


def where_tag(ground: str, voice: Voice) -> str:
    """ "beach", "blue background"."""
    if ground in COLOURS:
        return f"{_coloured(ground, voice)} background"
    return voice.pick((ground, f"{ground} background", ground))


def weather(light: str, voice: Voice) -> str:
    """ "in the rain"."""
    return voice.pick(WEATHER[light])


def weather_sentence(light: str, voice: Voice) -> str:
    """ "it is raining"."""
    return voice.pick(WEATHER_SENTENCES[light])


def _coloured(ground: str, voice: Voice) -> str:
    return voice.colour(ground)


def spelt(text: str, voice: Voice) -> str:
    return text.replace("colour", "color") if voice.american else text
