"""Reading a sign: its board is cut out, stretched to one size, and spelled from left to right.

Columns of letters and blanks are trained by connectionist temporal classification (Graves et al. 2006), with
a view too narrow to see whole words, so that letters are read and words are not guessed.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darkroom.data.scenes.props import BOARD

HEIGHT, WIDTH = 32, 96
COLUMNS = 48
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def boards(images: Tensor, picture: Tensor, boxes: Tensor) -> Tensor:
    """The boards (N, 3, 32, 96) of signs with ``boxes`` (N, 4): left, top, right, bottom in fractions."""
    left, top, right, bottom = boxes.unbind(1)
    bottom = top + BOARD * (bottom - top)
    x = _line(left, right, WIDTH)[:, None, :].expand(-1, HEIGHT, -1)
    y = _line(top, bottom, HEIGHT)[:, :, None].expand(-1, -1, WIDTH)
    return F.grid_sample(
        images[picture], torch.stack([x, y], dim=3), padding_mode="border", align_corners=False
    )


def _line(low: Tensor, high: Tensor, count: int) -> Tensor:
    """``count`` points from low to high, (N, count), in the [-1, 1] of grid_sample."""
    at = (torch.arange(count, device=low.device) + 0.5) / count
    return 2 * (low[:, None] + (high - low)[:, None] * at) - 1


class Reader(nn.Module):
    """Letters of boards: (N, 3, 32, 96) -> logits (N, 48, 27), of which 0 is the blank."""

    def __init__(self) -> None:
        super().__init__()
        last = nn.Conv2d(96, len(LETTERS) + 1, 1)
        nn.init.constant_(last.bias[:1], 5.0)  # type: ignore[index]  # nearly all columns are blank, at first
        self.layers = nn.Sequential(
            *_block(3, 24, (3, 3), (1, 1)),
            *_block(24, 48, (3, 3), (2, 2)),
            *_block(48, 64, (3, 3), (2, 1)),
            *_block(64, 64, (3, 3), (2, 1)),
            *_block(64, 96, (4, 3), (1, 1), (0, 1)),
            last,
        )

    def forward(self, boards: Tensor) -> Tensor:
        spread, mean = torch.std_mean(boards, dim=(1, 2, 3), keepdim=True)
        plain = (boards - mean) / (spread + 0.05)  # boards and inks differ in colour, letters do not
        return self.layers(plain).squeeze(2).transpose(1, 2)


def _block(
    inputs: int,
    outputs: int,
    size: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int] = (1, 1),
) -> list[nn.Module]:
    layer = nn.Conv2d(inputs, outputs, size, stride, padding, bias=False)
    return [layer, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def reading_loss(logits: Tensor, words: Sequence[str]) -> Tensor:
    """Mean over signs of -log P(word), each over its number of letters; logits (N, 48, 27)."""
    targets = torch.tensor([LETTERS.index(letter) + 1 for word in words for letter in word])
    lengths = torch.tensor([len(word) for word in words])
    columns = torch.full_like(lengths, COLUMNS)
    log_p = logits.float().log_softmax(2).transpose(0, 1)
    return F.ctc_loss(log_p, targets.to(logits.device), columns, lengths, zero_infinity=True)


def spell(logits: Tensor) -> list[str]:
    """The words of logits (N, 48, 27): the likeliest of each column, repeats merged, blanks left out."""
    words = []
    for columns in logits.argmax(2).tolist():
        kept = [c for before, c in zip([0, *columns], columns, strict=False) if c and c != before]
        words.append("".join(LETTERS[c - 1] for c in kept))
    return words
