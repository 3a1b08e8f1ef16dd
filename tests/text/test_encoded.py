"""Answers of several encoders are joined with what counts in them."""

import torch

from darkroom.text.encoded import Encoded


def rows(*lengths: int, width: int = 2, start: float = 1.0) -> Encoded:
    """Prompts of these lengths, each token filled with a number of its own; pooled is (B, 1)."""
    tokens = [start + torch.arange(n * width, dtype=torch.float32).reshape(n, width) for n in lengths]
    return Encoded.of(tokens, torch.full((len(lengths), 1), start))


def test_prompts_of_one_length_need_no_mask():
    assert rows(3, 3).mask is None
    assert rows(3, 1).mask.tolist() == [[True] * 3, [True, False, False]]
    assert rows(3, 1).tokens[1, 1:].eq(0).all()


def test_beside_joins_features_and_pooled_vectors():
    both = rows(2, 1).beside(rows(2, 1, width=3, start=9))
    assert both.tokens.shape == (2, 2, 5)
    assert both.tokens[0, 0].tolist() == [1, 2, 9, 10, 11]
    assert both.pooled.tolist() == [[1, 9], [1, 9]]
    assert both.mask.tolist() == [[True, True], [True, False]]


def test_beside_a_longer_one_all_that_either_has_counts():
    for both in (rows(1, 1).beside(rows(3, 2)), rows(3, 2).beside(rows(1, 1))):
        assert both.tokens.shape == (2, 3, 4)
        assert both.mask.tolist() == [[True] * 3, [True, True, False]]
    assert rows(1).beside(rows(3)).mask is None


def test_then_joins_tokens_and_keeps_the_first_pooled_vectors():
    clip, t5 = rows(2, 1), rows(3, 3, start=9)
    joined = clip.then(t5)
    assert joined.tokens.shape == (2, 5, 2)
    assert joined.tokens[1, 2:].tolist() == t5.tokens[1].tolist()
    assert joined.mask.tolist() == [[True] * 5, [True, False, True, True, True]]
    assert torch.equal(joined.pooled, clip.pooled)
    assert rows(2).then(rows(3)).mask is None


def test_widened_puts_zeros_behind():
    wide = rows(2).widened(4)
    assert wide.tokens[0].tolist() == [[1, 2, 0, 0], [3, 4, 0, 0]]
