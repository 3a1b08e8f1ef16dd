"""The starter's pictures with weights of 8 bits: how far from single precision, and how often right."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.measure import table
from darkroom.data.scenes.skills import SKILLS
from darkroom.evaluation.command import world_of
from darkroom.evaluation.judge import load
from darkroom.evaluation.prompts import Prompt, skill_prompts
from darkroom.evaluation.requirements import check
from darkroom.networks.quantize import quantize
from darkroom.studio.develop import develop_many, how_loaded
from darkroom.studio.models import load_model, open_model
from darkroom.studio.request import Request

KINDS = [
    ("float32", None),
    ("bfloat16", None),
    ("float32", "int8-weights"),
    ("int8", None),
]
"""Precision as a request has it, and what else is done to the network."""
TOGETHER = 16


def pictures(prompts: int) -> str:
    """A table: each way of calculating against single precision, on ``prompts`` of each skill."""
    judge = load()
    asked = [p for skill in SKILLS for p in skill_prompts(world_of(judge), skill, prompts, 1)]
    rows, precise = [], None
    for precision, kind in KINDS:
        made = made_with(asked, precision, kind)
        precise = made if precise is None else precise
        seen = [found for some in batches(made) for found in judge.look(np.stack(some))]
        right = sum(check(p.requirements, one).right for p, one in zip(asked, seen, strict=True))
        near = [psnr(a, b) for a, b in zip(made, precise, strict=True)]
        told = ["", ""] if made is precise else [f"{np.median(near):.1f}", f"{np.quantile(near, 0.1):.1f}"]
        rows.append([f"{precision}, {kind}" if kind else precision, *told, f"{right} of {len(asked)}"])
    return table(["starter", "PSNR, median, dB", "PSNR, lowest tenth", "pictures right"], rows)


def made_with(prompts: Sequence[Prompt], precision: str, kind: str | None) -> list[np.ndarray]:
    """The pictures of the prompts."""
    requests = [Request(prompt=p.text, seed=p.seeds[0], precision=precision) for p in prompts]
    open_model.cache_clear()
    if kind:
        quantize(load_model(*how_loaded(requests[0])).model.network, kind)
    results = [result for some in batches(requests) for result in develop_many(some)]
    open_model.cache_clear()
    return [result.images[0] for result in results]


def batches(things: Sequence[Any]) -> list[Sequence[Any]]:
    """Some at a time."""
    return [things[i : i + TOGETHER] for i in range(0, len(things), TOGETHER)]


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Decibels; infinity where two pictures are the same."""
    error = np.square(one.astype(np.float64) - other).mean()
    return float(10 * np.log10(255**2 / error)) if error else float("inf")
