"""What a user writes becomes prompts: by each picture's own seed, and so that every file replays."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.errors import DarkroomError
from darkroom.studio.attachments import Attachments, Lora
from darkroom.studio.expanding import expanded, gathered
from darkroom.studio.metadata import from_json, infotext, to_json
from darkroom.studio.request import Record, Request, Result

STYLES = 'name,prompt,negative_prompt\nink,"{prompt}, in {black|blue} ink",colour\nold,faded,\n'


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path))
    (tmp_path / "wildcards").mkdir()
    (tmp_path / "wildcards" / "colours.txt").write_text("red\ngreen\nblue\n")
    (tmp_path / "styles.csv").write_text(STYLES)
    return tmp_path


def of(prompt: str, **settings) -> Request:
    return Request(prompt=prompt, **{"seed": 5, "count": 6, **settings})


def words(requests) -> list[str]:
    return [request.prompt for request in requests]


plain = st.text(st.characters(codec="utf-8", exclude_characters="{}\\_"), min_size=1, max_size=60)


@given(plain.filter(str.strip), st.integers(1, 9))
def test_a_prompt_without_choices_is_the_request_as_it_was(prompt, count):
    request = of(prompt, count=count, negative="[a|b], (c:1.2)")
    assert expanded(request) == [request]


@pytest.mark.parametrize("prompt", ["{x}", "snake_case", "[a|b] AND <lora:c:0.5>", r"\(a\)"])
def test_what_is_no_choice_stays_in_one_request(prompt):
    assert expanded(of(prompt)) == [of(prompt)]


def test_escapes_are_undone_and_share_a_request():
    (made,) = expanded(of(r"\{a|b\} and \__colours__"))
    assert made == of("{a|b} and __colours__")


def test_every_picture_chooses_by_its_own_seed():
    request = of("a {red|green} {cat|dog|cow} on a __colours__ mat", negative="{blur|noise}")
    made = expanded(request)
    assert [one.seed for one in made] == [5, 6, 7, 8, 9, 10] and {one.count for one in made} == {1}
    assert len(set(words(made))) > 2 and len({one.negative for one in made}) == 2
    assert not any(set("{|}_") & set(one.prompt) for one in made)
    for i, one in enumerate(made):  # as if it were asked for alone
        assert expanded(request.single(i)) == [one]


def test_choices_of_the_prompt_and_the_negative_prompt_are_independent():
    made = expanded(of("{a|b}", negative="{a|b}", count=64))
    assert len({(one.prompt, one.negative) for one in made}) == 4


def test_variations_vary_one_prompt():
    request = of("a {red|green|blue|white} cat", variation_seed=1, variation_strength=0.1)
    (made,) = expanded(request)
    assert made.count == 6 and made.prompt == expanded(request.single(3))[0].prompt


def test_styles_are_laid_around_the_prompt_and_hold_choices(home):
    made = expanded(of("a cat", count=40), ["old", "ink"])
    assert set(words(made)) == {"a cat, faded, in black ink", "a cat, faded, in blue ink"}
    assert {one.negative for one in made} == {"colour"}
    other = home / "other.csv"
    other.write_text("name,prompt,negative_prompt\nwet,rain,sun\n")
    assert expanded(of("a cat"), ["wet"], other) == [of("a cat, rain", negative="sun")]


@pytest.mark.parametrize(
    ("prompt", "styles", "file", "message"),
    [
        ("a cat", ["inc"], None, "there is no style named 'inc'; did you mean 'ink'?"),
        ("a cat", ["ink"], Path("gone.csv"), "there is no file of styles 'gone.csv'"),
        ("__colour__", [], None, "wildcards named 'colour'; did you mean 'colours'?"),
        ("__a/../../styles__", [], None, "leads out"),
        ("{|}", [], None, "the prompt is empty"),
    ],
)
def test_errors(prompt, styles, file, message):
    with pytest.raises(DarkroomError, match=message.replace("?", r"\?")):
        expanded(of(prompt), styles, file)


# ---- results


def result(request: Request) -> Result:
    hashes = {str(path): "ab" for path in request.files()}
    record = Record(request=request, model_hash="cd", version="1", torch="2", hashes=hashes)
    images = tuple(np.full((4, 4, 3), request.single(i).seed, np.uint8) for i in range(request.count))
    return Result(images, record, {"sample": 1.0}, ("used",))


def test_pictures_gathered_have_the_records_of_those_made_alone():
    first = of("a cat", count=1, seed=1)
    second = replace(first, prompt="a dog", seed=2, attached=Attachments((Lora(Path("ink")),)))
    alone = [result(request) for request in (first, second)]
    made = gathered(alone)
    assert len(made) == 2 and made.notices == ("used",)
    for picture, one in zip(made, alone, strict=True):
        assert picture.record == one.record and (picture.pixels == one.images[0]).all()
        assert to_json(picture.record) == to_json(one.record)
    one = result(of("a cat", count=3))
    assert gathered([one]) is one and "further" not in to_json(one.record)


def test_a_sheet_tells_of_every_picture_on_it():
    requests = tuple(expanded(of("{a|b|c} cat")))
    sheet = gathered([result(request) for request in requests]).on_one_sheet()
    again = from_json(to_json(sheet.record))
    assert again == sheet.record and again.requests == requests
    assert infotext(sheet.record, {}).startswith(requests[0].prompt)
