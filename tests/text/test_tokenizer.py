"""The tokenizer loses nothing of a prompt."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.text.tokenizer import PAD, START, UNKNOWN, Tokenizer, split

CAPTIONS = ["a red apple", "two red apples", "a book, red", "a red book"]


def test_vocabulary_keeps_frequent_words_in_a_fixed_order():
    tokenizer = Tokenizer.train(CAPTIONS, least=2)
    assert tokenizer.vocabulary == ("red", "a", "book")
    assert Tokenizer.train(reversed(CAPTIONS), least=2).vocabulary == tokenizer.vocabulary


def test_an_unknown_word_is_read_by_its_letters_together_and_one_by_one():
    tokenizer = Tokenizer.train(CAPTIONS, least=2)
    tokens = tokenizer.encode(["a red zebra", "red"])
    assert tokens.words.tolist() == [[START, 4, 3, *[UNKNOWN] * 6], [START, 3, *[PAD] * 7]]
    assert tokens.letters[0, 3, :6].tolist() == [26, 5, 2, 18, 1, 0]
    assert (tokens.letters[0, 4:, :5] == np.diag([26, 5, 2, 18, 1])).all()
    assert not tokens.letters[0, 4:, 5:].any()
    assert tokenizer.unknown("a red zebra") == ("zebra",)
    assert tokenizer.pieces("a red zebra") == ("a", "red", "zebra", *"zebra")
    assert tokenizer.length("a red zebra") == 9


def test_a_single_sign_that_is_unknown_is_not_said_twice():
    assert Tokenizer.train(CAPTIONS, least=2).pieces("red!") == ("red", "!")


@given(st.lists(st.text(max_size=40), min_size=1, max_size=4))
def test_a_prompt_reads_the_same_in_every_batch(prompts):
    tokenizer = Tokenizer.train(CAPTIONS)
    together = tokenizer.encode(prompts)
    for i, prompt in enumerate(prompts):
        alone = tokenizer.encode([prompt])
        length = tokenizer.length(prompt)
        assert alone.words.shape[1] == length == 1 + len(tokenizer.pieces(prompt))
        assert (alone.words[0] != PAD).all()
        assert (together.words[i, :length] == alone.words[0]).all() and not together.words[i, length:].any()
        assert (together.letters[i, :length] == alone.letters[0]).all()


def test_case_does_not_matter_and_punctuation_counts():
    tokenizer = Tokenizer.train(CAPTIONS, least=1)
    assert (tokenizer.encode(["A RED Apple!"]).words == tokenizer.encode(["a red apple!"]).words).all()
    assert tokenizer.length("a red apple!") == 5


@given(st.text(max_size=80))
def test_every_letter_of_a_prompt_is_read(prompt):
    assert "".join(split(prompt)) == "".join(prompt.lower().split())


def test_a_long_word_is_split_and_a_long_prompt_refused():
    tokenizer = Tokenizer.train(CAPTIONS, slots=4)
    assert split("sunglasses", 4) == ["sung", "lass", "es"]
    with pytest.raises(ValueError, match="6 tokens; at most 5"):
        tokenizer.encode(["red a book red a"], length=5)


def test_what_a_sign_says_is_spelt_out_though_the_word_is_known() -> None:
    tokenizer = Tokenizer(["a", "sign", "that", "says", "cat", "red"])
    spelt = tokenizer.encode(["a sign that says CAT"])
    unknown = tokenizer.encode(["a sign that says QAT"])
    assert (spelt.words == unknown.words).all() and spelt.words.shape[1] == 9
    assert tokenizer.pieces("a sign that says CAT")[-4:] == ("cat", "c", "a", "t")
    assert tokenizer.unknown("a sign that says CAT") == ()
    for plain in ("a red CAT", "A SIGN THAT SAYS CAT", "a Cat by a sign"):
        assert (tokenizer.encode([plain]).words == tokenizer.encode([plain.lower()]).words).all()
