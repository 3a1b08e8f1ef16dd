"""Choices and styles on the command line."""

import json

import pytest

from darkroom.studio.pictures import read
from darkroom.studio.replay import read_record


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    home = tmp_path / "home"
    (home / "wildcards").mkdir(parents=True)
    (home / "wildcards" / "beasts.txt").write_text("cat\ndog\ncow\n")
    (home / "styles.csv").write_text('name,prompt,negative_prompt\nink,"{prompt}, ink",colour\n')
    monkeypatch.setenv("DARKROOM_HOME", str(home))
    return home


def prompts(done) -> list[str]:
    (run,) = json.loads(done.stdout)["runs"]
    return [picture["request"]["prompt"] for picture in run["pictures"]]


def test_each_picture_of_a_batch_has_its_own_prompt_and_is_the_one_made_alone(darkroom, tmp_path):
    done = darkroom("generate", "a {red|blue|white} __beasts__", "-b", 5, "-s", 3, "-o", "x.png", "--json")
    told = prompts(done)
    assert len(set(told)) > 1 and not set("{_") & set("".join(told))
    for i, prompt in enumerate(told):
        record = read_record(tmp_path / f"x-{i + 1}.png")
        assert record.request.prompt == prompt and record.request.seed == 3 + i
        assert read(tmp_path / f"x-{i + 1}.png").texts.parameters.startswith(prompt + "\n")
    for words in (["a {red|blue|white} __beasts__"], [told[2]]):
        darkroom("generate", *words, "-s", 5, "-o", "alone.png", "--overwrite")
        assert (tmp_path / "alone.png").read_bytes() == (tmp_path / "x-3.png").read_bytes()
    assert darkroom("replay", "x-3.png").stdout == "x-3.png: identical, every byte of the file\n"


def test_sheets_and_films_of_prompts_that_differ(darkroom, tmp_path):
    done = darkroom("generate", "{a|b|c|d} cone", "-b", 3, "-s", 1, "--grid", "--watch", "-o", "x.png")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[3:] == ["x-grid.png", "x-1.gif", "x-2.gif", "x-3.gif"]
    assert len({request.prompt for request in read_record(tmp_path / "x-grid.png").requests}) > 1
    assert darkroom("replay", "x-grid.png").stdout == "x-grid.png: identical, every byte of the file\n"


def test_one_request_where_nothing_differs(darkroom, developing):
    asked = []
    exact = developing.develop_many
    developing.develop_many = lambda requests, *more, **told: (
        asked.append(requests) or exact(requests, *more, **told)
    )
    darkroom("generate", "a cone", "-b", 3, "-o", "x.png")
    darkroom("generate", "{a|b|c|d} cone", "-b", 3, "-s", 1, "-o", "y.png")
    assert [[request.count for request in requests] for requests in asked] == [[3], [1, 1, 1]]


def test_styles(darkroom, tmp_path):
    darkroom("generate", "a cat", "--style", "ink", "-n", "blur", "-o", "x.png")
    made = read_record(tmp_path / "x.png").request
    assert (made.prompt, made.negative) == ("a cat, ink", "blur, colour")
    (tmp_path / "mine.csv").write_text("name,prompt\nwet,rain\nold,faded\n")
    words = ("--styles", "mine.csv", "--style", "wet", "--style", "old")
    assert prompts(darkroom("generate", "a cat", *words, "--json")) == ["a cat, rain, faded"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--style", "inc"], "there is no style named 'inc'; did you mean 'ink'?"),
        (["--style", "ink", "--styles", "gone.csv"], "there is no file of styles 'gone.csv'"),
        (["-p", "__beast__"], "named 'beast'; did you mean 'beasts'?"),
    ],
)
def test_errors(darkroom, words, message):
    refused = darkroom("generate", "a cat", *words)
    assert refused.exit_code == 2 and message in refused.stderr and refused.stderr.count("\n") == 1
