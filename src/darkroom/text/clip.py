"""CLIP's text encoders as SD 1, SD 2, SDXL, SD 3 and FLUX use them.

============ ======== ===== ========== ============ =========
model        pad with layer final norm pooled       width
============ ======== ===== ========== ============ =========
SD 1         end      1     yes        none         768
SD 2         0        2     yes        none         1024
SDXL, first  end      2     no         none         768
SDXL, second 0        2     no         projected    1280
SD 3, first  end      2     no         projected    768
SD 3, second 0        2     no         projected    1280
FLUX         end      1     yes        plain        768
============ ======== ===== ========== ============ =========

Layers count from the last, 1, as "clip skip" does in A1111; diffusers' ``clip_skip`` is one less for SD 1 and
two less for SDXL and SD 3. SD 2's folders lack the last layer, which is never used: ``cut`` says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from darkroom.errors import InvalidRequest
from darkroom.text.chunks import Chunk, chunked
from darkroom.text.encoded import Emphasis, Encoded, Text, check_emphasis, emphasised, fragments
from darkroom.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from transformers import CLIPTextModel

Pooled = Literal["none", "plain", "projected"]


@dataclass(frozen=True)
class ClipEncoder:
    """A transformers ``CLIPTextModel``, or ``CLIPTextModelWithProjection``, and how a model reads it.

    ``layer`` is the one whose output the tokens are, from the last, 1; ``final_norm`` says whether the last
    norm goes over it; ``pooled`` what is made of the first chunk's end token, by all layers; ``cut`` how many
    of the last layers the file lacks.
    """

    model: nn.Module
    vocabulary: Vocabulary
    layer: int = 1
    final_norm: bool = True
    pooled: Pooled = "none"
    cut: int = 0

    def encode(
        self,
        prompts: Sequence[Text],
        clip_skip: int | None = None,
        embeddings: Mapping[str, Tensor] | None = None,
        emphasis: Emphasis = "a1111",
    ) -> Encoded:
        """Tokens (B, 77 n, D) for prompts of n chunks at most, and pooled (B, P), in the model's precision.

        ``clip_skip`` takes the place of ``layer``; ``embeddings`` has the vectors (n, D) of learned words by
        name. Raises InvalidRequest for a layer that there is not and for vectors of another width.
        """
        check_emphasis(emphasis)
        learned = self._checked(embeddings or {})
        sizes = {name: len(vectors) for name, vectors in learned.items()}
        rows = [chunked(fragments(prompt), self.vocabulary, sizes) for prompt in prompts]
        chunks = [chunk for row in rows for chunk in row]
        weights = torch.tensor([chunk.weights for chunk in chunks], device=self._device)
        unread = chunked([], self.vocabulary) if emphasis == "comfy" and bool((weights != 1).any()) else []
        hidden, pooled = self._read([*chunks, *unread], self._depth(clip_skip), learned)
        tokens = emphasised(hidden[: len(chunks)], weights, hidden[-1], emphasis)
        firsts = [sum(map(len, rows[:i])) for i in range(len(rows))]
        return Encoded.of(
            [part.flatten(0, 1) for part in tokens.split([len(row) for row in rows])],
            None if pooled is None else pooled[firsts],
        )

    @property
    def _text(self) -> "CLIPTextModel":
        """The part below the projection."""
        text: Any = getattr(self.model, "text_model", self.model)
        return text

    @property
    def _device(self) -> torch.device:
        return self._text.embeddings.token_embedding.weight.device

    def _depth(self, clip_skip: int | None) -> int:
        """How many layers make the tokens."""
        layers, layer = len(self._text.encoder.layers), self.layer if clip_skip is None else clip_skip
        if not 1 <= layer <= layers + self.cut:
            raise InvalidRequest(f"clip skip is {layer}; this text encoder takes 1 to {layers + self.cut}.")
        return min(layers, layers + self.cut + 1 - layer)

    def _checked(self, embeddings: Mapping[str, Tensor]) -> dict[str, Tensor]:
        width = self._text.embeddings.token_embedding.weight.shape[1]
        vectors = {name: vector.reshape(-1, vector.shape[-1]) for name, vector in embeddings.items()}
        for name, vector in vectors.items():
            if vector.shape[1] != width:
                raise InvalidRequest(
                    f"the embedding '{name}' is {vector.shape[1]} wide and this text encoder takes {width}: "
                    "it was made for another kind of model; leave it out."
                )
        return vectors

    def _read(
        self, chunks: Sequence[Chunk], depth: int, learned: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """The tokens after ``depth`` layers (N, 77, D), and what is pooled (N, P)."""
        text = self._text
        hidden = self._embedded(chunks, learned)
        causal = hidden.new_full(hidden.shape[1:2] * 2, float("-inf")).triu(1)[None, None]
        tokens = hidden
        for number, layer in enumerate(text.encoder.layers, start=1):
            if number > depth and self.pooled == "none":
                break
            hidden = layer(hidden, causal)
            tokens = hidden if number == depth else tokens
        tokens = text.final_layer_norm(tokens) if self.final_norm else tokens
        return tokens, None if self.pooled == "none" else self._pool(text.final_layer_norm(hidden), chunks)

    def _embedded(self, chunks: Sequence[Chunk], learned: Mapping[str, Tensor]) -> Tensor:
        """The vectors (N, 77, D) that the first layer reads: of tokens or learned words, and of places."""
        embeddings: Any = self._text.embeddings
        words = embeddings.token_embedding(torch.tensor([c.tokens for c in chunks], device=self._device))
        for row, chunk in enumerate(chunks):
            for place, (name, part) in chunk.vectors.items():
                words[row, place] = learned[name][part].to(words)
        return embeddings(inputs_embeds=words)

    def _pool(self, last: Tensor, chunks: Sequence[Chunk]) -> Tensor:
        """The vectors (N, P) of the end tokens."""
        ends = torch.tensor([chunk.end for chunk in chunks], device=last.device)
        plain = last[torch.arange(len(last), device=last.device), ends]
        projection: Any = getattr(self.model, "text_projection", None)
        return projection(plain) if self.pooled == "projected" else plain
