"""Signals in bf16 as levels of 8 bits in one go, as a torch operator, ``darkroom::levels``.

In torch it takes six looks at memory, a tenth of a step of a U-Net in int8. For processors with AVX-512.
"""

import ctypes
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from darkroom.errors import DarkroomError
from darkroom.networks.integers import Rounding, torch_levels
from darkroom.networks.kernels.library import library
from darkroom.networks.kernels.processor import parallel, processor_flags

SOURCE = Path(__file__).with_name("levels.cpp")
INSTRUCTIONS = ("avx512f", "avx512bw", "avx512vl", "avx512dq")
FLAGS = ("-ffp-contract=off", *(f"-m{name}" for name in INSTRUCTIONS))
PIECE = 1 << 15
"""Numbers that one thread looks at together: they and their levels stay in its cache."""
ALONE = 1 << 14
"""Numbers that one thread has done sooner than others wake up."""


class Job(ctypes.Structure):
    """Job in the source; its comments say what is what."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("signal", "levels", "scales", "most")),
        *((name, ctypes.c_int64) for name in ("groups", "length", "piece", "pieces")),
        ("parallel", ctypes.c_void_p),
        ("next", ctypes.c_int64),
        ("threads", ctypes.c_int32),
    )


@cache
def available(folder: Path) -> Rounding | str:
    """:func:`levels` for :func:`~darkroom.networks.integers.use`, or why it cannot be had, in a sentence.

    Builds it where ``folder`` does not hold it yet, which takes seconds.
    """
    global _library
    if lack := lacking():
        return lack
    try:
        _library = library(SOURCE, FLAGS, folder)
    except DarkroomError as error:
        return str(error)
    return levels


_library: ctypes.CDLL | None = None


def lacking() -> str:
    """What this machine lacks; empty where nothing."""
    if missing := [name for name in INSTRUCTIONS if name not in processor_flags()]:
        return f"this processor has no {', '.join(missing)}."
    return "" if parallel() else "this torch does not run on OpenMP."


def levels(x: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Levels and scales as ``signal_levels`` says: ours for what lies together in memory, else torch's."""
    if x.dtype != torch.bfloat16 or x.device.type != "cpu" or not x.numel() or x.requires_grad:
        return torch_levels(x, axes)
    if axes == (-1,):
        return torch.ops.darkroom.levels(x.contiguous(), 1)
    laid = x.permute(0, 2, 3, 1).contiguous()
    found, scale = torch.ops.darkroom.levels(laid, len(axes))
    return found.permute(0, 3, 1, 2), scale.permute(0, 3, 1, 2)


def _levels(x: Tensor, axes: int) -> tuple[Tensor, Tensor]:
    """The operator on a CPU: contiguous ``x``, a scale for each place along all but its last ``axes``."""
    if _library is None:
        raise RuntimeError("darkroom::levels is used before available() has loaded it")
    found, scales = _empty(x, axes)
    groups = scales.numel()
    length = x.numel() // groups
    pieces = -(-length // PIECE)
    most = torch.empty(groups * pieces, dtype=torch.int16)
    job = Job(groups=groups, length=length, piece=PIECE, pieces=pieces, parallel=parallel())
    job.signal, job.levels = x.data_ptr(), found.data_ptr()
    job.scales, job.most = scales.data_ptr(), most.data_ptr()
    job.threads = torch.get_num_threads() if x.numel() > ALONE else 1
    _library.darkroom_levels(ctypes.byref(job))
    return found, scales


def _empty(x: Tensor, axes: int) -> tuple[Tensor, Tensor]:
    """What the operator gives, without numbers in it."""
    kept = x.shape[: x.ndim - axes]
    return torch.empty_like(x, dtype=torch.uint8), x.new_empty((*kept, *[1] * axes))


torch.library.define("darkroom::levels", "(Tensor x, int axes) -> (Tensor, Tensor)")
torch.library.impl("darkroom::levels", "cpu", _levels)
torch.library.register_fake("darkroom::levels", _empty)
