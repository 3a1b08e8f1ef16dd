"""Prompts with choices in them: one text, and every seed reads another prompt.

======================== ===================================================================
``{a|b|c}``              one of them
``{3::a|b}``             ``a`` three times as often as ``b``
``{2$$a|b|c}``           two different ones, joined by ", "
``{1-2$$ and $$a|b|c}``  one or two, joined by " and "
``__colours__``          a line of the file ``colours.txt`` in the folder of wildcards
``__beasts/small__``     one in a folder in it
======================== ===================================================================

They nest, also in files; ``\\{`` and ``\\_`` are the characters. Braces without a choice in them stay as
they are.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from darkroom.errors import DarkroomError, InvalidRequest, UnknownName

STREAM = 2**63
"""Choices are drawn far from the streams of the noise, which count from 0."""
DEEPEST = 50
MOST_PICKED = 100
"""Different options at a time, so that drawing them takes no time that anybody notices."""
LONGEST = 100_000

TOKEN = re.compile(r"\\[{}|_]|[{}|]|__(?P<name>[^\W_](?:(?:(?!__)[\w\-./ ])*[^\W_])?)__")
"""A name has no ``__`` in it, so that no text is looked through again for each of its underscores."""
COUNT = re.compile(r"\s*(?P<least>\d{0,9})(?P<to>-?)(?P<most>\d{0,9})\s*\$\$(?:(?P<joint>[^$|{}]*)\$\$)?")
WEIGHT = re.compile(r"\s*(?P<weight>\d+(?:\.\d*)?|\.\d+)::")


def expand(text: str, seed: int, index: int = 0, folder: Path | None = None) -> str:
    """The prompt that ``text`` is for the seed: a pure function of the arguments and of ``folder``'s files.

    ``index`` parts prompts that share a seed. Raises UnknownName for a file that there is not, and
    InvalidRequest where a name leads out of the folder or an expansion does not end.
    """
    key = np.array([seed % 2**64, (STREAM + index) % 2**64], dtype=np.uint64)
    return _Reader(np.random.Philox(key=key), folder).read(text)


def escape(text: str) -> str:
    """What :func:`expand` reads as ``text``, for any seed: for words that were chosen before."""
    with suppress(DarkroomError):
        if expand(text, 0) == text:
            return text
    return re.sub(r"[{}_]", r"\\\g<0>", text)


class Option(NamedTuple):
    """A choice and how often it is taken, relative to the others."""

    text: str
    weight: float


@dataclass
class _Reader:
    """Reads a text from left to right and draws as it goes; what is not chosen is not read."""

    bits: np.random.Philox
    folder: Path | None
    left: int = LONGEST
    lines: dict[str, list[Option]] = field(default_factory=dict)

    def read(self, text: str, depth: int = 0) -> str:
        if depth > DEEPEST:
            raise InvalidRequest(
                f"choices nest deeper than {DEEPEST}; expected files that do not name each other."
            )
        return "".join(self._parts(text, depth))

    def _parts(self, text: str, depth: int) -> Iterator[str]:
        closing = _closing(text)
        place = 0
        while match := TOKEN.search(text, place):
            yield self._counted(text[place : match.start()])
            place = match.end()
            if match["name"]:
                yield self.read(self._pick(self._file(match["name"]), 1)[0], depth + 1)
            elif match.start() in closing:
                place = closing[match.start()] + 1
                yield self._choice(text[match.end() : place - 1], depth)
            else:
                yield self._counted(match[0][-1] if match[0] != r"\|" else match[0])
        yield self._counted(text[place:])

    def _counted(self, text: str) -> str:
        self.left -= 1 + len(text)
        if self.left < 0:
            raise InvalidRequest(f"the prompt grows beyond {LONGEST} characters; name fewer files in files.")
        return text

    def _choice(self, inside: str, depth: int) -> str:
        """What the inside of braces stands for."""
        count = COUNT.match(inside)
        options = [_option(part) for part in _split(inside[count.end() :] if count else inside)]
        if len(options) == 1 and count is None and not WEIGHT.match(inside):
            return "{" + self.read(inside, depth + 1) + "}"
        picked = self._pick(options, self._how_many(count, len(options)) if count else 1)
        joint = count["joint"] if count and count["joint"] is not None else ", "
        return joint.join(self.read(text, depth + 1) for text in picked)

    def _how_many(self, count: re.Match[str], options: int) -> int:
        """``2``, ``1-3``, ``2-`` (all at most) or ``-3`` (none at least); never more than there are.

        Raises InvalidRequest where that may be more than `MOST_PICKED`.
        """
        least = min(options, int(count["least"] or (0 if count["to"] else 1)))
        most = min(options, int(count["most"] or options)) if count["to"] else least
        if max(least, most) > MOST_PICKED:
            raise InvalidRequest(f"'{count[0]}' may pick {max(least, most)}; pick {MOST_PICKED} at most.")
        return least + int(self._uniform() * (1 + most - least)) if most > least else least

    def _pick(self, options: Sequence[Option], count: int) -> list[str]:
        """``count`` different options, in the order in which they are drawn."""
        rest, picked = list(options), list[str]()
        while len(picked) < count:
            whole = sum(option.weight for option in rest)
            left = self._uniform() * (whole or len(rest))
            place = 0
            while place < len(rest) - 1 and (left := left - (rest[place].weight if whole else 1)) >= 0:
                place += 1
            picked.append(rest.pop(place).text)
        return picked

    def _uniform(self) -> float:
        """In [0, 1), from raw bits, so that no version of numpy chooses otherwise."""
        return (int(self.bits.random_raw()) >> 11) * 2.0**-53

    def _file(self, name: str) -> list[Option]:
        if name not in self.lines:
            self.lines[name] = _lines(_path(self.folder, name), name)
        return self.lines[name]


def _closing(text: str) -> dict[int, int]:
    """Where each brace that has a partner is closed."""
    opened: list[int] = []
    closing: dict[int, int] = {}
    for match in TOKEN.finditer(text):
        if match[0] == "{":
            opened.append(match.start())
        elif match[0] == "}" and opened:
            closing[opened.pop()] = match.start()
    return closing


def _split(text: str) -> list[str]:
    """The parts between the bars that stand in no inner braces."""
    parts, start, place = [], 0, 0
    closing = _closing(text)
    while match := TOKEN.search(text, place):
        place = closing.get(match.start(), match.start()) + len(match[0])
        if match[0] == "|":
            parts.append(text[start : match.start()])
            start = place
    return [*parts, text[start:]]


def _option(text: str) -> Option:
    match = WEIGHT.match(text)
    return Option(text[match.end() :], float(match["weight"])) if match else Option(text, 1.0)


def _path(folder: Path | None, name: str) -> Path:
    """The file of a name, if it lies in the folder; links don't lead out."""
    if folder is None:
        raise InvalidRequest(
            f"__{name}__ names a file of wildcards, and no folder of them was given: give one."
        )
    path = (folder / f"{name}.txt").resolve()
    if ".." in Path(name).parts or not path.is_relative_to(folder.resolve()):
        raise InvalidRequest(f"__{name}__ leads out of the folder of wildcards; expected a file in it.")
    if not path.is_file():
        known = (one.relative_to(folder).with_suffix("").as_posix() for one in folder.rglob("*.txt"))
        raise UnknownName("file of wildcards", name, known)
    return path


def _lines(path: Path, name: str) -> list[Option]:
    """The lines of a file, without empty ones and those that start with #."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"__{name}__ is no text in UTF-8 ({error.reason}); save it as that.") from error
    options = [_option(line) for line in lines if line and not line.startswith("#")]
    if not options:
        raise InvalidRequest(f"__{name}__ has no lines to choose from; write one choice a line.")
    return options
