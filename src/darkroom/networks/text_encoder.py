"""A small text encoder that reads words by their letters as well as by name."""

from dataclasses import dataclass

from torch import Tensor, nn

from darkroom.networks.conditioning import Conditioning
from darkroom.networks.layers import (
    FeedForward,
    RMSNorm,
    attention,
    merge_heads,
    rotary_1d,
    rotate,
    split_heads,
)


@dataclass(frozen=True)
class TextEncoderConfig:
    """Sizes: ``words`` and ``letters`` are the tokenizer's, ``slots`` the letters read of each word."""

    words: int
    letters: int
    slots: int = 12
    width: int = 256
    depth: int = 3
    heads: int = 4


class TextBlock(nn.Module):
    """Pre-norm bidirectional attention and feed-forward."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = RMSNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.query_norm = RMSNorm(width // heads)
        self.key_norm = RMSNorm(width // heads)
        self.out = nn.Linear(width, width, bias=False)
        self.forward_norm = RMSNorm(width)
        self.feed_forward = FeedForward(width, 8 * width // 3)

    def forward(self, x: Tensor, mask: Tensor, angles: Tensor) -> Tensor:
        q, k, v = (
            split_heads(part, self.heads) for part in self.qkv(self.attention_norm(x)).chunk(3, dim=-1)
        )
        q, k = rotate(self.query_norm(q), angles), rotate(self.key_norm(k), angles)
        x = x + self.out(merge_heads(attention(q, k, v, mask)))
        return x + self.feed_forward(self.forward_norm(x))


class TextEncoder(nn.Module):
    """Words and their letters -> token sequence and one pooled vector.

    A word's vector is its vocabulary entry plus, for each place in the word, the entry of the letter that
    stands there: so a word that was never seen is still spelt, letter by letter, to all that follows.
    """

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.word = nn.Embedding(config.words, config.width)
        self.letter = nn.Embedding(config.slots * config.letters, config.width)
        self.mix = FeedForward(config.width, 2 * config.width)
        self.blocks = nn.ModuleList(TextBlock(config.width, config.heads) for _ in range(config.depth))
        self.norm = RMSNorm(config.width)
        nn.init.normal_(self.word.weight, std=0.5)
        nn.init.normal_(self.letter.weight, std=0.5 / config.slots**0.5)

    def forward(self, words: Tensor, letters: Tensor) -> Conditioning:
        """``words`` (B, L) ids, 0 = padding; ``letters`` (B, L, slots) ids, 0 = none."""
        mask = words != 0  # (B, L)
        slot = letters.new_tensor(range(self.config.slots)) * self.config.letters
        spelt = (self.letter(letters + slot) * (letters != 0)[..., None]).sum(-2)  # (B, L, width)
        x = self.word(words) + spelt
        x = x + self.mix(x)
        angles = rotary_1d(words.shape[1], self.config.width // self.config.heads, words.device)
        for block in self.blocks:
            x = block(x, mask[:, None, None, :], angles)
        x = self.norm(x)
        return Conditioning(
            tokens=x, mask=mask, pooled=x[:, 0]
        )  # the first token stands for the whole prompt
