"""Styles: prompts to lay around others, from the ``styles.csv`` of AUTOMATIC1111's web UI."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from darkroom.errors import DarkroomError, UnknownName

PLACE = "{prompt}"


class Style(NamedTuple):
    """A prompt and a negative prompt; ``{prompt}`` stands where the user's goes, else they follow it."""

    name: str
    prompt: str = ""
    negative: str = ""


def read_styles(path: Path) -> dict[str, Style]:
    """The styles in a file with columns ``name, prompt, negative_prompt``; the last of a name counts.

    The oldest files call the prompt ``text``. Raises DarkroomError when the file is of another kind.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, skipinitialspace=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DarkroomError(f"{path} cannot be read as styles ({error}); expected a CSV in UTF-8.") from error
    if rows and not {"name", "text"} <= rows[0].keys() and not {"name", "prompt"} <= rows[0].keys():
        raise DarkroomError(
            f"{path} has no columns name and prompt; expected A1111's styles: see its first line."
        )
    return {row["name"]: _style(row) for row in rows if row["name"]}


def _style(row: Mapping[str, str | None]) -> Style:
    prompt = row.get("prompt", row.get("text"))
    return Style(row["name"] or "", prompt or "", row.get("negative_prompt") or "")


def styled(prompt: str, negative: str, names: Sequence[str], styles: Mapping[str, Style]) -> tuple[str, str]:
    """The prompt and the negative prompt with styles laid around them, one after the other.

    Raises UnknownName for a style that is not in ``styles``.
    """
    for name in names:
        if name not in styles:
            raise UnknownName("style", name, styles)
        prompt = merged(prompt, styles[name].prompt)
        negative = merged(negative, styles[name].negative)
    return prompt, negative


def merged(text: str, style: str) -> str:
    """``text`` where the style says, or before it and a comma; an empty one of the two is left out."""
    if PLACE in style:
        return style.replace(PLACE, text)
    return ", ".join(part for part in (text.strip(), style.strip()) if part)
