"""Inner blocks that are not run at every step: what is taken again, of whom, and that they do not run."""

from typing import Any

import pytest
import torch
from flux_twins import DEV
from mmdit_twins import SD35_MEDIUM
from torch import nn
from twins import awake, relative

from darkroom.networks.conditioning import Conditioning, Memory
from darkroom.networks.dit import DiT, DiTConfig
from darkroom.networks.flux import Flux, FluxConfig
from darkroom.networks.mmdit import MMDiT, MMDiTConfig
from darkroom.networks.pixart import PixArt, PixArtConfig
from darkroom.networks.unet import UNet
from darkroom.networks.unet_config import UNetConfig

TRANSFORMER = {"num_attention_heads": 2, "attention_head_dim": 12, "num_layers": 3, "caption_channels": 12}
UNET: dict[str, Any] = {
    "block_out_channels": [32, 64, 64],
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    "cross_attention_dim": 12,
    "attention_head_dim": 2,
}
KINDS = {
    "DiT": (lambda: DiT(DiTConfig(channels=4, width=32, depth=3, heads=2, text_width=12)), "blocks"),
    "MMDiT": (lambda: MMDiT(MMDiTConfig.from_diffusers(SD35_MEDIUM)), "transformer_blocks"),
    "FLUX": (lambda: Flux(FluxConfig.from_diffusers(DEV)), "transformer_blocks"),
    "PixArt": (
        lambda: PixArt(
            PixArtConfig.from_diffusers({**TRANSFORMER, "cross_attention_dim": 24, "sample_size": 64})
        ),
        "transformer_blocks",
    ),
    "U-Net": (lambda: UNet(UNetConfig.from_diffusers(UNET)), "down_blocks"),
}


@pytest.fixture(params=KINDS)
def network(request) -> nn.Module:
    return awake(KINDS[request.param][0]())


def blocks_of(network: nn.Module) -> nn.ModuleList:
    names = {one: blocks for make, blocks in KINDS.values() for one in [type(make())]}
    return getattr(network, names[type(network)])


def question(network: nn.Module, rows: int = 2, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 4, 8, 8, generator=draw), torch.rand(rows, generator=draw)


def told(network: nn.Module, rows: int = 2, **more: Any) -> Conditioning:
    draw = torch.Generator().manual_seed(9)
    width = 12 if isinstance(network, DiT) else 10
    extra = {"guidance": torch.ones(rows)} if isinstance(network, Flux) else {}
    tokens = torch.randn(rows, 5, 12, generator=draw)
    return Conditioning(tokens=tokens, pooled=torch.randn(rows, width, generator=draw), extra=extra, **more)


def remembering(network: nn.Module, rows: int = 2) -> tuple[Conditioning, Conditioning]:
    """Conditions that have the inner blocks run, and ones that recall what these gave."""
    memories = tuple(Memory() for _ in range(rows))
    return told(network, rows, memories=memories), told(network, rows, memories=memories, recall=True)


@torch.inference_mode()
def test_keeping_changes_nothing_and_the_same_question_recalled_has_the_same_answer(network):
    run, recall = remembering(network)
    asked = question(network)
    plain = network(*asked, told(network))
    assert torch.equal(network(*asked, run), plain)
    assert relative(network(*asked, recall), plain) < 1e-6


@torch.inference_mode()
def test_another_question_is_answered_by_the_outer_blocks_alone(network):
    run, recall = remembering(network)
    network(*question(network), run)
    ran = []
    for i, block in enumerate(blocks_of(network)):
        block.register_forward_hook(lambda *_, i=i: ran.append(i))
    other = question(network, seed=1)
    answer = network(*other, recall)
    assert ran == [0]
    apart = relative(answer, network(*other, told(network)))
    assert apart > 1e-4, "what is kept is of another question, and only nearly right"
    assert relative(answer, network(*question(network), recall)) > 1e-3, "the outer blocks see the question"


@torch.inference_mode()
def test_each_row_has_a_memory_of_its_own(network):
    (run, recall), (x, time) = remembering(network), question(network)
    network(x, time, run)
    other, at = question(network, seed=1)
    both = network(other, at, recall)
    for i in range(2):
        alone = network(other[[i]], at[[i]], recall.rows(torch.tensor([i])))
        assert relative(alone, both[[i]]) < 1e-5


def test_conditions_that_recall_share_no_batch_with_those_that_do_not():
    network = KINDS["DiT"][0]()
    run, recall = remembering(network)
    assert len({run.names, recall.names, told(network).names}) == 3
    with pytest.raises(ValueError, match="different parts"):
        Conditioning.stack([run, recall])
    joined = Conditioning.stack([recall.rows(slice(0, 1)), recall.rows(slice(1, 2))])
    assert joined.memories == recall.memories and joined.recall
    assert joined.to(dtype=torch.bfloat16).memories == recall.memories
