"""From requests to pictures, with the model that ships."""

import numpy as np

from darkroom.studio.develop import develop, develop_many
from darkroom.studio.request import Progress, Request

SMALL = Request(prompt="a cat", seed=5, steps=2, width=64, height=64)
WIDE = Request(
    prompt="a house on a beach", seed=9, steps=3, width=96, height=48, sampler="euler", cfg_scale=1.0
)


def test_requests_of_different_sizes_and_lengths_are_made_and_previewed_together():
    heard: list[Progress] = []
    previews: list[list[tuple[int, ...]]] = []

    def progress(step: Progress) -> None:
        heard.append(step)
        previews.append([picture.shape for picture in step.preview()])

    together = develop_many([SMALL, WIDE], progress)
    assert [result.images[0].shape for result in together] == [(64, 64, 3), (48, 96, 3)]
    assert [(step.step, step.steps) for step in heard] == [(1, 3), (2, 3), (3, 3)]
    assert previews == [[(64, 64, 3), (48, 96, 3)]] * 3


def test_a_picture_made_beside_others_is_the_one_made_alone():
    together = develop_many([SMALL, WIDE])
    for request, result in zip((SMALL, WIDE), together, strict=True):
        alone = develop(request).images[0].astype(int)
        assert (
            np.abs(alone - result.images[0]).max() <= 1
        )  # one level: the network's kernels may round by batch
