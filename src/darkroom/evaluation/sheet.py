"""Sheets of pictures with their verdicts, so that people can judge the judge."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

from PIL import Image, ImageDraw, ImageFont

from .journal import Journal
from .prompts import Prompt
from .requirements import Verdict

SIDE, FRAME, GAP = 128, 4, 10
TITLE, LETTER, LINE = 20, 8, 13  # heights of lines, and the width of a letter of a title
RIGHT, WRONG = (40, 150, 70), (205, 50, 50)


@dataclass(frozen=True)
class Judged:
    """A picture's file and its verdict."""

    path: Path
    verdict: Verdict


def judged(prompt: Prompt, journal: Journal) -> list[Judged]:
    """The pictures of a prompt that were kept and judged."""
    keys = [(prompt.skill, prompt.number, seed) for seed in prompt.seeds]
    return [
        Judged(journal.picture(key), journal.verdicts[key]) for key in keys if journal.picture(key).exists()
    ]


def sheet(prompts: Sequence[Prompt], journal: Journal, columns: int = 8) -> Image.Image:
    """Prompts with their pictures below, ``columns`` a row, framed green where right and red where wrong."""
    shown = [(prompt.text, judged(prompt, journal)) for prompt in prompts]
    strips = [_strip(text, pictures, columns) for text, pictures in shown if pictures]
    canvas = Image.new("RGB", (_width(columns), sum(s.height for s in strips) + GAP), "white")
    top = 0
    for strip in strips:
        canvas.paste(strip, (0, top))
        top += strip.height
    return canvas


def _width(columns: int) -> int:
    return GAP + columns * (SIDE + 2 * FRAME + GAP)


def _strip(text: str, pictures: Sequence[Judged], columns: int) -> Image.Image:
    """One prompt and its pictures."""
    cell, tall = SIDE + 2 * FRAME + GAP, SIDE + 2 * FRAME + 2 * LINE + GAP
    title = wrap(text, columns * cell // LETTER)
    rows, head = -(-len(pictures) // columns), GAP + TITLE * len(title) + FRAME
    strip = Image.new("RGB", (_width(columns), head + rows * tall), "white")
    draw = ImageDraw.Draw(strip)
    for i, line in enumerate(title):
        draw.text((GAP, GAP + i * TITLE), line, fill="black", font=ImageFont.load_default(15))
    for i, one in enumerate(pictures):
        _paste(strip, draw, one, (GAP + i % columns * cell, head + i // columns * tall))
    return strip


def _paste(strip: Image.Image, draw: ImageDraw.ImageDraw, one: Judged, corner: tuple[int, int]) -> None:
    x, y = corner
    colour = RIGHT if one.verdict.right else WRONG
    draw.rectangle((x, y, x + SIDE + 2 * FRAME - 1, y + SIDE + 2 * FRAME - 1), fill=colour)
    picture = Image.open(one.path).convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    strip.paste(picture, (x + FRAME, y + FRAME))
    reasons = wrap("; ".join(one.verdict.reasons), 26)[:2]
    for i, line in enumerate(reasons):
        draw.text((x, y + SIDE + 2 * FRAME + 1 + i * LINE), line, fill=WRONG, font=ImageFont.load_default(10))
