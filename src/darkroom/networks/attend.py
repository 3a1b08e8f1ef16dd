"""Attention as all networks ask for it; which kernel answers is chosen from outside."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

Attention = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
"""``attention(q, k, v, mask)``, as :func:`attend` says; it must take all that torch's takes."""


def torch_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Torch's own kernel, for every device and precision, with gradients."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


_in_force: Attention = torch_attention


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """softmax(q k^T / sqrt(d)) v over (B, heads, L, d) (Vaswani et al. 2017, eq. 1).

    ``mask`` is broadcast to (B, heads, queries, keys), bool, True where a key counts. A query for which no
    key counts gets zeros.
    """
    return _in_force(q, k, v, mask)


def use(kernel: Attention) -> Attention:
    """Let ``kernel`` answer from now on, in every thread; returns the one that did so far."""
    global _in_force
    before, _in_force = _in_force, kernel
    return before
