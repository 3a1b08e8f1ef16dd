"""Choices in a prompt are a pure function of the seed, and files are read from one folder alone."""

from collections import Counter
from contextlib import suppress
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.errors import InvalidRequest, UnknownName
from darkroom.text.wildcards import escape, expand


@pytest.fixture
def folder(tmp_path):
    inside = tmp_path / "wildcards"
    (inside / "beasts").mkdir(parents=True)
    (inside / "colours.txt").write_text("\ufeffred\n\n# none\n  green  \nblue", encoding="utf-8")
    (inside / "beasts" / "small.txt").write_text("3::a __colours__ mouse\n{old|young} bat\n")
    (inside / "loop.txt").write_text("a __loop__")
    (inside / "bomb.txt").write_text("__loud__ " * 40)
    (inside / "loud.txt").write_text("x" * 5000)
    (inside / "none.txt").write_text("\n# nothing\n")
    (tmp_path / "secret.txt").write_text("secret")
    (inside / "link.txt").symlink_to(tmp_path / "secret.txt")
    return inside


def seen(text: str, count: int = 2000, **options) -> Counter[str]:
    return Counter(expand(text, seed, **options) for seed in range(count))


def test_one_of_several_is_taken_about_as_often():
    counts = seen("a {red|green|blue} cat")
    assert set(counts) == {"a red cat", "a green cat", "a blue cat"}
    assert all(abs(count - 2000 / 3) < 100 for count in counts.values())  # five standard deviations


def test_weights():
    counts = seen("{3::a|b|0::c}")
    assert set(counts) == {"a", "b"} and abs(counts["a"] - 1500) < 100


def test_several_different_ones():
    counts = seen("{2$$a|b|c}")
    assert set(counts) == {"a, b", "a, c", "b, a", "b, c", "c, a", "c, b"}
    assert all(abs(count - 2000 / 6) < 85 for count in counts.values())
    assert set(seen("{1-2$$ and $$a|b}", 200)) == {"a", "b", "a and b", "b and a"}
    assert set(seen("{9$$a|b}", 100)) == {"a, b", "b, a"}
    assert set(seen("{-1$$a|b}", 100)) == {"", "a", "b"}
    assert set(seen("{2-$$a|b}", 100)) == {"a, b", "b, a"}
    assert set(seen("{" + "9" * 5000 + "$$a|b}", 9)) <= {"9" * 5000 + "$$a", "b"}  # no number of options


def test_choices_nest_and_may_be_empty():
    assert set(seen("{a {b|c}|}", 200)) == {"a b", "a c", ""}
    assert set(seen("{[x|y]|z}", 200)) == {"[x", "y]", "z"}  # bars of schedules part choices too


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain, (a:1.2) [b|c] 100% a|b", "plain, (a:1.2) [b|c] 100% a|b"),
        ("{prompt} {x}", "{prompt} {x}"),
        ("{{x}} {", "{{x}} {"),
        ("} {a", "} {a"),
        (r"\{a|b\}", "{a|b}"),
        ("snake_case _a_ __ ____", "snake_case _a_ __ ____"),
        ("{a|a}", "a"),
        ("{1::a}", "a"),
        ("{1$$a}", "a"),
    ],
)
def test_what_is_no_choice_stays(text, expected):
    assert expand(text, 1) == expected


def test_the_seed_alone_decides():
    text = "{a|b|c|d} {e|f|g|h} {2$$i|j|k|l}"
    assert [expand(text, seed) for seed in range(5)] == [expand(text, seed) for seed in range(5)]
    assert len(set(seen(text, 50))) > 30
    assert len({expand(text, 7, index) for index in range(50)}) > 30
    # these stand in records of pictures: they may never change
    assert [expand(text, seed) for seed in (0, 1, 2**63, -1)] == PINNED


PINNED = ["c g i, l", "b e i, l", "c g i, j", "a g k, j"]


def test_what_is_not_chosen_is_not_read(folder):
    assert expand("{1::a|0::__missing__}", 3, folder=folder) == "a"


def test_files_nest_with_weights_and_folders(folder):
    assert set(seen("__colours__", 100, folder=folder)) == {"red", "green", "blue"}
    counts = seen("__beasts/small__!", 1000, folder=folder)
    mice = {f"a {colour} mouse!" for colour in ("red", "green", "blue")}
    assert set(counts) == mice | {"old bat!", "young bat!"}
    assert abs(sum(counts[mouse] for mouse in mice) - 750) < 70


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("__colors__", UnknownName, "did you mean 'colours'"),
        ("__beasts/../../secret__", InvalidRequest, "leads out of"),
        ("__beasts/../colours__", InvalidRequest, "leads out of"),
        ("__link__", InvalidRequest, "leads out of"),
        ("__loop__", InvalidRequest, "nest deeper"),
        ("__bomb__", InvalidRequest, "grows beyond"),
        ("__none__", InvalidRequest, "no lines"),
    ],
)
def test_bad_names_and_endless_files_are_refused(folder, text, error, match):
    with pytest.raises(error, match=match):
        expand(text, 0, folder=folder)


@pytest.mark.parametrize("text", ["__a-" * 2000, "__a" * 2600, "_" * 8000, "{" * 8000, "__a b" * 1600 + "__"])
def test_no_text_takes_long(folder, text):
    """Choices are made while others wait for the server to answer."""
    began = process_time()
    with suppress(UnknownName, InvalidRequest):
        expand(text, 0, folder=folder)
    assert process_time() - began < 0.5


def test_only_so_many_are_picked_at_a_time():
    assert len(expand("{100$$" + "a|" * 200 + "}", 0).split(", ")) == 100
    for count in ("101", "1-101", "2-"):
        with pytest.raises(InvalidRequest, match="pick 100 at most"):
            expand("{" + count + "$$" + "a|" * 4000 + "}", 0)


def test_other_paths_are_no_names(folder):
    for text in ("__/etc/passwd__", "__../secret__", "__./colours__", "__~/x__"):
        assert expand(text, 0, folder=folder) == text


def test_a_file_without_a_folder_is_refused():
    with pytest.raises(InvalidRequest, match="no folder"):
        expand("a __colours__", 0)


@given(st.text(alphabet="ab{}|:$-\\12_ ", max_size=40), st.integers(0, 2**64))
def test_any_text_is_read_or_refused_in_a_sentence(text, seed):
    try:
        assert expand(text, seed) == expand(text, seed)
    except InvalidRequest as error:
        assert "no folder" in str(error)


@given(st.text(st.characters(blacklist_characters="{}\\_"), max_size=40), st.integers(0, 9))
def test_text_without_choices_is_unchanged(text, seed):
    assert expand(text, seed) == text


@given(st.text(alphabet="ab{}|:$-\\12_ ", max_size=40), st.integers(0, 2**64))
def test_escaped_words_mean_themselves_for_every_seed(text, seed):
    assert expand(escape(text), seed) == text


def test_words_without_choices_need_no_escape():
    for text in ("a (red:1.2) cat", "snake_case {alone}", r"a \(b\)"):
        assert escape(text) == text
    assert escape("a {red|blue} cat") == r"a \{red|blue\} cat"
