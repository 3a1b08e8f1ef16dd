"""Prompts of any length fall into chunks as A1111 cuts them, and no token is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.errors import InvalidRequest
from darkroom.text.emphasis import BREAK, Fragment, weighted

pytest.importorskip("tokenizers")

from darkroom.text.chunks import BACKTRACK, LENGTH, Chunk, chunked
from darkroom.text.vocabulary import shipped

VOCABULARY = shipped()
START, END, COMMA, CAT = VOCABULARY.start, VOCABULARY.end, 267, 2368


def own(chunk: Chunk) -> list[int]:
    """The tokens of a chunk without its frame."""
    return list(chunk.tokens[1 : chunk.end])


def cats(count: int, *commas: int) -> list[Fragment]:
    """So many times "cat", with commas at places that count from 0."""
    return [Fragment(" ".join("," if i in commas else "cat" for i in range(count)))]


def test_a_short_prompt_is_one_framed_chunk():
    (chunk,) = chunked(weighted("a photo of a (cat:1.3)"), VOCABULARY)
    assert chunk.tokens == (START, 320, 1125, 539, 320, CAT, *[END] * 71)
    assert chunk.weights == (*[1.0] * 5, 1.3, *[1.0] * 71)
    assert chunk.end == 6


def test_padding_differs_between_encoders():
    (chunk,) = chunked(weighted("cat"), VOCABULARY.padded_with(0))
    assert chunk.tokens == (START, CAT, END, *[0] * 74)


@pytest.mark.parametrize("text", ["", "BREAK", " \n"])
def test_an_empty_prompt_is_one_empty_chunk(text):
    assert [chunk.tokens for chunk in chunked(weighted(text), VOCABULARY)] == [(START, *[END] * 76)]
    assert chunked([], VOCABULARY) == chunked(weighted(""), VOCABULARY)


def test_break_starts_a_chunk():
    first, second = chunked(weighted("cat BREAK a cat"), VOCABULARY)
    assert own(first) == [CAT] and own(second) == [320, CAT]
    lengths = [len(own(chunk)) for chunk in chunked(weighted("BREAK cat BREAK BREAK cat BREAK"), VOCABULARY)]
    assert lengths == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("count", "commas", "lengths"),
    [
        (75, (), [75]),
        (76, (), [75, 1]),
        (76, (74,), [75, 1]),
        (76, (60,), [61, 15]),  # what follows the comma moves to the next chunk
        (76, (40, 60, 70), [71, 5]),
        (76, (75 - BACKTRACK,), [56, 20]),
        (76, (75 - BACKTRACK - 1,), [75, 1]),  # too far back
        (76, (75,), [75, 1]),  # the comma itself is the one too many
        (77, (70, 75), [75, 2]),
        (75, (60,), [75]),  # it fits, so it stays
        (160, (70, 140), [71, 70, 19]),
    ],
)
def test_a_long_prompt_breaks_behind_a_comma_that_is_near(count, commas, lengths):
    chunks = chunked(cats(count, *commas), VOCABULARY)
    assert [len(own(chunk)) for chunk in chunks] == lengths


def test_weights_move_with_their_tokens():
    fragments = [Fragment("cat " * 60 + ","), Fragment("cat " * 20, 1.5)]
    first, second = chunked(fragments, VOCABULARY)
    assert set(first.weights) == {1.0}
    assert second.weights == (1.0, *[1.5] * 20, *[1.0] * 56)


@given(
    st.lists(
        st.one_of(
            st.just(BREAK),
            st.builds(
                Fragment,
                st.lists(st.sampled_from(["cat", ",", "dog", "!!"]), max_size=60).map(" ".join),
                st.sampled_from([1.0, 0.5, 1.3]),
            ),
        ),
        max_size=8,
    )
)
def test_no_token_is_lost_or_moved(fragments):
    chunks = chunked(fragments, VOCABULARY)
    tokens = [token for chunk in chunks for token in own(chunk)]
    expected = [(f.weight, t) for f in fragments if f != BREAK for t in VOCABULARY.ids(f.text)]
    weights = [weight for chunk in chunks for weight in chunk.weights[1 : chunk.end]]
    assert list(zip(weights, tokens, strict=True)) == expected
    for chunk in chunks:
        assert len(chunk.tokens) == len(chunk.weights) == LENGTH + 2
        assert chunk.tokens[0] == START and set(chunk.tokens[chunk.end :]) == {END}


# ---- learned words


def test_a_learned_word_takes_a_place_for_each_vector():
    (chunk,) = chunked(weighted("a (Moss-Style:1.2), cat"), VOCABULARY, {"moss-style": 3})
    assert chunk.tokens[:8] == (START, 320, 0, 0, 0, COMMA, CAT, END)
    assert chunk.weights[:7] == (1.0, 1.0, 1.2, 1.2, 1.2, 1.0, 1.0)
    assert chunk.vectors == {2: ("moss-style", 0), 3: ("moss-style", 1), 4: ("moss-style", 2)}


def test_the_longest_word_wins_and_parts_of_words_are_none():
    learned = {"moss": 1, "moss style": 2}
    (chunk,) = chunked(weighted("moss style moss mossy"), VOCABULARY, learned)
    assert [chunk.vectors.get(i, ("", 0))[0] for i in range(1, 5)] == ["moss style", "moss style", "moss", ""]


def test_comfys_way_to_name_a_learned_word():
    (chunk,) = chunked(weighted("embedding:moss, cat", "comfy"), VOCABULARY, {"moss": 2})
    assert own(chunk) == [0, 0, COMMA, CAT]


def test_vectors_of_a_word_stay_together_and_move_together():
    words = [Fragment("cat " * 73), Fragment("moss")]
    first, second = chunked(words, VOCABULARY, {"moss": 4})
    assert len(own(first)) == 73 and list(second.vectors) == [1, 2, 3, 4]
    words = [Fragment("cat " * 65 + ", moss " + "cat " * 9)]
    first, second = chunked(words, VOCABULARY, {"moss": 4})
    assert len(own(first)) == 66 and list(second.vectors) == [1, 2, 3, 4]


def test_too_many_vectors_are_refused():
    with pytest.raises(InvalidRequest, match="'moss' has 76 vectors"):
        chunked(weighted("moss"), VOCABULARY, {"moss": 76})
