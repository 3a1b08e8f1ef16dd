"""Sample number i is the same in any order, in any process, and comes quickly."""

import subprocess
import sys

import numpy as np

from darkroom.data.scenes.captions import caption
from darkroom.data.scenes.chance import philox
from darkroom.data.scenes.dataset import SceneDataset
from darkroom.data.scenes.render import render
from darkroom.data.scenes.world import full_world, small_world

SCRIPT = """
from darkroom.data.scenes.dataset import SceneDataset
from darkroom.data.scenes.world import full_world
data = SceneDataset(full_world(), seed=5)
for index in (900, 0, 17):
    print(data.example(index, 32).caption, data.scene(index), data.example(index, 32).image.sum())
"""


def test_other_processes_draw_the_same() -> None:
    runs = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": h},
        ).stdout
        for h in ("1", "2")
    ]
    data = SceneDataset(full_world(), seed=5)
    here = "".join(
        f"{data.example(i, 32).caption} {data.scene(i)} {data.example(i, 32).image.sum()}\n"
        for i in (900, 0, 17)
    )
    assert runs == [here, here]


def test_a_sample_depends_on_its_number_and_the_seed_alone() -> None:
    data = SceneDataset(small_world(), seed=1)
    forwards = [data.scene(i) for i in range(20)]
    assert [data.scene(i) for i in reversed(range(20))] == forwards[::-1]
    assert len(set(forwards)) == 20
    assert SceneDataset(small_world(), seed=2).scene(0) != forwards[0]


def test_an_example_is_its_scene_drawn_and_told() -> None:
    example = SceneDataset(small_world()).example(3, 64)
    assert example.image.shape == (64, 64, 3) and example.image.dtype == np.uint8
    assert np.array_equal(example.image, render(example.scene, 64))
    assert example.caption == caption(example.scene, philox(0, 3, 1))
