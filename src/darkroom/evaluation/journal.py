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

    ``digests`` say of which prompts each verdict is, and each skill's trust. Raises DarkroomError when the
    folder holds another evaluation, one with other ``settings``.
    """

    folder: Path
    settings: Mapping[str, Any]
    verdicts: dict[Key, Verdict] = field(default_factory=dict)
    trust: dict[str, Trust] = field(default_factory=dict)
    digests: dict[Key | str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with explaining(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        lines = [*_whole_lines(self.path)] if self.path.exists() else []
        if not lines:
            self._write({"settings": dict(self.settings)}, "w")
            return
        try:
            self._check(dict(lines[0]["settings"]))
            for line in lines[1:]:
                self._read(line)
        except (LookupError, TypeError, ValueError) as error:
            raise DarkroomError(f"'{self.path}' is damaged ({error}); choose another with --out.") from error

    @property
    def path(self) -> Path:
        return self.folder / "results.jsonl"

    def _check(self, then: dict[str, Any]) -> None:
        """Refuse settings other than ours by the first that differs."""
        for name in {**self.settings, **then}:
            was, now = then.get(name), self.settings.get(name)
            if was != now:
                raise DarkroomError(
                    f"'{self.folder}' holds an evaluation with {name} {was}, not {now}; "
                    "choose another with --out."
                )

    def _read(self, line: dict[str, Any]) -> None:
        if "trust" in line:
            self.trust[line["skill"]] = Trust(**line["trust"])
            self.digests[line["skill"]] = line["digest"]
        else:
            key = (line["skill"], line["prompt"], line["seed"])
            self.verdicts[key] = Verdict(line["right"], tuple(line["reasons"]))
            self.digests[key] = line["digest"]

    def _write(self, line: Mapping[str, Any], mode: str = "a") -> None:
        with explaining(self.path), self.path.open(mode, encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def has(self, of: Key | str, digest: str) -> bool:
        """Whether a picture's verdict, or a skill's trust, is there and of the prompts with that digest."""
        return self.digests.get(of) == digest

    def add(self, key: Key, verdict: Verdict, digest: str) -> None:
        """A picture's verdict, in place of one of another prompt."""
        self.verdicts[key], self.digests[key] = verdict, digest
        skill, prompt, seed = key
        self._write({"skill": skill, "prompt": prompt, "seed": seed, **asdict(verdict), "digest": digest})

    def add_trust(self, skill: str, trust: Trust, digest: str) -> None:
        """How good the examiner is at a skill."""
        self.trust[skill], self.digests[skill] = trust, digest
        self._write({"skill": skill, "trust": asdict(trust), "digest": digest})

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
