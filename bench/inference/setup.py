"""The environments of other tools, and the model that all share: ``python -m bench.inference setup``.

Each tool has its own environment, so that none bends another's versions. stable-diffusion.cpp is built from
source for this processor, which needs cmake and a C++ compiler. All takes 12 GB of disk.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.inference.weights import write


@dataclass(frozen=True)
class Environment:
    """What pip installs, what it takes away again, and how it builds."""

    packages: tuple[str, ...]
    without: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)


ENVIRONMENTS = {
    "diffusers": Environment(
        ("torch==2.13.0", "diffusers==0.42.1", "transformers==5.24.0", "accelerate==1.15.0")
    ),
    # PyPI's torchvision is built for CUDA and fails beside a CPU build of torch; nothing here needs it
    "openvino": Environment(
        (
            "torch==2.13.0",
            "optimum-intel==2.2.0",
            "openvino==2026.4.1",
            "nncf==3.4.0",
            "diffusers==0.39.0",
        ),
        without=("torchvision",),
    ),
    "sdcpp": Environment(
        ("stable-diffusion-cpp-python==0.4.7", "numpy==2.4.6"),
        variables={"CMAKE_ARGS": "-DGGML_NATIVE=ON -DGGML_LLAMAFILE=ON -DGGML_OPENMP=ON"},
    ),
}


def install(folder: Path) -> None:
    """Make what is missing of the environments and the shared model."""
    for name, environment in ENVIRONMENTS.items():
        if not (folder / name / "ready").exists():
            make(folder / name, environment)
    if not (folder / "model" / "question.npz").exists():
        write(folder / "model")


def make(folder: Path, environment: Environment) -> None:
    """An environment of its own; its file ``ready`` says that it is whole."""
    pip = [str(folder / "bin/python"), "-m", "pip"]
    variables = {**os.environ, **environment.variables}
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([*pip, "install", *environment.packages], check=True, env=variables)
    if environment.without:
        subprocess.run([*pip, "uninstall", "--yes", *environment.without], check=True)
    (folder / "ready").touch()
