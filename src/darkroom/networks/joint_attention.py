"""Transformer blocks in which picture and text have weights of their own and one attention between them.

Esser et al. 2024 (MMDiT of Stable Diffusion 3, arXiv 2403.03206, section 4). Text comes first.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darkroom.networks.attend import attend
from darkroom.networks.layers import RMSNorm, merge_heads, split_heads
from darkroom.networks.modulation import AdaptiveNorm, FinalNorm, Modulation

Turns = tuple[Tensor, Tensor]
"""Cosines and sines of rotary angles, each (L, d / 2) in single precision."""

LARGEST_HALF = 65504
"""The largest number that a half-precision number can be."""


def turn(x: Tensor, turns: Turns) -> Tensor:
    """Turn each pair (x[2i], x[2i + 1]) of the last axis; ``x`` (B, heads, L, d) (Su et al. 2021, eq. 15)."""
    cos, sin = turns
    one, two = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([one * cos - two * sin, two * cos + one * sin], dim=-1).flatten(-2).to(x.dtype)


def attend_turned(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, turns: Turns | None) -> Tensor:
    """Attention over (B, heads, L, d), queries and keys turned to their positions -> (B, L, heads * d)."""
    if turns is not None:
        q, k = turn(q, turns), turn(k, turns)
    return merge_heads(attend(q, k, v, mask))


def bounded(x: Tensor) -> Tensor:
    """In half precision, where FLUX's text stream overflows, cut to what that can hold."""
    return x.clamp(-LARGEST_HALF, LARGEST_HALF) if x.dtype == torch.float16 else x


class FeedForward(nn.Module):
    """A layer four times as wide, with GELU in its tanh form."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(Widen(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def fed(self, x: Tensor, step: Modulation) -> Tensor:
        """``x`` (B, N, width) and what this layer, modulated, adds to it."""
        return x + step.gate * self(step.before(x))


class Widen(nn.Module):
    """A linear layer and a GELU."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.proj(x), approximate="tanh")


class Projections(nn.Module):
    """Queries, keys and values of a picture; with ``qk_norm`` queries and keys pass an RMS norm each."""

    def __init__(self, width: int, heads: int, qk_norm: bool) -> None:
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.norm_q, self.norm_k = (head_norm(width // heads, qk_norm) for _ in range(2))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, N, width) -> queries, keys and values, each (B, heads, N, d)."""
        q, k, v = (split_heads(layer(x), self.heads) for layer in (self.to_q, self.to_k, self.to_v))
        return self.norm_q(q), self.norm_k(k), v


def head_norm(head: int, qk_norm: bool) -> nn.Module:
    """The norm of a head's queries or keys, where there is one."""
    return RMSNorm(head, eps=1e-6) if qk_norm else nn.Identity()


class SelfAttention(Projections):
    """Attention of one sequence over itself; ``out`` False leaves out the layer that mixes the heads."""

    def __init__(self, width: int, heads: int, qk_norm: bool, out: bool = True) -> None:
        super().__init__(width, heads, qk_norm)
        self.to_out = nn.Sequential(nn.Linear(width, width)) if out else nn.Identity()

    def forward(self, x: Tensor, mask: Tensor | None = None, turns: Turns | None = None) -> Tensor:
        """``x`` (B, N, width); ``mask`` bool, broadcast to (B, heads, N, N), True where a key counts."""
        return self.to_out(attend_turned(*self.project(x), mask, turns))


class JointAttention(Projections):
    """Attention over text and picture as one sequence; ``text_out`` False where text is not needed after."""

    def __init__(self, width: int, heads: int, qk_norm: bool, text_out: bool = True) -> None:
        super().__init__(width, heads, qk_norm)
        self.to_out = nn.Sequential(nn.Linear(width, width))
        self.add_q_proj, self.add_k_proj, self.add_v_proj = (nn.Linear(width, width) for _ in range(3))
        self.norm_added_q, self.norm_added_k = (head_norm(width // heads, qk_norm) for _ in range(2))
        self.to_add_out = nn.Linear(width, width) if text_out else nn.Identity()

    def forward(
        self, picture: Tensor, text: Tensor, mask: Tensor | None = None, turns: Turns | None = None
    ) -> tuple[Tensor, Tensor]:
        """(B, N, width) and (B, L, width) -> the same; ``mask`` broadcast to (B, heads, L + N, L + N)."""
        pairs = zip(self.project_text(text), self.project(picture), strict=True)
        q, k, v = (torch.cat(pair, dim=2) for pair in pairs)
        told, seen = attend_turned(q, k, v, mask, turns).tensor_split([text.shape[1]], dim=1)
        return self.to_out(seen), self.to_add_out(told)

    def project_text(self, text: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, L, width) -> queries, keys and values, each (B, heads, L, d)."""
        layers = (self.add_q_proj, self.add_k_proj, self.add_v_proj)
        q, k, v = (split_heads(layer(text), self.heads) for layer in layers)
        return self.norm_added_q(q), self.norm_added_k(k), v


class JointBlock(nn.Module):
    """Joint attention, then a feed-forward for each of picture and text, all modulated.

    ``last`` leaves the text as it is, as nothing reads it after. ``dual`` adds an attention of the picture
    over itself (Stable Diffusion 3.5 medium).
    """

    def __init__(
        self, width: int, heads: int, qk_norm: bool = True, last: bool = False, dual: bool = False
    ) -> None:
        super().__init__()
        self.last = last
        self.norm1 = AdaptiveNorm(width, steps=3 if dual else 2)
        self.norm1_context = FinalNorm(width) if last else AdaptiveNorm(width, steps=2)
        self.attn = JointAttention(width, heads, qk_norm, text_out=not last)
        self.attn2 = SelfAttention(width, heads, qk_norm) if dual else None
        self.ff = FeedForward(width)
        self.ff_context = None if last else FeedForward(width)

    def forward(
        self,
        picture: Tensor,
        text: Tensor,
        told: Tensor,
        mask: Tensor | None = None,
        turns: Turns | None = None,
    ) -> tuple[Tensor, Tensor]:
        """``picture`` (B, N, width), ``text`` (B, L, width), ``told`` (B, width) -> picture, text.

        ``mask`` is a bool mask of the joint sequence, broadcast to (B, heads, L + N, L + N).
        """
        joint, feed, *alone = self.norm1(told)
        if self.ff_context is None:
            seen, _ = self.attn(joint.before(picture), self.norm1_context(text, told), mask, turns)
        else:
            text_joint, text_feed = self.norm1_context(told)
            seen, heard = self.attn(joint.before(picture), text_joint.before(text), mask, turns)
            text = self.ff_context.fed(text + text_joint.gate * heard, text_feed)
        after = picture + joint.gate * seen
        if self.attn2 is not None:
            after = after + alone[0].gate * self.attn2(alone[0].before(picture), of_picture(mask, text))
        return self.ff.fed(after, feed), text


def joint_mask(counts: Tensor | None, picture: int) -> Tensor | None:
    """(B, 1, 1, L + N) from which of the text's tokens count (B, L), or None where all of them do."""
    if counts is None:
        return None
    return torch.cat([counts, counts.new_ones(counts.shape[0], picture)], dim=1)[:, None, None]


def perturbed(
    mask: Tensor | None, perturb: Tensor | None, block: int, text: int, picture: int
) -> Tensor | None:
    """The mask of a block: where it is to be perturbed, positions see themselves and the text alone.

    Ahn et al. 2024 (arXiv 2403.17377), for attention that holds the text too. ``perturb`` (B, blocks) bool.
    (B, 1, L + N, L + N)
    """
    if perturb is None:
        return mask
    sight = torch.ones(text + picture, text + picture, dtype=torch.bool, device=perturb.device)
    sight[text:, text:] = torch.eye(picture, dtype=torch.bool, device=perturb.device)
    sight = sight | ~perturb[:, block, None, None, None]
    return sight if mask is None else mask & sight


def of_picture(mask: Tensor | None, text: Tensor) -> Tensor | None:
    """The picture's part of a joint mask, or None where every position sees every other."""
    return None if mask is None or mask.shape[-2] == 1 else mask[..., text.shape[1] :, text.shape[1] :]
