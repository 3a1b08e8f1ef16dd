"""Prompts to words, and words to letters: a tokenizer whose vocabulary is counted from captions.

Each token carries its word's id and the ids of its letters, place by place; and a word outside the
vocabulary is spelt out: a token for each of its letters follows it, so that what paints can attend to one
letter alone. So is what a sign says, in capitals, though the vocabulary may know the word: CAT is no cat.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

PAD, START, UNKNOWN = 0, 1, 2
SPECIAL = ("<pad>", "<start>", "<unknown>")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789'\"-.,!?:;()&"
TOKEN = re.compile(r"[a-z]+|[0-9]|[^\sa-z0-9]")
SIGN = re.compile(r"\b(sign|signboard|board)s?\b")


@dataclass(frozen=True)
class Tokens:
    """A batch of prompts: ``words`` (B, L) int64, 0 = padding; ``letters`` (B, L, slots) int64, 0 = none."""

    words: np.ndarray
    letters: np.ndarray


class Tokenizer:
    """Words to ids by a fixed vocabulary; letters to ids by their place in LETTERS, 1 upwards.

    ``slots`` letters are read of a token; a longer word is split, never cut.
    """

    letter_count = len(LETTERS) + 2  # none, the known ones, any other

    def __init__(self, vocabulary: Sequence[str], slots: int = 12) -> None:
        self.vocabulary = tuple(vocabulary)
        self.slots = slots
        self.ids = {word: len(SPECIAL) + i for i, word in enumerate(self.vocabulary)}
        self.letter_ids = {letter: 1 + i for i, letter in enumerate(LETTERS)}

    @classmethod
    def train(cls, captions: Iterable[str], size: int = 4096, least: int = 2, slots: int = 12) -> "Tokenizer":
        """Keep the ``size`` most frequent words that are seen ``least`` times or more; ties by alphabet."""
        counts = Counter(word for caption in captions for word in split(caption, slots))
        ranked = sorted((-count, word) for word, count in counts.items() if count >= least)
        return cls([word for _, word in ranked[:size]], slots)

    @property
    def word_count(self) -> int:
        """How many word ids there are, the special ones included."""
        return len(SPECIAL) + len(self.vocabulary)

    def encode(self, prompts: Sequence[str], length: int | None = None) -> Tokens:
        """Tokenize a batch; padded to its longest prompt, or to ``length``.

        Raises ValueError when a prompt is longer than ``length`` tokens: nothing is cut silently.
        """
        rows = [self._spelt_out(prompt) for prompt in prompts]
        longest = 1 + max(len(row) for row in rows)
        if length is not None and longest > length:
            raise ValueError(f"a prompt has {longest} tokens; at most {length} fit")
        words = np.full((len(rows), length or longest), PAD, dtype=np.int64)
        letters = np.zeros((*words.shape, self.slots), dtype=np.int64)
        words[:, 0] = START
        for i, row in enumerate(rows):
            for j, (place, piece) in enumerate(row, start=1):
                words[i, j] = self.ids.get(piece, UNKNOWN) if place is None else UNKNOWN
                first = place or 0
                letters[i, j, first : first + len(piece)] = [self._letter(letter) for letter in piece]
        return Tokens(words, letters)

    def _spelt_out(self, prompt: str) -> list[tuple[int | None, str]]:
        """A prompt's tokens: words, place None, and the letters of those unknown, at their places in them."""
        read: list[tuple[int | None, str]] = []
        for word in split(prompt, self.slots):
            read.append((None, word))
            if word not in self.ids and len(word) > 1:
                read.extend(enumerate(word))
        return read

    def _letter(self, letter: str) -> int:
        return self.letter_ids.get(letter.lower(), self.letter_count - 1)

    def length(self, prompt: str) -> int:
        """How many tokens a prompt has, the start included."""
        return 1 + len(self._spelt_out(prompt))

    def pieces(self, prompt: str) -> tuple[str, ...]:
        """What each token after the start stands for: a word, or a letter of the unknown word before it."""
        return tuple(piece.lower() for _, piece in self._spelt_out(prompt))

    def unknown(self, prompt: str) -> tuple[str, ...]:
        """The words of a prompt that the vocabulary lacks, in order (they are read by letters alone)."""
        words = (word.lower() for word in split(prompt, self.slots))
        return tuple(word for word in words if word not in self.ids)


def split(prompt: str, slots: int = 12) -> list[str]:
    """Lower-case words, single digits and signs; a word of more than ``slots`` letters falls into pieces.

    Where a prompt speaks of a sign, and not in capitals throughout, words in capitals keep them.
    """
    lower = prompt.lower()
    aligned = len(lower) == len(prompt)  # a few letters have two in lower case
    lettered = aligned and bool(SIGN.search(lower)) and prompt != prompt.upper()
    told = prompt if lettered else lower
    words = [_in_its_case(told[found.start() : found.end()]) for found in TOKEN.finditer(lower)]
    return [word[i : i + slots] for word in words for i in range(0, len(word), slots)]


def _in_its_case(word: str) -> str:
    return word if len(word) > 1 and word.isupper() else word.lower()
