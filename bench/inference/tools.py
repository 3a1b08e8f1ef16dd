"""The tools that are timed, each with the settings that suit it best, and how their workers are started."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.inference.protocol import Rival

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Tool:
    """A row of the table: its label, the environment it lives in, its worker and the worker's options.

    ``environment`` is a folder beside the shared model, or empty for Darkroom's own. ``pictures`` is true
    of a tool that gives no single step: its whole pictures are compared.
    """

    label: str
    environment: str
    worker: str
    options: tuple[str, ...] = ()
    pictures: bool = False


BF16 = ("--precision", "bfloat16", "--channels-last")
TOOLS: Mapping[str, Tool] = {
    "darkroom": Tool("Darkroom", "", "darkroom_unet"),
    "darkroom-int8": Tool("Darkroom: int8", "", "darkroom_unet", ("--precision", "int8")),
    "diffusers": Tool("diffusers as installed: fp32", "diffusers", "diffusers_unet"),
    "diffusers-bf16": Tool("diffusers: bf16, channels last", "diffusers", "diffusers_unet", BF16),
    "diffusers-compiled": Tool("and compiled", "diffusers", "diffusers_unet", (*BF16, "--compile")),
    "diffusers-frozen": Tool(
        "and with weights frozen", "diffusers", "diffusers_unet", (*BF16, "--compile", "--freeze")
    ),
    "diffusers-autotuned": Tool(
        "and with kernels tried out",
        "diffusers",
        "diffusers_unet",
        (*BF16, "--compile", "--freeze", "--autotune"),
    ),
    "sdcpp": Tool("stable-diffusion.cpp: bf16", "sdcpp", "sdcpp", ("--weights", "bf16", "--direct"), True),
    "sdcpp-q8": Tool("stable-diffusion.cpp: q8_0", "sdcpp", "sdcpp", ("--weights", "q8_0", "--direct"), True),
    "openvino": Tool("OpenVINO: bf16, static shapes", "openvino", "openvino_unet"),
    "openvino-w8": Tool("OpenVINO: int8 weights", "openvino", "openvino_unet", ("--int8", "weights")),
    "openvino-int8": Tool("OpenVINO: int8 throughout", "openvino", "openvino_unet", ("--int8", "full")),
}
OURS = "darkroom"
GROUPS = (
    ("diffusers", "diffusers-bf16", "openvino"),
    ("diffusers-compiled", "diffusers-frozen"),
    ("darkroom-int8", "openvino-w8", "openvino-int8", "sdcpp-q8"),
    ("diffusers-autotuned", "sdcpp"),
)
"""Tools whose models are in memory together, with Darkroom's: up to 15 GiB."""
PICTURES = Tool("pictures of diffusers, fp32", "diffusers", "diffusers_unet", ("--pictures",), True)
"""What whole pictures are compared with; not timed."""


def start(name: str, tool: Tool, folder: Path, rows: int, threads: int) -> Rival:
    """Start a tool's worker in its environment, and wait until it has taken a first step.

    ``folder`` is the one that ``python -m bench.inference setup`` filled; no hub is asked for anything.
    """
    python = str(folder / tool.environment / "bin/python") if tool.environment else sys.executable
    cache = folder / "cache" / name
    cache.mkdir(parents=True, exist_ok=True)
    command = [python, "-m", f"bench.inference.workers.{tool.worker}", *tool.options]
    told = {"model": folder / "model", "cache": cache, "rows": rows, "threads": threads}
    command += [word for option, value in told.items() for word in (f"--{option}", str(value))]
    return Rival(command, environment(cache, threads), folder / "logs" / f"{name}.log")


def environment(cache: Path, threads: int) -> dict[str, str]:
    """Offline, with so many threads that sleep while they wait, and with caches that are the tool's own."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")]),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
    }
