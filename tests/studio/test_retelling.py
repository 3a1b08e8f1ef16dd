"""Guides whose questions are changed on their way."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from darkroom.diffusion.guidance import cfg
from darkroom.diffusion.levels import Level
from darkroom.errors import InvalidRequest
from darkroom.networks.conditioning import Conditioning
from darkroom.studio.develop import develop, develop_many
from darkroom.studio.request import Request
from darkroom.studio.retelling import reusing, seeing

LEVEL = Level(*(torch.tensor(0.5) for _ in Level._fields))


def cond(value: float) -> Conditioning:
    return Conditioning(pooled=torch.full((1, 2), value))


def asked(guide, times):
    """What a guide tells the network, time after time."""
    found = []
    for _ in range(times):
        guiding = guide(torch.zeros(1, 3), LEVEL)
        queries = next(guiding)
        found.append([query.cond for query in queries])
        with pytest.raises(StopIteration):
            guiding.send([query.cond.pooled[:, :1].expand(1, 3) for query in queries])
    return found


def test_inner_blocks_run_at_the_first_question_and_every_so_many_th_after_it():
    told = asked(reusing(cfg(cond(2.0), cond(1.0), 3.0), 3), 7)
    assert [[one.recall for one in pair] for pair in told] == [
        [step % 3 != 0, step % 3 != 0] for step in range(7)
    ]
    memories = [[one.memories for one in pair] for pair in told]
    assert all(pair == memories[0] for pair in memories)
    assert memories[0][0] != memories[0][1], "the prompt and the negative one have their own"
    assert len({id(pair[0]) for pair in told}) == 2, "or conditions would be joined anew at every step"


def test_the_channels_beside_a_signal_are_told_at_every_step_as_the_same_condition():
    channels = torch.ones(1, 1, 2, 2)
    (first,), (second,) = asked(seeing(cfg(cond(2.0), cond(1.0), 1.0), channels), 2)
    assert first is second and first.concat is channels


def test_pictures_that_reuse_are_near_the_whole_ones_and_the_same_in_every_batch():
    prompt = "a cat wearing sunglasses on a beach"  # its place differs from seed to seed
    request = Request(prompt=prompt, seed=3, steps=12, precision="float32")
    plain = np.stack(develop(replace(request, count=8)).images).astype(float)
    reused = np.stack(develop(replace(request, count=8, reuse=2)).images)
    far, apart = (
        np.median(np.abs(plain - others).mean((1, 2, 3))) for others in (reused, np.roll(plain, 1, 0))
    )
    assert 0 < far < apart / 2, "most are much nearer than another seed; one may find another place"
    odd = replace(request, reuse=3, steps=7, sampler="heun")
    together = develop_many([odd, request, replace(request, reuse=2)])
    assert np.abs(together[2].images[0].astype(int) - reused[0]).max() <= 1


@pytest.mark.parametrize("reuse", [0, 11, -1])
def test_a_wrong_number_is_refused(reuse):
    with pytest.raises(InvalidRequest, match="reuse"):
        Request(prompt="a cat", reuse=reuse)
