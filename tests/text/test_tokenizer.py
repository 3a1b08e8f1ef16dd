"""The tokenizer loses nothing of a prompt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.text.tokenizer import PAD, START, UNKNOWN, Tokenizer, split

CAPTIONS = ["a red apple", "two red apples", "a book, red", "a red book"]


def test_vocabulary_keeps_frequent_words_in_a_fixed_order():
    tokenizer = Tokenizer.train(CAPTIONS, least=2)
    assert tokenizer.vocabulary == ("red", "a", "book")
    assert Tokenizer.train(reversed(CAPTIONS), least=2).vocabulary == tokenizer.vocabulary


def test_an_unknown_word_is_read_by_its_letters():
    tokenizer = Tokenizer.train(CAPTIONS, least=2)
    tokens = tokenizer.encode(["a red zebra", "red"])
    assert tokens.words.tolist() == [[START, 4, 3, UNKNOWN], [START, 3, PAD, PAD]]
    assert tokens.letters[0, 3, :6].tolist() == [26, 5, 2, 18, 1, 0]
    assert tokenizer.unknown("a red zebra") == ("zebra",)


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
        tokenizer.encode(["one two six ten red"], length=5)
