"""What the painter is shown, and which words it gets to know by name."""

from dataclasses import replace

import numpy as np
import pytest

from darkroom.data.scenes.dataset import SceneDataset
from darkroom.data.scenes.world import small_world
from darkroom.text.tokenizer import PAD, START, UNKNOWN, Tokenizer
from darkroom.training.pictures import CaptionedPictures, without_sign_words


@pytest.fixture(scope="module")
def signs() -> SceneDataset:
    return SceneDataset(replace(small_world(), skills=(("word", 1.0),)), 3)


def test_what_a_sign_says_is_not_learnt_by_name_but_what_tells_of_it_is(signs):
    tokenizer = Tokenizer.train(without_sign_words(signs, 300))
    assert {"sign", "says", "reads"} <= tokenizer.ids.keys()
    said = {thing.word.lower() for i in range(300) for thing in signs.scene(i).things if thing.word}
    assert len(said) > 100
    assert len(said & tokenizer.ids.keys()) < 0.1 * len(said)  # "on" and "the" tell of things too


def test_a_sign_reaches_the_painter_letter_by_letter(signs):
    tokenizer = Tokenizer.train(without_sign_words(signs, 300))
    batch = CaptionedPictures(signs, 64, 16, 40, tokenizer, 16)(0)
    for words, letters, caption in zip(
        batch["words"], batch["letters"], map(signs.caption, range(16)), strict=True
    ):
        told = tokenizer.encode([caption], 40)
        assert (letters == told.letters[0]).all() or not letters.any()  # where the caption is dropped
        known = words > UNKNOWN
        assert (words[known] == told.words[0][known]).all()


def test_a_caption_that_does_not_fit_is_dropped_whole(signs):
    tokenizer = Tokenizer.train(without_sign_words(signs, 300))
    batch = CaptionedPictures(signs, 64, 8, 3, tokenizer, 16)(0)
    assert (batch["words"][:, 0] == START).all()
    assert (batch["words"][:, 1:] == PAD).all()
    assert not np.any(batch["letters"])
