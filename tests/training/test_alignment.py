"""Naming cells teaches the painter's first half, and changes nothing of what it paints."""

import copy
from math import log

import pytest
import torch

from darkroom.families.starter import Painter
from darkroom.networks.dit import DiTConfig
from darkroom.networks.text_encoder import TextEncoderConfig
from darkroom.training.alignment import AlignedPainter, naming_loss, spelling_loss

CLASSES = (5, 3)


@pytest.fixture
def network() -> AlignedPainter:
    torch.manual_seed(0)
    painter = Painter(
        TextEncoderConfig(words=20, letters=10, slots=4, width=32, depth=1, heads=2),
        DiTConfig(channels=4, width=32, depth=4, heads=2, text_width=32),
    )
    for parameter in painter.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return AlignedPainter(painter, CLASSES)


def batch(rows: int = 2) -> tuple[torch.Tensor, ...]:
    draw = torch.Generator().manual_seed(1)
    words = torch.randint(1, 20, (rows, 5), generator=draw)
    letters = torch.randint(0, 10, (rows, 5, 4), generator=draw)
    return words, letters, torch.randn(rows, 4, 4, 4, generator=draw), torch.tensor([0.2, 0.8])


def test_it_paints_what_the_painter_alone_paints(network):
    painted, named = network(*batch())
    assert torch.equal(painted, network.painter(*batch()))
    assert named.shape == (2, 16, sum(CLASSES))


def test_naming_teaches_the_prompt_and_the_first_blocks_alone(network):
    _, named = network(*batch())
    naming_loss(named, torch.zeros(2, 2, 4, 4), CLASSES).backward()
    blocks = network.painter.network.blocks
    assert network.painter.text.word.weight.grad.abs().sum() > 0
    assert [block.qkv.weight.grad is not None for block in blocks] == [True, True, True, False]


def test_a_copy_listens_to_its_own_painter(network):
    twin = copy.deepcopy(network)
    torch.nn.init.zeros_(twin.painter.network.blocks[2].out.weight)
    assert not torch.allclose(twin(*batch())[1], network(*batch())[1])
    assert torch.equal(network(*batch())[1], network(*batch())[1])


def test_who_knows_nothing_loses_the_logarithm_of_each_number_of_classes():
    cells = torch.randint(0, 3, (2, 2, 4, 4))
    loss = naming_loss(torch.zeros(2, 16, sum(CLASSES)), cells, CLASSES)
    assert float(loss) == pytest.approx(log(5) + log(3), rel=1e-5)


def test_who_knows_all_loses_nothing_and_one_wrong_aspect_counts():
    cells = torch.randint(0, 3, (2, 2, 4, 4))
    told = cells.flatten(2)
    kinds, colours = (30 * torch.nn.functional.one_hot(told[:, i], n).float() for i, n in enumerate(CLASSES))
    right = torch.cat([kinds, colours], dim=-1)
    assert float(naming_loss(right, cells, CLASSES)) < 1e-6
    assert float(naming_loss(right, (cells + torch.tensor([0, 1])[:, None, None]) % 3, CLASSES)) > 20


def test_spelling_counts_the_cells_with_letters_alone():
    cells = torch.zeros(2, 2, 4, 4, dtype=torch.long)
    cells[0, 1, 1, 1:3] = torch.tensor([1, 2])
    scores = torch.zeros(2, 16, sum(CLASSES))
    assert float(spelling_loss(scores, cells, CLASSES)) == pytest.approx(log(3), rel=1e-5)
    scores[1], scores[0, 0] = 30.0, -30.0  # cells without letters, whatever they say
    scores[0, 5, -2] = 30.0  # one of the two letters is known
    assert float(spelling_loss(scores, cells, CLASSES)) == pytest.approx(log(3) / 2, rel=1e-5)
    assert float(spelling_loss(scores, torch.zeros_like(cells), CLASSES)) == 0
