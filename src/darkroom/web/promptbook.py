"""The prompt book: prompts with tags, one file an owner, searched, imported and exported as JSON."""

import json
import secrets
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any

from darkroom.disk import explaining, whole
from darkroom.errors import DarkroomError
from darkroom.studio.request import MAX_PROMPT

FORMAT = 1
MOST = 5000
"""Prompts of one owner."""
MOST_TAGS, LONGEST_TAG = 20, 40
WRITING = Lock()
"""Held from reading a book to writing it: an owner has one book, and may have several pages open."""


class NoPrompts(DarkroomError):
    """A text holds no prompts."""


@dataclass(frozen=True)
class Kept:
    """A prompt that is kept; ``name`` tells it from others."""

    name: str
    prompt: str
    negative: str = ""
    tags: tuple[str, ...] = ()


class PromptBook:
    """All prompts of one owner, the newest first. Raises DarkroomError for a file that cannot be read.

    ``prompts`` are those of the last change. What changes them waits for the disk; any thread may.
    """

    def __init__(self, folder: Path, owner: str) -> None:
        self.path = folder / f"{sha256(owner.encode()).hexdigest()[:32]}.json"
        self.prompts = self._stored()

    def add(self, prompt: str, negative: str = "", tags: Iterable[str] = ()) -> Kept:
        """Keep a prompt; one that is kept already gets the new tags too. Raises DarkroomError."""
        if not prompt.strip():
            raise DarkroomError("there are no words to keep; write a prompt first.")
        new = _new(prompt, negative, tags)
        self._change(lambda there: _with(there, [new]))
        return next(one for one in self.prompts if _words(one) == _words(new))

    def delete(self, kept: Kept) -> None:
        """Keep a prompt no longer."""
        self._change(lambda there: [one for one in there if one.name != kept.name])

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
        """Add the prompts of an export, or of a list of texts; returns how many are new.

        Raises NoPrompts for any other text, and DarkroomError where there are too many: then none is added.
        """
        given = [_new(one.prompt, one.negative, one.tags) for one in reversed(_read(text))]
        return self._change(lambda there: _with(there, given))

    def _change(self, change: Callable[[list[Kept]], list[Kept]]) -> int:
        """Write what becomes of the prompts on the disk, where other pages add some too; how many are new."""
        with WRITING:
            before = self._stored()
            after = change(before)
            self._write(after)
            self.prompts = after
        return len(after) - len(before)

    def _stored(self) -> list[Kept]:
        text = self.path.read_text() if self.path.is_file() else ""
        return _read(text) if text else []

    def _write(self, prompts: list[Kept]) -> None:
        text = json.dumps({"format": FORMAT, "prompts": [asdict(one) for one in prompts]})
        with explaining(self.path), whole(self.path) as file:
            file.write(text.encode())


def tags_of(words: Iterable[str]) -> tuple[str, ...]:
    """Tags in lower case, each once, in order."""
    plain = (word.strip().lower()[:LONGEST_TAG].rstrip() for word in words)
    return tuple(dict.fromkeys(word for word in plain if word))[:MOST_TAGS]


def _new(prompt: str, negative: str, tags: Iterable[str]) -> Kept:
    return Kept(secrets.token_urlsafe(8), prompt[:MAX_PROMPT], negative[:MAX_PROMPT], tags_of(tags))


def _words(kept: Kept) -> tuple[str, str]:
    return kept.prompt, kept.negative


def _with(there: list[Kept], given: Iterable[Kept]) -> list[Kept]:
    """Prompts with others before them, the last of these first; one that is there gets the new tags too.

    Raises DarkroomError where they become too many.
    """
    old, new = {_words(one): one for one in there}, dict[tuple[str, str], Kept]()
    for one in given:
        known = old if _words(one) in old else new
        same = known.get(_words(one), one)
        known[_words(one)] = replace(same, tags=tags_of((*same.tags, *one.tags)))
    if new and len(old) + len(new) > MOST:
        raise DarkroomError(f"{MOST} prompts can be kept, no more; delete some first.")
    return [*reversed(new.values()), *old.values()]


def _read(text: str) -> list[Kept]:
    """Prompts in JSON: those of an export, or a list of texts. Raises NoPrompts."""
    try:
        values = json.loads(text)
        rows = values["prompts"] if isinstance(values, dict) else values
        return [_kept(row if isinstance(row, dict) else {"prompt": row}) for row in rows]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise NoPrompts(
            "these are no prompts; expected an export of a library, or a list of texts."
        ) from error


def _kept(row: dict[str, Any]) -> Kept:
    words, negative, tags = row["prompt"], row.get("negative", ""), row.get("tags", ())
    if not (isinstance(words, str) and isinstance(negative, str) and words.strip()):
        raise TypeError
    for text in (words, negative, *map(str, tags)):
        text.encode()  # raises ValueError for half a character, which no page could be sent
    return Kept(str(row.get("name") or secrets.token_urlsafe(8)), words, negative, tags_of(map(str, tags)))
