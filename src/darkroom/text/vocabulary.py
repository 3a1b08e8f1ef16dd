"""CLIP's vocabulary: 49,408 byte pairs that turn a prompt into token ids.

Checkpoints of a single file bring no tokenizer, so it ships with the package; a folder's own is used where
there is one. Text is composed (NFC), lower-cased, its white space joined, and cut into words, single digits
and runs of signs; each of these into byte pairs, those merged first that were found first (Sennrich et al.
2015, arXiv 1508.07909; Radford et al. 2021, arXiv 2103.00020).
"""

import gzip
import json
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkroom.errors import DarkroomError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ASSETS = files(__package__) / "assets"
MERGES = "bpe_simple_vocab_16e6.txt.gz"
START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"
SIZE = 49408
WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer and the ids that frame a prompt.

    ``pad`` fills a chunk behind its end: SD 1's encoder was trained with the end itself, OpenCLIP's with 0.
    """

    tokenizer: "Tokenizer"
    start: int
    end: int
    pad: int
    comma: int | None

    def ids(self, text: str) -> list[int]:
        """The tokens of a text, without start and end; a special token's name is text like any other."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def padded_with(self, pad: int) -> "Vocabulary":
        """The same with another padding."""
        return replace(self, pad=pad)


def clip_vocabulary(folder: Path | None = None) -> Vocabulary:
    """The vocabulary of a model's ``tokenizer`` folder, padded as it says; without one, what ships.

    Raises DarkroomError when the folder holds no tokenizer of CLIP's form.
    """
    if folder is None:
        return shipped()
    vocabulary = _framed(_from_folder(folder), str(folder))
    name = _pad_name(folder)
    pad = vocabulary.tokenizer.token_to_id(name) if name else None
    return vocabulary if pad is None else vocabulary.padded_with(pad)


@cache
def shipped() -> Vocabulary:
    """CLIP's own, which every CLIP text encoder that we know was trained with; padded with its end."""
    with (ASSETS / MERGES).open("rb") as file, gzip.open(file, "rt", encoding="utf-8") as lines:
        count = SIZE - 2 * 256 - 2
        merges = [_pair(line) for line in islice(lines, 1, 1 + count)]
    letters = byte_letters()
    names = [*letters, *(letter + WORD_END for letter in letters), *map("".join, merges), START, END]
    return _framed(_byte_pairs({name: i for i, name in enumerate(names)}, merges), "the shipped vocabulary")


def byte_letters() -> list[str]:
    """A printable letter for each byte, in the vocabulary's order: printable bytes first, as themselves."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    others = 256 - len(printable)
    return [chr(code) for code in printable] + [chr(256 + i) for i in range(others)]


def _byte_pairs(ids: dict[str, int], merges: list[tuple[str, str]]) -> "Tokenizer":
    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
    from tokenizers.models import BPE

    model: Any = BPE(vocab=ids, merges=merges, end_of_word_suffix=WORD_END, unk_token=END)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(  # type: ignore[assignment]
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True)
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, letters])  # type: ignore[assignment]
    return tokenizer


def _pair(line: str) -> tuple[str, str]:
    first, second = line.split()
    return first, second


def _from_folder(folder: Path) -> "Tokenizer":
    """From ``vocab.json`` and ``merges.txt``, else from ``tokenizer.json``."""
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        return _from_parts(folder / "vocab.json", folder / "merges.txt")
    if (folder / "tokenizer.json").is_file():
        return whole(folder / "tokenizer.json")
    raise DarkroomError(
        f"{folder} holds no tokenizer; expected vocab.json and merges.txt, or tokenizer.json: take the "
        "model's own, or remove the empty folder to use the vocabulary that ships."
    )


def _from_parts(vocabulary: Path, merges: Path) -> "Tokenizer":
    try:
        ids = json.loads(vocabulary.read_text(encoding="utf-8"))
        lines = merges.read_text(encoding="utf-8").split("\n")
        return _byte_pairs(ids, [_pair(line) for line in lines if line and not line.startswith("#version")])
    except Exception as error:  # tokenizers raises bare Exceptions
        raise DarkroomError(
            f"{vocabulary} and merges.txt are no tokenizer ({error}); take the model's own files again."
        ) from error


def whole(path: Path) -> "Tokenizer":
    """A ``tokenizer.json`` that neither cuts nor pads, and in whose texts no special token hides.

    Raises DarkroomError when the file is no such tokenizer.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exceptions
        raise DarkroomError(f"{path} is no tokenizer ({error}); take the model's own file again.") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return tokenizer


def _framed(tokenizer: "Tokenizer", source: str) -> Vocabulary:
    start, end = tokenizer.token_to_id(START), tokenizer.token_to_id(END)
    if start is None or end is None:
        raise DarkroomError(
            f"{source} lacks {START} or {END}; expected a CLIP tokenizer: take the model's own."
        )
    return Vocabulary(tokenizer, start, end, end, tokenizer.token_to_id("," + WORD_END))


def _pad_name(folder: Path) -> str | None:
    """What a folder says of the padding, in either of the two files that may."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        path = folder / name
        said = json.loads(path.read_text(encoding="utf-8")).get("pad_token") if path.is_file() else None
        if said:
            return said["content"] if isinstance(said, dict) else said
    return None
