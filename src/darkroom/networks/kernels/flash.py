"""Attention in bf16 on processors with AVX-512 BF16, as a torch operator, ``darkroom::attention``.

Torch's own kernel gets a quarter of such a processor's rate. What can be had nowhere else is asked of torch:
:func:`attention` takes all that torch's does.
"""

import ctypes
import math
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from darkroom.errors import DarkroomError
from darkroom.networks.attend import Attention, torch_attention
from darkroom.networks.kernels.library import library
from darkroom.networks.kernels.processor import parallel, processor_flags

SOURCE = Path(__file__).with_name("attention.cpp")
INSTRUCTIONS = ("avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_bf16")
FLAGS = tuple(f"-m{name.replace('_', '')}" for name in INSTRUCTIONS)
WIDEST = 512
"""Largest width of a head, WIDEST in the source."""
FEWEST = 16
"""Queries below which repacking keys and values costs more than it brings."""
LEAST = 1e6
"""Operations below which torch's kernel is done sooner than ours is called."""
ALONE = 4e6
"""Operations that one thread does sooner than others wake up."""


class Job(ctypes.Structure):
    """Job in the source; its comments say what is what."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("query", "key", "value", "out", "mask", "packed")),
        *((name, ctypes.c_int64) for name in ("batch", "heads", "queries", "keys", "width")),
        *((f"{name}_strides", ctypes.c_int64 * 3) for name in ("query", "key", "value", "out", "mask")),
        ("parallel", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("taken", "done")),
        ("scale", ctypes.c_float),
        ("threads", ctypes.c_int32),
    )


@cache
def available(folder: Path) -> Attention | str:
    """:func:`attention` for :func:`~darkroom.networks.attend.use`, or why it cannot be had, in a sentence.

    Builds it where ``folder`` does not hold it yet, which takes seconds.
    """
    global _library
    if lack := lacking():
        return lack
    try:
        _library = library(SOURCE, FLAGS, folder)
    except DarkroomError as error:
        return str(error)
    _library.darkroom_attention_room.restype = ctypes.c_int64
    return attention


_library: ctypes.CDLL | None = None


def lacking() -> str:
    """What this machine lacks, or has better; empty where nothing."""
    if not (used := torch.backends.cpu.get_cpu_capability()).startswith("AVX512"):
        return f"torch uses {used} here, not AVX-512."
    flags = processor_flags()
    if missing := [name for name in INSTRUCTIONS if name not in flags]:
        return f"this processor has no {', '.join(missing)}."
    if "amx_bf16" in flags:
        return "this processor has AMX, which torch's attention uses and ours does not."
    return "" if parallel() else "this torch does not run on OpenMP."


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention over (B, heads, L, d) as ``attend`` says: ours where it can and is faster, else torch's.

    The answer of ours lies in memory as (B, L, heads, d), so that merging the heads moves nothing.
    """
    if not suits(q, k, v, mask):
        return torch_attention(q, k, v, mask)
    return torch.ops.darkroom.attention(q, k, v, mask)


def suits(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> bool:
    """Whether ours can do it sooner than torch's, and no gradient is asked for.

    The size of the batch has no say, so that a picture meets the same kernel alone and among others.
    """
    wanted = torch.is_grad_enabled() and any(part.requires_grad for part in (q, k, v))
    return fits(q, k, v, mask) and q.shape[2] >= FEWEST and operations(q, k) >= LEAST and not wanted


def fits(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> bool:
    """Whether ours can do it: bf16 on the CPU, heads as wide as a multiple of 8, a mask of bool."""
    return (
        all(part.dtype == torch.bfloat16 and part.device.type == "cpu" for part in (q, k, v))
        and q.ndim == k.ndim == 4
        and k.shape == v.shape
        and q.shape[:2] == k.shape[:2]
        and q.shape[3] == k.shape[3]
        and q.shape[3] % 8 == 0
        and q.shape[3] <= WIDEST
        and (mask is None or mask.dtype == torch.bool)
    )


def operations(q: Tensor, k: Tensor) -> int:
    """Multiplications and additions of both products, in a row of the batch."""
    return 4 * math.prod(q.shape[1:]) * k.shape[2]


def _attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """The operator on a CPU. Raises ValueError for what does not fit."""
    if _library is None or not fits(query, key, value, mask):
        raise ValueError("darkroom::attention is not loaded, or does not take such tensors; see fits().")
    parts = {"query": along(query), "key": along(key), "value": along(value)}
    out = parts["out"] = _empty(query, key, value, mask)
    if mask is not None:
        parts["mask"] = spread(mask, (*query.shape[:3], key.shape[2]))
    job = job_of(parts)
    packed = torch.empty(_library.darkroom_attention_room(ctypes.byref(job)), dtype=torch.int32)
    job.packed = packed.data_ptr()
    _library.darkroom_attention(ctypes.byref(job))
    return out


def _empty(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """What the operator gives, without numbers in it."""
    batch, heads, length, width = query.shape
    return query.new_empty(batch, length, heads, width).transpose(1, 2)


torch.library.define(
    "darkroom::attention", "(Tensor query, Tensor key, Tensor value, Tensor? mask) -> Tensor"
)
torch.library.impl("darkroom::attention", "cpu", _attention)
torch.library.register_fake("darkroom::attention", _empty)


def along(x: Tensor) -> Tensor:
    """``x`` as the source reads it: contiguous along its last axis, rows near enough for 32-bit offsets."""
    return x if x.stride(3) == 1 and x.stride(2) < 2**26 else x.contiguous()


def spread(mask: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A mask broadcast to ``shape``, contiguous along its last axis alone."""
    return mask.expand(*mask.shape[:-1], shape[-1]).contiguous().expand(shape)


def job_of(parts: dict[str, Tensor]) -> Job:
    """What the source is told of these tensors, which it does not keep alive; ``packed`` is still to come."""
    job = Job(parallel=parallel())
    for name, part in parts.items():
        setattr(job, name, part.data_ptr())
        setattr(job, f"{name}_strides", part.stride()[:3])
    job.batch, job.heads, job.queries, job.width = parts["query"].shape
    job.keys = parts["key"].shape[2]
    job.scale = math.log2(math.e) / math.sqrt(job.width)
    alone = job.batch * operations(parts["query"], parts["key"]) < ALONE
    job.threads = 1 if alone else torch.get_num_threads()
    return job
