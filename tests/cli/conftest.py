"""A command line whose darkroom develops at once: what is tested here is the words around it."""

import sys
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner, Result

from darkroom.cli.main import main
from darkroom.studio import request as requests
from darkroom.studio.digests import digest


def develop(request, progress=None):
    """Noise that depends on the request alone, like the real one's pictures."""
    filled = request.filled(
        width=16, height=16, steps=4, cfg_scale=4.0, sampler="dpmpp_2m", scheduler="trailing"
    )
    images = []
    for i in range(filled.count):
        rng = np.random.default_rng([filled.seed + i, *filled.prompt.encode()])
        images.append(rng.integers(0, 256, (filled.height, filled.width, 3), np.uint8))
    for step in range(filled.steps if progress else 0):
        progress(requests.Progress(step + 1, filled.steps, lambda: images))
    hashes = {str(path): digest(path) for path in filled.files()}
    record = requests.Record(request=filled, model_hash="ab" * 32, version="0", torch="0", hashes=hashes)
    return requests.Result(tuple(images), record, {"network": 0.5})


@pytest.fixture
def developing(monkeypatch) -> ModuleType:
    """The module that stands where the engine would be loaded; tests may change what it does."""
    module = ModuleType("darkroom.studio.develop")
    module.develop = develop
    module.develop_many = lambda asked, progress=None, memory="auto": [
        module.develop(one, progress) for one in asked
    ]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


@pytest.fixture
def darkroom(tmp_path, monkeypatch, developing) -> Callable[..., Result]:
    """Run ``darkroom`` with these words in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])
