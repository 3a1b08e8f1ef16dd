"""What an adapter adds to a weight: LoRA, LoCon, LoHa, LoKr, DoRA and plain differences.

A patch answers ``delta(weight)``: what is to be added to the weight of a linear layer (out, in) or of a
convolution (out, in, high, wide) at strength 1. Only DoRA looks at the values of ``weight``; the others at
its shape. All is computed in single precision or better, whatever the file is stored in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Protocol

import torch
from torch import Tensor

from darkroom.weights.operations import Operation


class Patch(Protocol):
    """A change of one weight."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the weights that it is for."""
        ...

    def agrees(self, weight: tuple[int, ...]) -> bool:
        """Whether its tensors go together, for a weight of a shape that :func:`fits`."""
        ...

    def delta(self, weight: Tensor) -> Tensor:
        """What is added at strength 1, in the shape, device and type of ``weight`` (floating point)."""
        ...


@dataclass(frozen=True)
class LowRank:
    """LoRA: ``scale * up @ down``. Hu et al. 2021 (arXiv 2106.09685), section 4.1; scale = alpha / rank.

    ``down`` (r, in) or (r, in, high, wide), ``up`` (out, r). With ``mid`` (r, r, high, wide), ``down`` and
    ``up`` are 1x1 and the convolution between them is the core of a Tucker decomposition (LyCORIS, arXiv
    2309.14859, section 3.1).
    """

    down: Tensor
    up: Tensor
    mid: Tensor | None = None
    scale: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        """(out, in, ...)."""
        inner = self.down if self.mid is None else self.mid
        return (self.up.shape[0], self.down.shape[1], *inner.shape[2:])

    def agrees(self, weight: tuple[int, ...]) -> bool:
        """The ranks are the same on both sides."""
        rank, inner = self.up.flatten(1).shape[1], self.down.shape[0]
        return rank == inner if self.mid is None else self.mid.shape[:2] == (rank, inner)

    def delta(self, weight: Tensor) -> Tensor:
        """scale * up @ down."""
        up, down = as_matrix(self.up, weight), as_matrix(self.down, weight)
        if self.mid is not None:
            down = torch.einsum("rskl,si->rikl", self.mid.to(weight), down).flatten(1)
        return (self.scale * (up @ down)).reshape(weight.shape)

    def on(self, device: torch.device) -> "LowRank":
        """With all factors on a device; itself if they are there."""
        if self.down.device == device:
            return self
        mid = None if self.mid is None else self.mid.to(device)
        return replace(self, down=self.down.to(device), up=self.up.to(device), mid=mid)

    def split(self, how: Operation) -> tuple["LowRank", ...]:
        """The patches of the layers that make up this one: ``how`` deals with rows, so ``up`` is split."""
        return tuple(replace(self, up=part) for part in how.split(self.up))


@dataclass(frozen=True)
class Hadamard:
    """LoHa: ``scale * (a1 @ b1) * (a2 @ b2)``, elementwise. Hyeon-Woo et al. 2021 (arXiv 2108.06098), eq. 2.

    ``a`` (out, r) and ``b`` (r, in). With cores ``t`` (r, r, high, wide) ``a`` is (r, out), and each factor
    is ``sum_rs t[r, s] a[r] b[s]`` (their proposition 3).
    """

    a: tuple[Tensor, Tensor]
    b: tuple[Tensor, Tensor]
    t: tuple[Tensor, Tensor] | None = None
    scale: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        """(out, in, ...)."""
        if self.t is None:
            return (self.a[0].shape[0], self.b[0].shape[1])
        return (self.a[0].shape[1], self.b[0].shape[1], *self.t[0].shape[2:])

    @property
    def factors(self) -> tuple[tuple[Tensor, ...], ...]:
        """The tensors of each of the two factors."""
        return tuple(zip(self.a, self.b, *([self.t] if self.t else []), strict=True))

    def agrees(self, weight: tuple[int, ...]) -> bool:
        """Both factors are of the weight's shape."""
        return all(map(meet, self.factors)) and len({factor_shape(one) for one in self.factors}) == 1

    def delta(self, weight: Tensor) -> Tensor:
        """scale * product of the two factors."""
        one, two = (factor(tensors, weight) for tensors in self.factors)
        return (self.scale * one * two).reshape(weight.shape)


@dataclass(frozen=True)
class Kronecker:
    """LoKr: ``scale * kron(one, two)``. Yeh et al. 2023 (LyCORIS, arXiv 2309.14859), section 3.1.

    Each factor is a whole matrix (a, ) or a product (a, b) of two, or of two and a core (a, b, t), as with
    LoHa.
    """

    one: tuple[Tensor, ...]
    two: tuple[Tensor, ...]
    scale: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        """(out, in, ...)."""
        one, two = factor_shape(self.one), factor_shape(self.two)
        return (one[0] * two[0], one[1] * two[1], *two[2:])

    def agrees(self, weight: tuple[int, ...]) -> bool:
        """The ranks within each factor are the same."""
        return meet(self.one) and meet(self.two)

    def delta(self, weight: Tensor) -> Tensor:
        """scale * the Kronecker product of outs and ins."""
        one, two = factor(self.one, weight), factor(self.two, weight)
        one = one.reshape(*one.shape[:2], *[1] * (two.ndim - 2))
        return (self.scale * torch.kron(one, two)).reshape(weight.shape)


@dataclass(frozen=True)
class Difference:
    """The difference itself, of a weight or a bias: LyCORIS' ``diff``, ``diff_b``, ``w_norm``, ``b_norm``."""

    difference: Tensor
    scale: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the weight."""
        return tuple(self.difference.shape)

    def agrees(self, weight: tuple[int, ...]) -> bool:
        """There is nothing that could disagree."""
        return True

    def delta(self, weight: Tensor) -> Tensor:
        """scale * difference."""
        return (self.scale * self.difference.to(weight)).reshape(weight.shape)


@dataclass(frozen=True)
class Decomposed:
    """DoRA: ``magnitude * (W + D) / ||W + D||``. Liu et al. 2024 (arXiv 2402.09353), eq. 5.

    The norm is over all axes but one, and the shape of ``magnitude`` (broadcast to the weight) says which:
    (out, 1, ...) is a norm for each row, as PEFT has it and LyCORIS since 3.0; (1, in, ...) one for each
    column, as LyCORIS had it before. At other strengths than 1 the new weight is a mixture of old and new,
    so that 0 changes nothing.
    """

    inner: Patch
    magnitude: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the change of direction."""
        return self.inner.shape

    def agrees(self, weight: tuple[int, ...]) -> bool:
        """There is a magnitude for each row or for each column."""
        sides = self.magnitude.shape[:2]
        fit = self.magnitude.numel() == max(sides) and sides in ((weight[0], 1), (1, weight[1]))
        return fit and self.inner.agrees(weight)

    def delta(self, weight: Tensor) -> Tensor:
        """The new weight less the old."""
        changed = weight + self.inner.delta(weight)
        magnitude = self.magnitude.to(weight)
        magnitude = magnitude.reshape(*magnitude.shape, *[1] * (weight.ndim - magnitude.ndim))
        kept = 0 if magnitude.shape[0] == weight.shape[0] > 1 or magnitude.shape[1] == 1 else 1
        axes = [axis for axis in range(weight.ndim) if axis != kept]
        norm = torch.linalg.vector_norm(changed, dim=axes, keepdim=True)
        return magnitude * changed / norm.clamp_min(torch.finfo(norm.dtype).tiny) - weight


def as_matrix(tensor: Tensor, like: Tensor) -> Tensor:
    """(a, b, ...) -> (a, b * ...) on the device and in the type of ``like``."""
    return tensor.to(like).flatten(1)


def meet(tensors: Sequence[Tensor]) -> bool:
    """Whether the tensors of a factor have the same ranks where they meet."""
    if len(tensors) == 1:
        return tensors[0].ndim > 1
    a, b, *core = tensors
    if core:
        return core[0].ndim == 4 and core[0].shape[:2] == (a.shape[0], b.shape[0])
    return a.flatten(1).shape[1] == b.shape[0]


def product(a: Tensor, b: Tensor, t: Tensor | None, like: Tensor) -> Tensor:
    """a @ b, or the Tucker product of ``a`` (r, out), ``b`` (s, in) and the core ``t`` (r, s, high, wide)."""
    a, b = as_matrix(a, like), as_matrix(b, like)
    return a @ b if t is None else torch.einsum("rskl,ro,si->oikl", t.to(like), a, b)


def factor(tensors: Sequence[Tensor], like: Tensor) -> Tensor:
    """A factor of a product: a whole matrix, a product (a, b), or a Tucker product (a, b, t)."""
    if len(tensors) == 1:
        return tensors[0].to(like)
    return product(tensors[0], tensors[1], tensors[2] if len(tensors) > 2 else None, like)


def factor_shape(tensors: Sequence[Tensor]) -> tuple[int, ...]:
    """The shape of :func:`factor`."""
    if len(tensors) == 1:
        return tuple(tensors[0].shape)
    if len(tensors) == 2:
        return (tensors[0].shape[0], prod(tensors[1].shape[1:]))
    return (tensors[0].shape[1], tensors[1].shape[1], *tensors[2].shape[2:])


def fits(patch: tuple[int, ...], weight: tuple[int, ...]) -> bool:
    """Whether a patch is for such a weight: 1x1 convolutions are linear layers, and kernels may lie flat."""
    flat = (weight[0], prod(weight[1:])) if weight else ()
    return _trimmed(patch) == _trimmed(weight) or patch == flat


def _trimmed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without ones at the end, beyond the second axis."""
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


@dataclass(frozen=True)
class Found:
    """What the tensors of a module come to: a patch of its ``weight``, one of its ``bias``.

    ``used`` are the roles that had a part in them, ``missing`` those without which others say nothing.
    """

    weight: Patch | None = None
    bias: Difference | None = None
    used: frozenset[str] = frozenset()
    missing: tuple[str, ...] = ()


def patches(tensors: Mapping[str, Tensor]) -> Found:
    """The patches of a module, from its tensors by role (see ``darkroom.weights.adapter_formats``)."""
    roles = Roles(tensors)
    inner = low_rank(roles) or hadamard(roles) or kronecker(roles) or difference(roles, "diff", "w_norm")
    bias = difference(roles, "diff_b", "b_norm")
    if bias is None and isinstance(inner, LowRank) and (told := roles.first("lora_up_bias")) is not None:
        bias = Difference(told, inner.scale)
    if inner is None:
        return Found(None, bias, frozenset(roles.used), roles.missing())
    magnitude = magnitudes(roles)
    weight = inner if magnitude is None else Decomposed(inner, magnitude)
    return Found(weight, bias, frozenset(roles.used))


class Roles:
    """Tensors by role; knows which have been used."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = tensors
        self.used: set[str] = set()

    def all(self, *roles: str) -> tuple[Tensor, ...] | None:
        """These tensors if all are there."""
        if not all(role in self.tensors for role in roles):
            return None
        self.used |= set(roles)
        return tuple(self.tensors[role] for role in roles)

    def first(self, *roles: str) -> Tensor | None:
        """The first of these tensors that is there."""
        found = next((role for role in roles if role in self.tensors), None)
        if found is None:
            return None
        self.used.add(found)
        return self.tensors[found]

    def scale(self, rank: int) -> float:
        """alpha / rank; 1 where no alpha is told."""
        if "scale" in self.tensors:
            return float(self.tensors["scale"])
        self.used |= {"alpha"} & self.tensors.keys()
        return float(self.tensors["alpha"]) / rank if "alpha" in self.tensors else 1.0

    def missing(self) -> tuple[str, ...]:
        """What would have to be there for the others to mean something."""
        whole = next((kind for kind in WHOLE if any(role in self.tensors for role in kind)), ())
        return tuple(role for role in whole if role not in self.tensors)


WHOLE = (
    ("lora_down", "lora_up"),
    ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"),
    ("lokr_w1", "lokr_w2"),
)
"""The least that each kind needs."""


def magnitudes(roles: Roles) -> Tensor | None:
    """DoRA's magnitudes, shaped as the weight: PEFT has one for each row, flat or (1, out, 1, 1)."""
    if (rows := roles.first("lora_magnitude_vector")) is not None:
        return rows.reshape(-1, 1)
    scale = roles.first("dora_scale")
    return scale.reshape(-1, 1) if scale is not None and scale.ndim < 2 else scale


def low_rank(roles: Roles) -> LowRank | None:
    """LoRA and LoCon."""
    if turned := roles.all("lora_embedding_A", "lora_embedding_B"):  # a table: its rows are what comes in
        return LowRank(turned[1].T, turned[0].T, scale=roles.scale(turned[0].shape[0]))
    if (found := roles.all("lora_down", "lora_up")) is None:
        return None
    down, up = found
    return LowRank(down, up, roles.first("lora_mid"), roles.scale(down.shape[0]))


def hadamard(roles: Roles) -> Hadamard | None:
    """LoHa."""
    a, b = roles.all("hada_w1_a", "hada_w2_a"), roles.all("hada_w1_b", "hada_w2_b")
    if a is None or b is None:
        return None
    t = roles.all("hada_t1", "hada_t2")
    return Hadamard((a[0], a[1]), (b[0], b[1]), (t[0], t[1]) if t else None, roles.scale(b[0].shape[0]))


def kronecker(roles: Roles) -> Kronecker | None:
    """LoKr. Where both factors are whole there is no rank, and alpha says nothing."""
    one = roles.all("lokr_w1") or roles.all("lokr_w1_a", "lokr_w1_b")
    two = (
        roles.all("lokr_w2")
        or roles.all("lokr_w2_a", "lokr_w2_b", "lokr_t2")
        or roles.all("lokr_w2_a", "lokr_w2_b")
    )
    if one is None or two is None:
        return None
    ranks = [tensors[1].shape[0] for tensors in (two, one) if len(tensors) > 1]
    scale = roles.scale(ranks[0] if ranks else 1)
    return Kronecker(one, two, scale if ranks or "scale" in roles.tensors else 1.0)


def difference(roles: Roles, *names: str) -> Difference | None:
    """A plain difference. It has no rank, and alpha says nothing."""
    found = roles.first(*names)
    return None if found is None else Difference(found)
