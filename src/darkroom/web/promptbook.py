"""The prompt book: prompts with tags, one file an owner, searched, imported and exported as JSON."""

import json
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from darkroom.disk import explaining, whole
from darkroom.errors import DarkroomError
from darkroom.studio.request import MAX_PROMPT

FORMAT = 1
MOST = 5000
"""Prompts of one owner."""
MOST_TAGS, LONGEST_TAG = 20, 40


@dataclass(frozen=True)
class Kept:
    """A prompt that is kept; ``name`` tells it from others."""

    name: str
    prompt: str
    negative: str = ""
    tags: tuple[str, ...] = ()


class PromptBook:
    """All prompts of one owner, the newest first. Raises DarkroomError for a file that cannot be read."""

    def __init__(self, folder: Path, owner: str) -> None:
        self.path = folder / f"{sha256(owner.encode()).hexdigest()[:32]}.json"
        text = self.path.read_text() if self.path.is_file() else ""
        self.prompts = list(_read(text)) if text else []

    def add(self, prompt: str, negative: str = "", tags: Iterable[str] = ()) -> Kept:
        """Keep a prompt; one that is kept already gets the new tags too. Raises DarkroomError."""
        if not prompt.strip():
            raise DarkroomError("there are no words to keep; write a prompt first.")
        same = next((one for one in self.prompts if (one.prompt, one.negative) == (prompt, negative)), None)
        if same is not None:
            return self.tag(same, (*same.tags, *tags))
        if len(self.prompts) >= MOST:
            raise DarkroomError(f"{MOST} prompts are kept already; delete some first.")
        kept = Kept(secrets.token_urlsafe(8), prompt[:MAX_PROMPT], negative[:MAX_PROMPT], tags_of(tags))
        self.prompts.insert(0, kept)
        self._write()
        return kept

    def tag(self, kept: Kept, tags: Iterable[str]) -> Kept:
        """Give a prompt other tags."""
        changed = replace(kept, tags=tags_of(tags))
        self.prompts = [changed if one.name == kept.name else one for one in self.prompts]
        self._write()
        return changed

    def delete(self, kept: Kept) -> None:
        """Keep a prompt no longer."""
        self.prompts = [one for one in self.prompts if one.name != kept.name]
        self._write()

    def find(self, words: str = "", tag: str = "") -> list[Kept]:
        """Prompts that have all of the words, in themselves or their tags, and the tag."""
        wanted = words.lower().split()
        return [
            one
            for one in self.prompts
            if (not tag or tag in one.tags)
            and all(word in f"{one.prompt} {one.negative} {' '.join(one.tags)}".lower() for word in wanted)
        ]

    def tags(self) -> list[str]:
        """All tags, by the alphabet."""
        return sorted({tag for one in self.prompts for tag in one.tags})

    def export(self) -> str:
        """All prompts as JSON that ``take`` reads."""
        prompts = [{k: v for k, v in asdict(one).items() if k != "name"} for one in self.prompts]
        return json.dumps({"format": FORMAT, "prompts": prompts}, indent=2, ensure_ascii=False)

    def take(self, text: str) -> int:
        """Add the prompts of an export, or of a list of texts; returns how many are new."""
        before = len(self.prompts)
        for one in reversed(list(_read(text))):
            self.add(one.prompt, one.negative, one.tags)
        return len(self.prompts) - before

    def _write(self) -> None:
        text = json.dumps({"format": FORMAT, "prompts": [asdict(one) for one in self.prompts]})
        with explaining(self.path), whole(self.path) as file:
            file.write(text.encode())


def tags_of(words: Iterable[str]) -> tuple[str, ...]:
    """Tags in lower case, each once, in order."""
    plain = (word.strip().lower()[:LONGEST_TAG].rstrip() for word in words)
    return tuple(dict.fromkeys(word for word in plain if word))[:MOST_TAGS]


def _read(text: str) -> Iterable[Kept]:
    """Prompts in JSON: those of an export, or a list of texts. Raises DarkroomError."""
    try:
        values = json.loads(text)
        rows = values["prompts"] if isinstance(values, dict) else values
        return [_kept(row if isinstance(row, dict) else {"prompt": row}) for row in rows]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DarkroomError(
            "these are no prompts; expected an export of a library, or a list of texts."
        ) from error


def _kept(row: dict[str, Any]) -> Kept:
    words, negative, tags = row["prompt"], row.get("negative", ""), row.get("tags", ())
    if not (isinstance(words, str) and isinstance(negative, str) and words.strip()):
        raise TypeError
    return Kept(str(row.get("name") or secrets.token_urlsafe(8)), words, negative, tags_of(map(str, tags)))
