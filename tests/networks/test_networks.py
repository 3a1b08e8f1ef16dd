"""The networks: what must not change the answer, and what must."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from darkroom.networks.autoencoder import Autoencoder, AutoencoderConfig
from darkroom.networks.conditioning import Conditioning
from darkroom.networks.dit import DiT, DiTConfig
from darkroom.networks.layers import attention, rotary_2d, rotate
from darkroom.networks.text_encoder import TextEncoder, TextEncoderConfig

SMALL = DiTConfig(channels=4, width=32, depth=2, heads=2, text_width=32)


def awake(network: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights everywhere, zero-initialised layers too."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=draw))
    return network.eval()


def conditioning(rows: int, length: int, width: int = 32) -> Conditioning:
    draw = torch.Generator().manual_seed(rows + 10 * length)
    tokens = torch.randn(rows, length, width, generator=draw)
    return Conditioning(tokens=tokens, mask=torch.ones(rows, length, dtype=torch.bool), pooled=tokens[:, 0])


@torch.inference_mode()
def test_padding_of_the_prompt_changes_nothing():
    network, cond = awake(DiT(SMALL)), conditioning(2, 5)
    x, time = torch.randn(2, 4, 8, 8), torch.tensor([0.3, 0.9])
    torch.testing.assert_close(
        network(x, time, cond.padded(11)), network(x, time, cond), rtol=1e-4, atol=1e-5
    )


@torch.inference_mode()
def test_a_row_is_the_same_alone_and_in_a_batch():
    network, cond = awake(DiT(SMALL)), conditioning(3, 5)
    x, time = torch.randn(3, 4, 8, 8), torch.tensor([0.1, 0.5, 1.0])
    together = network(x, time, cond)
    alone = torch.cat([network(x[i : i + 1], time[i : i + 1], cond.rows(slice(i, i + 1))) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_perturbed_attention_sees_its_own_position_and_the_prompt_alone():
    """Rows may differ: one is perturbed in both blocks, one in none."""
    network, cond = awake(DiT(SMALL)), conditioning(2, 5)
    mixed = replace(cond, perturb=torch.tensor([[True, True], [False, False]]))
    x, time = torch.randn(2, 4, 8, 8), torch.tensor([0.3, 0.9])
    elsewhere = x.clone()
    elsewhere[..., 4:] += 1
    before, after = network(x, time, mixed), network(elsewhere, time, mixed)
    torch.testing.assert_close(before[0, ..., :4], after[0, ..., :4], rtol=1e-4, atol=1e-5)
    assert (before[1, ..., :4] - after[1, ..., :4]).abs().max() > 1e-3
    torch.testing.assert_close(before[1], network(x, time, cond)[1], rtol=1e-4, atol=1e-5)
    one = network(x, time, replace(cond, perturb=torch.tensor([[False, True], [True, False]])))
    assert (one - network(x, time, cond)).abs().amax((1, 2, 3)).min() > 1e-3
    assert torch.equal(cond.blind(network.middle_blocks).perturb, torch.tensor([[False, True]] * 2))
    other = replace(mixed, tokens=cond.tokens + 1)
    assert (network(x, time, other)[0] - before[0]).abs().max() > 1e-3


@torch.inference_mode()
def test_prompt_time_and_place_all_reach_the_answer():
    network, cond = awake(DiT(SMALL)), conditioning(1, 5)
    x, time = torch.randn(1, 4, 8, 8), torch.tensor([0.5])
    answer = network(x, time, cond)
    assert not torch.allclose(answer, network(x, time, conditioning(1, 6)), atol=1e-3)
    assert not torch.allclose(answer, network(x, time + 0.4, cond), atol=1e-3)
    # without positions, turning the picture upside down would turn the answer upside down
    assert not torch.allclose(answer.flip(2), network(x.flip(2), time, cond), atol=1e-3)


def test_a_new_transformer_answers_zero_so_that_training_starts_calm():
    network = DiT(SMALL)
    assert not network(torch.randn(1, 4, 8, 8), torch.tensor([0.5]), conditioning(1, 3)).any()


def test_patches_come_back_where_they_were():
    network = DiT(DiTConfig(channels=3, patch=2, width=32, depth=1, heads=2))
    x = torch.randn(2, 3, 6, 8)
    assert torch.equal(network.unpatch(network.patches(x), 3, 4), x)


def test_rotary_scores_depend_on_relative_place_alone():
    angles = rotary_2d(6, 6, 16).reshape(6, 6, 8)
    q, k = torch.randn(16), torch.randn(16)

    def score(a: tuple[int, int], b: tuple[int, int]) -> torch.Tensor:
        return (
            rotate(q[None, None, None], angles[a][None]).flatten()
            @ rotate(k[None, None, None], angles[b][None]).flatten()
        )

    torch.testing.assert_close(score((0, 1), (2, 2)), score((3, 4), (5, 5)))
    assert not torch.allclose(score((0, 1), (2, 2)), score((0, 1), (2, 3)), atol=1e-4)


@torch.inference_mode()
def test_letters_tell_words_apart_that_the_vocabulary_lacks():
    encoder = awake(TextEncoder(TextEncoderConfig(words=10, letters=30, slots=4, width=32, depth=1, heads=2)))
    words = torch.tensor([[1, 2], [1, 2], [1, 2]])
    letters = torch.zeros(3, 2, 4, dtype=torch.long)
    letters[:, 1, :3] = torch.tensor([[3, 4, 5], [5, 4, 3], [3, 4, 6]])
    tokens = encoder(words, letters).tokens
    assert (torch.pdist(tokens[:, 1]) > 0.1).all()


def test_stacking_sequences_of_other_lengths_masks_the_padding_even_where_there_was_no_mask():
    short, long = (
        Conditioning(tokens=torch.randn(1, n, 8), extra={"size": torch.ones(1, 2)}) for n in (3, 5)
    )
    both = Conditioning.stack([short, long])
    assert both.mask is not None and both.mask.sum(1).tolist() == [3, 5]
    assert torch.equal(both.tokens[0, :3], short.tokens[0]) and both.extra["size"].shape == (2, 2)
    assert Conditioning.stack([short, short]).mask is None


def test_stacking_refuses_parts_that_differ():
    with pytest.raises(ValueError, match="different parts"):
        Conditioning.stack([conditioning(1, 2), Conditioning(pooled=torch.zeros(1, 32))])


SMALL_AUTOENCODER = AutoencoderConfig(12, (8, 16, 16), (0, 0, 0))


def started(pictures: torch.Tensor, config: AutoencoderConfig = SMALL_AUTOENCODER) -> Autoencoder:
    torch.manual_seed(0)
    network = Autoencoder(config)
    network.start_from(pictures)
    return network


def test_autoencoder_starts_at_the_best_linear_one():
    """A new network's error is what the principal components left out, to rounding."""
    torch.manual_seed(0)
    basis, mean = torch.randn(20, 3 * 16 * 16), torch.randn(3, 1, 1)
    cells = (torch.randn(400, 20) * torch.linspace(2, 0.05, 20)) @ basis / 10
    pictures = cells.reshape(400, 3, 16, 16) + mean
    network = started(pictures).train()
    made = network(network.encode(pictures))
    centred = (pictures - pictures.mean(dim=(0, 2, 3), keepdim=True)).flatten(1).double()
    left = torch.linalg.svdvals(centred)[12:].square().sum() / centred.numel()
    assert (made - pictures).square().mean().item() == pytest.approx(left.item(), rel=1e-3)


def test_latents_have_mean_square_one_and_stronger_channels_first():
    torch.manual_seed(0)
    pictures = torch.randn(200, 3, 32, 32).cumsum(-1).cumsum(-2) / 100
    latent = started(pictures).encode(pictures)
    spread = latent.square().mean(dim=(0, 2, 3))
    assert spread.mean().item() == pytest.approx(1.0, rel=1e-3)
    assert (spread[:-1] >= spread[1:] - 1e-3).all()


def test_what_the_decoder_adds_reaches_the_picture():
    network = started(torch.randn(50, 3, 32, 32))
    latent = network.encode(torch.randn(1, 3, 32, 32))
    assert torch.allclose(network.eval().decode(latent), network.decode_linearly(latent).clamp(-1, 1))
    awake(network.decoder)
    assert not torch.allclose(network.decode(latent), network.decode_linearly(latent).clamp(-1, 1), atol=1e-2)


def test_autoencoder_says_which_sides_it_takes():
    network = started(torch.randn(50, 3, 32, 32)).eval()
    assert network.decode(network.encode(torch.zeros(1, 3, 48, 80))).shape == (1, 3, 48, 80)
    with pytest.raises(ValueError, match="130x128 does not divide into cells of 16"):
        network.encode(torch.zeros(1, 3, 128, 130))


def test_attention_written_out_is_torch_s_own_with_the_same_gradients():
    draw = torch.Generator().manual_seed(4)
    parts = [torch.randn(2, 3, n, 8, generator=draw, dtype=torch.float64) for n in (4, 7, 7)]
    mask = torch.rand(2, 1, 1, 7, generator=draw) > 0.3
    mask[..., 0] = True
    ways = []
    for way in (attention, lambda q, k, v, m: nn.functional.scaled_dot_product_attention(q, k, v, m)):
        leaves = [part.clone().requires_grad_() for part in parts]
        answer = way(*leaves, mask)
        answer.square().sum().backward()
        ways.append([answer, *(leaf.grad for leaf in leaves)])
    for ours, theirs in zip(*ways, strict=True):
        torch.testing.assert_close(ours, theirs)
