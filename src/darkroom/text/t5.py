"""T5's encoder as SD 3 and FLUX use it, and its vocabulary of pieces.

SD 3 reads 256 tokens, FLUX.1 dev 512 and schnell 256, padded to that length; padding is read like any token.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from darkroom.errors import DarkroomError
from darkroom.text.emphasis import BREAK
from darkroom.text.encoded import Emphasis, Encoded, Text, check_emphasis, emphasised, fragments
from darkroom.text.vocabulary import whole


@dataclass(frozen=True)
class T5Vocabulary:
    """``pieces`` turns a text into ids, without the end."""

    pieces: Callable[[str], list[int]]
    end: int = 1
    pad: int = 0


def t5_vocabulary(folder: Path | None) -> T5Vocabulary:
    """The vocabulary in a model's ``tokenizer_2`` or ``tokenizer_3`` folder: tokenizer.json or spiece.model.

    Raises DarkroomError where there is none, and says what to do.
    """
    if folder is not None and (folder / "tokenizer.json").is_file():
        tokenizer = whole(folder / "tokenizer.json")
        return _framed(
            lambda text: tokenizer.encode(text, add_special_tokens=False).ids, tokenizer.token_to_id, folder
        )
    if folder is not None and (folder / "spiece.model").is_file():
        pieces = _sentence_pieces(folder / "spiece.model")
        return _framed(pieces.encode, pieces.piece_to_id, folder)
    place = folder or "a folder tokenizer_2 (SD 3: tokenizer_3) beside the file"
    raise DarkroomError(
        "T5 lacks its vocabulary, which checkpoints of a single file leave out; put the tokenizer.json or "
        f"spiece.model of T5 v1.1, of any size, into {place}."
    )


def _sentence_pieces(path: Path) -> Any:
    from sentencepiece import SentencePieceProcessor

    try:
        return SentencePieceProcessor(model_proto=path.read_bytes())
    except RuntimeError as error:
        raise DarkroomError(f"{path} is no vocabulary ({error}); take the model's own file again.") from error


def _framed(
    pieces: Callable[[str], list[int]], find: Callable[[str], int | None], folder: Path
) -> T5Vocabulary:
    end, pad = find("</s>"), find("<pad>")
    if end is None or pad is None or end == pad:
        raise DarkroomError(f"{folder} lacks </s> or <pad>; expected T5's vocabulary: take the model's own.")
    return T5Vocabulary(pieces, end, pad)


@dataclass(frozen=True)
class T5Encoder:
    """A transformers ``T5EncoderModel`` and the length that a model was trained with."""

    model: nn.Module
    vocabulary: T5Vocabulary
    length: int = 512

    def encode(
        self, prompts: Sequence[Text], length: int | None = None, emphasis: Emphasis = "a1111"
    ) -> Encoded:
        """Tokens (B, L, D) in the model's precision; L is ``length``, or that of the longest prompt beyond.

        Nothing is cut: T5 knows how far apart tokens are, not where they stand, so it reads any length. To it
        BREAK means nothing.
        """
        check_emphasis(emphasis)
        rows = [self._encoded(prompt, length or self.length, emphasis) for prompt in prompts]
        return Encoded.of(rows)

    def _encoded(self, prompt: Text, least: int, emphasis: Emphasis) -> Tensor:
        ids, weights = self._tokens(prompt, least)
        rows = [ids]
        if emphasis == "comfy" and any(weight != 1 for weight in weights):
            rows.append(self._tokens("", len(ids))[0])
        device = self.model.get_input_embeddings().weight.device  # type: ignore[operator]
        hidden = self.model(torch.tensor(rows, device=device)).last_hidden_state  # (1 or 2, L, D)
        return emphasised(hidden[:1], torch.tensor([weights], device=device), hidden[-1], emphasis)[0]

    def _tokens(self, prompt: Text, least: int) -> tuple[list[int], list[float]]:
        """The ids of a prompt with its end and its padding, and their weights."""
        own = [
            (token, fragment.weight)
            for fragment in fragments(prompt)
            if fragment != BREAK
            for token in self.vocabulary.pieces(fragment.text)
        ]
        missing = max(0, least - len(own) - 1)
        ids = [*(token for token, _ in own), self.vocabulary.end, *[self.vocabulary.pad] * missing]
        return ids, [*(weight for _, weight in own), *[1.0] * (missing + 1)]
