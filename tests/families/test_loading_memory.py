"""What loading costs in memory: little more than the weights in the type that they are wanted in.

Counted are anonymous pages. Weights that stay in their stored type are the file's own pages, which the system
drops and reads again as it likes.
"""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from darkroom.weights.convert import convert

pytest.importorskip("diffusers")
from tests.families import tiny

ROLLUP = Path("/proc/self/smaps_rollup")
PROGRAM = """
import re, sys, threading, time
from pathlib import Path
import torch
import darkroom.families.sd
from darkroom.families.family import Options
from darkroom.families.registry import load
from transformers import CLIPTextModel

def anonymous():
    text = Path("/proc/self/smaps_rollup").read_text()
    return 1024 * int(re.search(r"Anonymous: +(\\d+)", text)[1])

before, peak, done = anonymous(), 0, threading.Event()
def watch():
    global peak
    while not done.wait(0.002):
        peak = max(peak, anonymous())
watching = threading.Thread(target=watch, daemon=True)
watching.start()
model = load(Path(sys.argv[1]), Options(getattr(torch, sys.argv[2])))
done.set()
watching.join()
weights = sum(one.nbytes for part in model.parts.values() for one in part.parameters())
print(weights, max(peak, anonymous()) - before)
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Half of a hundred million numbers in bfloat16, in the shapes of Stable Diffusion 1."""
    pipeline = tiny.sd1(act="gelu", block_out_channels=(64, 128, 256, 256)).to(torch.bfloat16)
    root = tmp_path_factory.mktemp("large")
    convert(tiny.save(pipeline, root / "folder"), root / "model.safetensors")
    return root / "model.safetensors"


@pytest.mark.skipif(not ROLLUP.exists(), reason="memory is counted as Linux tells it")
@pytest.mark.parametrize(("dtype", "most"), [("bfloat16", 0.5), ("float32", 1.15)])
def test_the_peak_is_little_more_than_the_weights(file, dtype, most):
    command = [sys.executable, "-c", PROGRAM, str(file), dtype]
    weights, peak = map(
        int, subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()
    )
    beside = 40 * 2**20  # modules, the lists of names, what imports still do
    assert weights > 60 * 2**20
    assert peak < most * weights + beside
