"""What a scene is called in plain English: true, in very many ways, sometimes leaving things open.

A caption is drawn from a compositional grammar: `grammar.clauses` tells what is there, `grammar.settings`
where and how it is drawn, and this module puts them together.
"""

import numpy as np

from .chance import weighted
from .grammar import settings
from .grammar.clauses import content
from .grammar.inflect import capitalised
from .grammar.lines import Line
from .grammar.settings import Told
from .grammar.voice import Voice
from .graph import Scene

MOST_WORDS = 60
# What can stand before a noun phrase, and how often.
LEADS: tuple[tuple[str, float], ...] = (
    ("{x}", 8.0),
    ("a picture of {x}", 2.0),
    ("there {be} {x}", 2.5),
    ("an image of {x}", 1.0),
    ("a drawing of {x}", 1.0),
    ("an illustration of {x}", 0.6),
    ("a scene with {x}", 0.6),
    ("this picture shows {x}", 0.6),
    ("the picture shows {x}", 0.6),
    ("a picture showing {x}", 0.4),
    ("here {be} {x}", 0.4),
    ("we see {x}", 0.4),
    ("you can see {x}", 0.3),
    ("the image contains {x}", 0.3),
    ("a simple picture of {x}", 0.3),
    ("picture of {x}", 0.3),
    ("image of {x}", 0.2),
    ("draw {x}", 0.2),
    ("show me {x}", 0.2),
)


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """One of very many true captions, of at most 60 words."""
    while len((text := _told_by(scene, Voice.drawn(rng))).split()) > MOST_WORDS:
        pass
    return text


def exact_caption(scene: Scene, rng: np.random.Generator, counts: bool = True) -> str:
    """A caption that leaves nothing open but plain white ground, day and flat style: for evaluation.

    Unless it ``counts``, it also leaves open of how many a crowd is.
    """
    return _told_by(scene, Voice(rng, exact=True, counts=counts))


def _told_by(scene: Scene, voice: Voice) -> str:
    lines = content(scene, voice)
    told = settings.told(scene, voice)
    if voice.terse and lines[0].bare:
        sentences = [_tagged(lines[0], told, voice), *(line.text for line in lines[1:])]
    else:
        sentences = _set(lines, told, voice)
    return _written([settings.spelt(s, voice) for s in sentences], voice)


def _tagged(line: Line, told: Told, voice: Voice) -> str:
    """ "red apple, beach, rain"."""
    tags = [line.text]
    if told.ground:
        tags.append(settings.where_tag(told.ground, voice))
    if told.light:
        tags.append(voice.pick((told.light, settings.weather(told.light, voice))))
    if told.style:
        tags.append(voice.pick(settings.TAGS[told.style]))
    return ", ".join(tags)


def _set(lines: list[Line], told: Told, voice: Voice) -> list[str]:
    """The lines with the setting before them, behind the first, or in sentences of its own."""
    first, later = lines[0], [line.text for line in lines[1:]]
    before: list[str] = []
    after: list[str] = []
    if told.ground:
        slot = voice.pick(("after", "after", "after", "after", "before", "later"))
        if slot == "later":
            later.append(settings.where_sentence(told.ground, voice))
        else:
            (after if slot == "after" else before).append(settings.where(told.ground, voice))
    if told.light:
        slot = voice.pick(("after", "after", "after", "before", "later"))
        if slot == "later":
            later.append(settings.weather_sentence(told.light, voice))
        else:
            (after if slot == "after" else before).append(settings.weather(told.light, voice))
    opening = _opened(first, before, after, told.style, voice)
    return [opening, *later]


def _opened(first: Line, before: list[str], after: list[str], style: str | None, voice: Voice) -> str:
    text = first.text
    if after:
        comma = first.comma or voice.varies(0.12)
        text = f"{text}{',' if comma else ''} {' '.join(after)}"
    lead = _lead(first, before, style, voice)
    if style and not lead:
        text, lead = f"{text}, {voice.pick(settings.MANNERS[style])}", "{x}"
    be = "are" if first.plural else "is"
    text = (lead or "{x}").replace("{be}", be).replace("{x}", text)
    return f"{' '.join(before)}, {text}" if before else text


def _lead(first: Line, before: list[str], style: str | None, voice: Voice) -> str | None:
    """What stands before the first line; None where the style is still to be told behind it."""
    if not first.bare:
        return None if style else "{x}"
    if style:
        return f"{voice.pick(settings.LEADS[style])} {{x}}" if not before and voice.tells(0.6) else None
    if voice.exact:
        return "{x}"
    if before:
        return voice.pick(("there {be} {x}", "there {be} {x}", "{x}", "we see {x}"))
    return weighted(voice.rng, LEADS)


def _written(sentences: list[str], voice: Voice) -> str:
    """Capitals and full stops: always between sentences, at the ends as people do."""
    lower = voice.varies(0.5 if len(sentences) == 1 else 0.12) or (voice.exact and len(sentences) == 1)
    stop = "." if (len(sentences) > 1 and not voice.varies(0.1)) or voice.varies(0.35) else ""
    text = ". ".join(s if lower else capitalised(s) for s in sentences)
    return text + stop
