"""Prompts are read as the tools read them that people come from, and no text is an error."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.text.prompt import BREAK, Lora, escape, parse, weighted

SYNTAX = st.text(alphabet="ab ,()[]:|\\<>0.51BREAKND\n", max_size=60)
PLAIN = st.text(alphabet=st.characters(blacklist_characters="\\()[]:|<>"), max_size=60).filter(
    lambda text: "BREAK" not in text and "AND" not in text
)


def schedule(text: str, steps: int = 10) -> list[tuple[int, str]]:
    (branch,) = parse(text).branches
    return branch.schedule(steps)


# ---- weights


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("", [("", 1)]),
        ("a cat", [("a cat", 1)]),
        ("a (cat)", [("a ", 1), ("cat", 1.1)]),
        ("a (cat:1.3) here", [("a ", 1), ("cat", 1.3), (" here", 1)]),
        ("(cat: .5 )", [("cat", 0.5)]),
        ("(cat:-0.5)", [("cat", -0.5)]),
        ("(cat:0)", [("cat", 0)]),
        ("[cat]", [("cat", 1 / 1.1)]),
        ("((cat))", [("cat", 1.1 * 1.1)]),
        ("[[cat]] dog", [("cat", 1 / 1.1 / 1.1), (" dog", 1)]),
        ("([cat])", [("cat", 1)]),
        ("(a (b:2) c:1.5)", [("a ", 1.5), ("b", 3), (" c", 1.5)]),
        ("(a)(b)", [("ab", 1.1)]),
        ("(a)(b:1.2)", [("a", 1.1), ("b", 1.2)]),
        ("(open", [("open", 1.1)]),
        ("one ((two", [("one ", 1), ("two", 1.21)]),
        ("[open", [("open", 1 / 1.1)]),
        ("closed)", [("closed)", 1)]),
        ("closed]:1.2)", [("closed]:1.2)", 1)]),
        (r"\(cat\) \[dog\] \\", [(r"(cat) [dog] " + "\\", 1)]),
        (r"(cat \(grey\):1.2)", [("cat (grey)", 1.2)]),
        ("back\\slash", [("backslash", 1)]),
        ("(a:b:1.2)", [("a:b", 1.2)]),
        ("(ratio 16:9)", [("ratio 16", 9)]),
        ("(a:1.2.3)", [("a:1.2.3", 1.1)]),
        ("(a:big)", [("a:big", 1.1)]),
        ("a:b", [("a:b", 1)]),
    ],
)
def test_weights_of_a1111(text, fragments):
    assert weighted(text) == [(part, pytest.approx(weight)) for part, weight in fragments]


def test_brackets_in_brackets_multiply_to_the_last_bit():
    found = weighted("a (((tower:1.3)) [by] a (lake:0.5), dusk, (((sky))).")
    assert [tuple(one) for one in found] == [
        ("a ", 1.0),
        ("tower", 1.3 * 1.1 * 1.1),
        (" ", 1.1),
        ("by", 1 / 1.1 * 1.1),
        (" a ", 1.1),
        ("lake", 0.5 * 1.1),
        (", dusk, ", 1.1),
        ("sky", 1.1 * 1.1 * 1.1 * 1.1),
        (".", 1.1),
    ]


def test_break_parts_fragments_even_in_brackets_and_twice():
    assert weighted("a BREAK b") == [("a", 1), BREAK, ("b", 1)]
    assert weighted("(a\nBREAK b:1.2) c") == [("a", 1.2), BREAK, ("b", 1.2), (" c", 1)]
    assert weighted("a BREAK BREAK b") == [("a", 1), BREAK, ("", 1), BREAK, ("b", 1)]
    assert weighted("BREAKFAST, break") == [("BREAKFAST, break", 1)]


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("a (cat) (dog:1.3)", [("a ", 1), ("cat", 1.1), (" ", 1), ("dog", 1.3)]),
        ("((cat))", [("cat", 1.21)]),
        (
            "(a (b:1.5) c:0.5)",
            [("a ", 0.5), ("b", 1.5), (" c", 0.5)],
        ),  # what is given replaces, not multiplies
        ("(a (b) c:0.5)", [("a ", 0.5), ("b", 0.55), (" c", 0.5)]),
        ("[cat] [dog:0.5]", [("[cat] [dog:0.5]", 1)]),
        (r"\(cat\) \[x", [(r"(cat) \[x", 1)]),
        ("(open", [("(open", 1)]),
        ("closed) (x)", [("closed) (x)", 1)]),
        ("(a:b:2)", [("a:b", 2)]),
        ("(:2)", [(":2", 1.1)]),
        ("(x:big)", [("x:big", 1.1)]),
    ],
)
def test_weights_of_comfy(text, fragments):
    assert weighted(text, "comfy") == [(part, pytest.approx(weight)) for part, weight in fragments]


# ---- what changes on the way


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", [(10, "plain")]),
        ("a [b:4]", [(4, "a "), (10, "a b")]),
        ("a [b: 4 ]", [(4, "a "), (10, "a b")]),
        ("a [b::4] c", [(4, "a b c"), (10, "a  c")]),
        ("a [b:c:0.3]", [(3, "a b"), (10, "a c")]),
        ("[b:c:.25]", [(2, "b"), (10, "c")]),
        ("[b : c : 1]", [(1, "b "), (10, " c ")]),
        ("[b:c:1.0]", [(10, "b")]),  # with a point: a fraction
        ("[b:c:0]", [(10, "c")]),
        ("[b:c:-3]", [(10, "c")]),
        ("[b:c:99]", [(10, "b")]),
        ("[a:[b:c:6]:2]!", [(2, "a!"), (6, "b!"), (10, "c!")]),
        ("[(a:2):3]", [(3, ""), (10, "(a:2)")]),
        ("x [[[y]]:2]", [(2, "x "), (10, "x [[y]]")]),
        ("[a:b:3] [c:d:5]", [(3, "a c"), (5, "b c"), (10, "b d")]),
        ("a [open", [(10, "a [open")]),
        ("([a] [:b:c [d:3]", [(3, "([a] [:b:c "), (10, "([a] [:b:c d")]),
        ("[a]", [(10, "[a]")]),
        ("[a:b:c]", [(10, "[a:b:c]")]),
        ("(a:b) [c:(d:1.2):3]", [(3, "(a:b) c"), (10, "(a:b) (d:1.2)")]),
        (
            "[(a:b:c):d:3]",
            [(10, "[(a:b:c):d:3]")],
        ),  # as in A1111: two colons are no syntax, nor is what holds them
        (r"\[a:b:3\]", [(10, r"\[a:b:3\]")]),
        (r"[a\:x:b:3]", [(3, r"a\:x"), (10, "b")]),
        ("x | [y:3]", [(3, "x | "), (10, "x | y")]),
        ("a [{b|c{:.5] d", [(5, "a  d"), (10, "a {b|c{ d")]),
        ("[a:b:1e400] \\", [(10, "a \\")]),
    ],
)
def test_schedules(text, expected):
    assert schedule(text) == expected


def test_a_schedule_goes_to_its_steps():
    assert schedule("[a:b:0.5]", steps=7) == [(3, "a"), (7, "b")]
    (branch,) = parse("[a:b:0.5]").branches
    assert [branch.at(step, 4) for step in (1, 2, 3, 4)] == ["a", "a", "b", "b"]


def test_alternatives_take_turns():
    assert schedule("[a|(b:1.1)|]x", steps=4) == [(1, "ax"), (2, "(b:1.1)x"), (3, "x"), (4, "ax")]
    assert [text for _, text in schedule("[[a|b]|c]", steps=4)] == ["a", "c", "a", "c"]
    assert [text for _, text in schedule("[a|[b:c:2]]", steps=4)] == ["a", "b", "a", "c"]


# ---- several prompts, adapters


def test_and_joins_prompts_with_weights():
    branches = parse("a cat AND a (dog:1.2) :0.5 AND fog:-.25 AND\nLAND").branches
    texts = [(branch.at(1, 1), branch.weight) for branch in branches]
    assert texts == [("a cat", 1), ("a (dog:1.2)", 0.5), ("fog", -0.25), ("LAND", 1)]


def test_a_ratio_is_no_weight():
    (branch,) = parse("a screen, 16:9").branches
    assert (branch.at(1, 1), branch.weight) == ("a screen, 16:9", 1)


def test_adapters_are_taken_out_and_what_is_none_is_reported():
    prompt = parse(
        "a<lora:ink:0.8> (<lyco:wash>:1.2) <lora:x:te=.5:unet=-1> <lora:y:1:lbw=OUT> <hypernet:h:1><lora:z:q>"
    )
    assert prompt.branches[0].at(1, 1) == "a (:1.2)   "
    assert prompt.loras == (Lora("ink", 0.8, 0.8), Lora("wash", 1, 1), Lora("x", -1, 0.5))
    assert prompt.unsupported == ("<lora:y:1:lbw=OUT>", "<hypernet:h:1>", "<lora:z:q>")


def test_two_weights_stand_in_each_tools_order():
    assert parse("<lora:ink:0.5:1>").loras == (Lora("ink", network=1, text=0.5),)
    assert parse("<lora:ink:0.5:1>", "comfy").loras == (Lora("ink", network=0.5, text=1),)


def test_comfy_reads_neither_schedules_nor_and():
    (branch,) = parse("[a:b:0.5] AND c", "comfy").branches
    assert branch.schedule(10) == [(10, "[a:b:0.5] AND c")]


# ---- laws


@given(SYNTAX, st.integers(1, 12))
def test_no_text_is_an_error(text, steps):
    for branch in parse(text).branches:
        untils = [until for until, _ in branch.schedule(steps)]
        assert untils == sorted(set(untils)) and untils[-1] == steps and untils[0] >= 1
        assert all(
            branch.at(step, steps) == _read_at(branch.schedule(steps), step) for step in range(1, steps + 1)
        )
    for dialect in ("a1111", "comfy"):
        parse(text, dialect)
        assert weighted(text, dialect)


def _read_at(entries: list[tuple[int, str]], step: int) -> str:
    return next(text for until, text in entries if step <= until)


@given(PLAIN)
def test_text_without_syntax_comes_back_unchanged(text):
    assert schedule(text) == [(10, text)]
    assert weighted(text) == [(text, 1)] == weighted(text, "comfy")


@given(SYNTAX.filter(lambda text: "BREAK" not in text))
def test_an_escaped_text_reads_as_itself(text):
    assert weighted(escape(text)) == [(text, 1)]
    assert "\\" in text or weighted(escape(text, "comfy"), "comfy") == [(text, 1)]


def test_deep_and_long_brackets_are_read_in_time():
    for text in (
        "(" * 9000,
        "[a|" * 3000 + "]" * 3000,
        "(a:" * 3000,
        " " * 9000 + ":",
        "[" * 200 + "b" + "]:3]" * 200,
    ):
        weighted(text)
        weighted(text, "comfy")
        assert parse(text).branches[0].schedule(3)


def test_reading_a_prompt_needs_no_torch():
    code = "import sys, darkroom.text.prompt; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
