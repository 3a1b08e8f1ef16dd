"""Styles are read and laid around prompts as A1111 does."""

import pytest

from darkroom.errors import DarkroomError, UnknownName
from darkroom.text.styles import Style, merged, read_styles, styled

FILE = """\ufeffname,prompt,negative_prompt
None,,
ink,"ink drawing of {prompt}, fine lines","colour, {prompt}"
wash, "watercolour, (wet:1.2)",
multi,"one,
two",bad
"""


@pytest.fixture
def styles(tmp_path):
    (tmp_path / "styles.csv").write_text(FILE, encoding="utf-8")
    return read_styles(tmp_path / "styles.csv")


def test_a_file_is_read_with_quotes_and_lines(styles):
    assert styles == {
        "None": Style("None"),
        "ink": Style("ink", "ink drawing of {prompt}, fine lines", "colour, {prompt}"),
        "wash": Style("wash", "watercolour, (wet:1.2)"),
        "multi": Style("multi", "one,\ntwo", "bad"),
    }


def test_the_oldest_form(tmp_path):
    (tmp_path / "styles.csv").write_text("name,text\nwash,watercolour\n")
    assert read_styles(tmp_path / "styles.csv") == {"wash": Style("wash", "watercolour")}


@pytest.mark.parametrize(
    ("text", "style", "expected"),
    [
        ("a cat", "wash", "a cat, wash"),
        ("a cat ", " wash ", "a cat, wash"),
        ("", "wash", "wash"),
        ("a cat", "", "a cat"),
        ("", "", ""),
        ("a cat", "ink of {prompt}!", "ink of a cat!"),
        ("", "ink of {prompt}!", "ink of !"),
        ("a cat", "{prompt} and {prompt}", "a cat and a cat"),
    ],
)
def test_merging(text, style, expected):
    assert merged(text, style) == expected


def test_styles_follow_each_other(styles):
    prompt, negative = styled("a cat", "fog", ["ink", "wash", "None"], styles)
    assert prompt == "ink drawing of a cat, fine lines, watercolour, (wet:1.2)"
    assert negative == "colour, fog"


def test_an_unknown_style_is_named(styles):
    with pytest.raises(UnknownName, match="did you mean 'wash'"):
        styled("a", "", ["wahs"], styles)


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"\xff\xfe\x00", None])
def test_another_kind_of_file_is_refused(tmp_path, content):
    if content:
        (tmp_path / "styles.csv").write_bytes(content)
    with pytest.raises(DarkroomError, match=r"styles\.csv"):
        read_styles(tmp_path / "styles.csv")
