"""What an explanation tells is what happened: the same picture, and the attention that the blocks used."""

import numpy as np
import pytest
import torch
from torch import Tensor

from darkroom.errors import InvalidRequest
from darkroom.networks.conditioning import Conditioning
from darkroom.networks.dit import DiT, DiTBlock, DiTConfig
from darkroom.networks.layers import split_heads
from darkroom.studio.attending import attending
from darkroom.studio.develop import develop
from darkroom.studio.explaining import explain
from darkroom.studio.request import Request

REQUEST = Request(prompt="a red cat on a beach", seed=3, steps=4, sampler="euler", width=64, height=64)


@pytest.fixture(scope="module")
def told():
    return explain(REQUEST)


def test_the_explained_picture_is_the_one_that_is_made(told):
    made = develop(REQUEST).images[0]
    assert np.abs(told.picture.astype(int) - made).max() <= 1


def test_there_is_a_moment_for_each_call_and_noise_falls(told):
    sigmas = [moment.sigma for moment in told.moments]
    assert len(sigmas) == 4 and sigmas == sorted(sigmas, reverse=True)
    assert sigmas[0] == pytest.approx(1) and told.visited[-1] == pytest.approx((1, 0), abs=1e-6)
    assert [pair[1] for pair in told.visited[:-1]] == pytest.approx(sigmas, abs=1e-6)


def test_the_last_euler_estimate_is_the_picture(told):
    assert np.abs(told.moments[-1].estimate.astype(int) - told.picture).max() <= 1


def test_attention_is_a_share_of_all_and_of_each_word(told):
    assert told.words == ("(start)", "a", "red", "cat", "on", "a", "beach")
    for moment in told.moments:
        assert moment.attention.shape == (7, 4, 4)
        assert moment.attention.min() >= 0 and moment.attention.sum(0).max() < 1


def test_guidance_pulls_only_where_there_is_a_scale():
    plain = explain(Request(prompt="a red cat", seed=3, steps=2, cfg_scale=1, width=64, height=64))
    assert all(moment.alone is None and moment.pull is None for moment in plain.moments)


def test_guidance_pulls_by_what_parts_the_two_estimates(told):
    moment = told.moments[0]
    assert moment.pull.max() > 0.05
    wanted = np.abs(moment.estimate.astype(float) - moment.alone).mean(2) / 255
    assert np.allclose(moment.pull, wanted, atol=1e-6)


def test_a_picture_with_other_guidance_is_refused():
    with pytest.raises(InvalidRequest):
        explain(Request(prompt="a cat", guide="apg"))


def test_progress_may_stop_it():
    def stop(step: int, steps: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explain(REQUEST, stop)


def test_weights_are_those_the_block_used():
    """Where words have the value 1 and places 0, a block's output layer is given its share of words."""
    torch.manual_seed(0)
    network = DiT(DiTConfig(channels=4, width=32, depth=2, heads=2, text_width=16)).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    x, time = torch.randn(1, 4, 3, 3), torch.tensor([0.5])
    tokens = torch.randn(1, 5, 16)
    cond = Conditioning(tokens=tokens, mask=torch.tensor([[True] * 4 + [False]]), pooled=torch.randn(1, 16))
    block = network.blocks[0]
    assert isinstance(block, DiTBlock)
    seen: dict[str, Tensor] = {}
    block.qkv.register_forward_hook(lambda m, a, out: seen.__setitem__("v", out))
    block.out.register_forward_hook(lambda m, a, out: seen.__setitem__("in", a[0]))
    with torch.no_grad():
        before = network(x, time, cond)
        with attending(network) as attended:
            watched = network(x, time, cond)
            to_words = attended.blocks[0]
        assert len(attended.blocks) == 2 and torch.equal(before, watched)
        assert not to_words[..., 4].any(), "a masked token is looked at by nobody"
        kv = block.text_kv.weight
        block.qkv.weight[64:] = 0
        kv[32:] = 0
        block.text_kv.register_forward_hook(
            lambda m, a, out: torch.cat([out[..., :32], torch.ones_like(out[..., 32:])], -1)
        )
        network(x, time, cond)
        shares = split_heads(seen["in"], 2)[..., 0].mean(1)
    assert torch.allclose(shares, to_words.sum(-1), atol=1e-5)


def test_other_networks_tell_nothing():
    with attending(torch.nn.Linear(1, 1)) as attended:
        assert attended is None
