"""What an evaluation has found so far, on disk picture by picture, so that a stopped one can go on."""

import json
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from darkroom import disk
from darkroom.errors import DarkroomError

from .requirements import Verdict

Key = tuple[str, int, int]  # skill, number of the prompt, seed
FIRST = b'{"settings": '  # how each journal begins


@dataclass(frozen=True)
class Trust:
    """How good the examiner itself is at a skill: true pictures found right, and wrong ones found wrong."""

    scenes: int
    right: int
    caught: int


@dataclass
class Journal:
    """A folder with ``results.jsonl`` and the pictures that sheets show.

    Raises DarkroomError when the folder holds another evaluation, one with other ``settings``.
    """

    folder: Path
    settings: Mapping[str, Any]
    verdicts: dict[Key, Verdict] = field(default_factory=dict)
    trust: dict[str, Trust] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with explaining(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        lines = [*_whole_lines(self.path)] if self.path.exists() else []
        if not lines:
            self._write({"settings": dict(self.settings)}, "w")
            return
        if lines[0].get("settings") != dict(self.settings):
            other = lines[0].get("settings")
            raise DarkroomError(f"'{self.folder}' holds an evaluation of {other}; choose another with --out.")
        try:
            for line in lines[1:]:
                self._read(line)
        except (LookupError, TypeError) as error:
            raise DarkroomError(f"'{self.path}' is damaged ({error}); choose another with --out.") from error

    @property
    def path(self) -> Path:
        return self.folder / "results.jsonl"

    def _read(self, line: dict[str, Any]) -> None:
        if "trust" in line:
            self.trust[line["skill"]] = Trust(**line["trust"])
        else:
            key = (line["skill"], line["prompt"], line["seed"])
            self.verdicts[key] = Verdict(line["right"], tuple(line["reasons"]))

    def _write(self, line: Mapping[str, Any], mode: str = "a") -> None:
        with explaining(self.path), self.path.open(mode, encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def add(self, key: Key, verdict: Verdict) -> None:
        """A picture's verdict."""
        self.verdicts[key] = verdict
        skill, prompt, seed = key
        self._write({"skill": skill, "prompt": prompt, "seed": seed, **asdict(verdict)})

    def add_trust(self, skill: str, trust: Trust) -> None:
        """How good the examiner is at a skill."""
        self.trust[skill] = trust
        self._write({"skill": skill, "trust": asdict(trust)})

    def picture(self, key: Key) -> Path:
        """Where a picture lies that sheets show."""
        skill, prompt, seed = key
        return self.folder / "pictures" / f"{skill}-{prompt:03d}-{seed}.png"

    def keep(self, key: Key, picture: np.ndarray) -> None:
        """Save a picture for the sheets, uint8 (H, W, 3); before its verdict, so that none is without one."""
        with explaining(path := self.picture(key)):
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(picture).save(path)


def explaining(path: Path) -> AbstractContextManager[None]:
    """Turn what the system says about ``path`` into a sentence that says what to do about an evaluation."""
    full = "free some space and run the same command again to carry on"
    return disk.explaining(path, "choose another folder with --out", full)


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a journal; what a kill left half-written at its end is cut off, for writing to go on.

    Raises DarkroomError for a file that is not a journal, which is left as it is.
    """
    with explaining(path):
        text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    try:
        lines = [json.loads(line) for line in whole.splitlines()]
        ours = text.startswith(FIRST) or FIRST.startswith(text)
    except ValueError:
        ours = False
    if not ours:
        raise DarkroomError(f"'{path}' is not of an evaluation, or is damaged; choose another with --out.")
    if len(whole) < len(text):
        with explaining(path):
            os.truncate(path, len(whole))
    return lines
