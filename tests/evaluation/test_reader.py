"""Reading signs: the board is cut out where it is, columns spell their word, and reading can be learnt."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from darkroom.data.scenes.graph import Box, Scene, Thing
from darkroom.data.scenes.layout import box_at, size_of
from darkroom.data.scenes.render import parts, render
from darkroom.evaluation.examiner import as_images
from darkroom.evaluation.reader import COLUMNS, HEIGHT, LETTERS, WIDTH, Reader, boards, reading_loss, spell


def columns_of(word: str, widths: list[int]) -> torch.Tensor:
    """Logits (1, 48, 27) that spell the word, each letter ``widths`` columns wide with a blank after it."""
    numbers = [
        n for letter, w in zip(word, widths, strict=True) for n in [LETTERS.index(letter) + 1] * w + [0]
    ]
    numbers += [0] * (COLUMNS - len(numbers))
    return 20.0 * F.one_hot(torch.tensor([numbers]), len(LETTERS) + 1).float()


@given(st.text(LETTERS, min_size=1, max_size=6), st.lists(st.integers(1, 6), min_size=6, max_size=6))
def test_columns_spell_their_word_double_letters_and_all(word, widths):
    assert spell(columns_of(word, widths[: len(word)])) == [word]


def test_the_loss_is_none_for_the_right_word_and_large_for_another():
    logits = columns_of("BOOT", [2, 2, 2, 2])
    assert reading_loss(logits, ["BOOT"]) < 1e-3 < 1 < reading_loss(logits, ["BOAT"])


def test_a_board_is_cut_out_of_its_picture_and_no_other():
    """A white board in the second of two pictures is white from edge to edge, without its post."""
    pictures = torch.zeros(2, 3, 128, 128)
    pictures[1, :, 20:57, 32:96] = 1.0  # 74% of a sign from (32, 20) to (96, 70)
    box = torch.tensor([[32, 20, 96, 70]]) / 128
    cut = boards(pictures, torch.tensor([1]), box)
    assert cut.shape == (1, 3, HEIGHT, WIDTH)
    assert cut[:, :, 1:-1, 1:-1].min() > 0.99
    assert boards(pictures, torch.tensor([0]), box).max() == 0


def a_sign(word: str) -> tuple[np.ndarray, Box]:
    scene = Scene((Thing("sign", box_at((0.5, 0.5), size_of("sign", 0.6, word=word)), word=word),))
    return render(scene), parts(scene)[0].box


@pytest.mark.parametrize("words", [("OPEN", "SHUT", "GO", "BOOT")])
def test_reading_is_learnt_from_a_few_signs(words):
    torch.manual_seed(0)
    signs = [a_sign(word) for word in words]
    images = as_images(torch.from_numpy(np.stack([picture for picture, _ in signs])))
    cut = boards(images, torch.arange(len(words)), torch.tensor([box for _, box in signs]))
    reader = Reader()
    optimizer = torch.optim.AdamW(reader.parameters(), 3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        reading_loss(reader(cut), words).backward()
        optimizer.step()
    assert spell(reader(cut)) == list(words)
