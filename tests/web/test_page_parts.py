"""The page's parts that need no browser."""

import json
import os
import time
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from darkroom.disk import whole
from darkroom.errors import DarkroomError
from darkroom.studio.expanding import expanded
from darkroom.studio.pictures import read
from darkroom.studio.request import Request
from darkroom.web import promptbook
from darkroom.web.builder import built
from darkroom.web.form import CELL, SHAPES, Form, fitted, shape_of, sides
from darkroom.web.memory import Memory, browser_of, memory_of, sweep
from darkroom.web.promptbook import NoPrompts, PromptBook, tags_of
from darkroom.web.session import pixels_of


@given(st.sampled_from(list(SHAPES)), st.sampled_from([64, 96, 128, 256, 512, 1024]))
def test_a_shape_has_its_proportion_and_about_as_many_pixels(shape, side):
    width, height = sides(shape, side)
    wide, high = SHAPES[shape]
    assert width % CELL == 0 and height % CELL == 0
    assert abs(width - side * (wide / high) ** 0.5) <= CELL / 2
    if side >= 256:
        assert shape_of(width, height)[0] == shape


@given(st.integers(1, 20_000), st.integers(1, 20_000), st.sampled_from([128 * 128, 1024 * 1024]))
def test_a_picture_is_fitted_into_pixels(width, height, pixels):
    wide, high = fitted(width, height, pixels)
    assert wide % CELL == 0 and high % CELL == 0
    assert (wide - CELL) * (high - CELL) <= pixels


@given(
    st.builds(
        Request,
        prompt=st.text(min_size=1).filter(str.strip).filter(lambda text: text.isascii()),
        seed=st.integers(0, 2**64 - 1),
        width=st.sampled_from([64, 112, 144, 128, 200]),
        height=st.sampled_from([64, 112, 144, 128, 200]),
        steps=st.none() | st.integers(1, 150),
        cfg_scale=st.none() | st.floats(0, 100),
        sampler=st.sampled_from([None, "euler", "heun"]),
        scheduler=st.sampled_from([None, "karras", "trailing"]),
        emphasis=st.sampled_from(["a1111", "comfy"]),
        seed_size=st.sampled_from([None, (64, 128)]),
        noise=st.sampled_from(["philox", "comfy"]),
        cfg_interval=st.sampled_from([None, (0.1, 2.0)]),
        variation_seed=st.just(4),
        variation_strength=st.floats(0.1, 1),
    )
)
def test_reusing_a_request_makes_it_again_also_after_a_reload(request):
    busy = Form(steps=50, cfg_scale=9.0, sampler="ddim", scheduler="beta")
    form = Form.read(json.loads(json.dumps(busy.reusing(request).plain())))
    (again,) = expanded(form.request())
    assert again == request


def test_words_that_were_chosen_are_not_chosen_from_again():
    (made,) = expanded(Request(prompt=r"a \{red|blue\} cat, {big|small}", negative=r"\_\_x\_\_", seed=3))
    (again,) = expanded(Form().reusing(made).request())
    assert (again.prompt, again.negative) == (made.prompt, made.negative)
    assert "{red|blue}" in made.prompt and made.negative == "__x__"


def test_what_has_gone_is_not_remembered():
    form = Form.read(
        {"model": "gone", "styles": ["ink", "old"], "shape": "7:5", "prompt": "a cat", "steps": 3}
    )
    there = form.offered(["starter"], {"ink": None})
    assert (there.model, there.styles, there.shape, there.prompt) == ("starter", ("ink",), "1:1", "a cat")
    assert there.pixels == (128, 128) and Form().offered(["starter"], ()).steps is None


def test_a_picture_that_lies_on_its_side_has_the_size_that_it_is_seen_at(tmp_path):
    for orientation, size in ((1, (40, 30)), (3, (40, 30)), (6, (30, 40)), (8, (30, 40))):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        Image.new("RGB", (40, 30)).save(tmp_path / "phone.jpg", exif=exif)
        assert pixels_of(tmp_path / "phone.jpg") == size == read(tmp_path / "phone.jpg").pixels.shape[1::-1]


def test_what_is_borrowed_from_a_large_model_gets_a_size_of_the_starter():
    form = Form().borrowing({"prompt": "a cat", "width": 1024, "height": 768, "steps": 30})
    assert form.pixels == (144, 112) and form.steps == 30 and form.model == "starter"


def test_the_builder_makes_a_sentence():
    parts = {
        "subject": "a cat",
        "style": "oil painting",
        "composition": "on a beach",
        "light": "at sunset",
        "mood": "calm",
    }
    assert built(parts) == "an oil painting of a cat on a beach at sunset, calm"
    assert built({"subject": "a cat", "style": "pixel art"}) == "pixel art of a cat"
    assert built({}) == ""


def test_a_browser_is_known_again_only_by_a_name_of_ours():
    own = browser_of({})
    assert browser_of({"darkroom_browser": own}) == own
    assert browser_of({"darkroom_browser": "../../etc/passwd'; x"}) != "../../etc/passwd'; x"


def test_memory_belongs_to_an_owner_and_a_browser(tmp_path):
    memory = memory_of(tmp_path, "ann", "x" * 40)
    memory.keep("form", {"prompt": "a cat"})
    assert memory_of(tmp_path, "ann", "x" * 40).get("form") == {"prompt": "a cat"}
    assert memory_of(tmp_path, "bob", "x" * 40).get("form") is None
    memory.write()
    assert Memory(memory.path).get("form") == {"prompt": "a cat"}
    memory.path.write_bytes(b"{half")
    assert Memory(memory.path).get("form") is None


def test_browsers_that_were_long_away_are_forgotten(tmp_path):
    for name, days in (("old", 91), ("new", 1)):
        Memory(tmp_path / f"{name}.json").write()
        os.utime(tmp_path / f"{name}.json", (time.time() - days * 86400,) * 2)
    sweep(tmp_path)
    assert [path.stem for path in tmp_path.iterdir()] == ["new"]


@settings(max_examples=15)  # each writes files, whole
@given(
    st.lists(
        st.tuples(st.text(min_size=1).filter(str.strip), st.lists(st.text(max_size=50), max_size=5)),
        max_size=6,
    )
)
def test_an_export_reads_back(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("book")
    book, other = PromptBook(folder, "ann"), PromptBook(folder, "bob")
    for prompt, tags in rows:
        book.add(prompt, "", tags)
    assert other.take(book.export()) == len(book.prompts)
    plain = [(one.prompt, one.negative, one.tags) for one in PromptBook(folder, "bob").prompts]
    assert plain == [(one.prompt, one.negative, one.tags) for one in book.prompts]
    assert other.take(book.export()) == 0


def test_prompts_are_found_by_words_and_tags(tmp_path):
    book = PromptBook(tmp_path, "")
    book.add("a red cat", tags=["animals", " Animals "])
    kept = book.add("a red house", "rain", ["places"])
    assert book.prompts[1].tags == ("animals",)
    assert book.find("red") == book.prompts and book.find("red rain") == [kept]
    assert book.find(tag="animals") == [book.prompts[1]] and book.find("cat", "places") == []
    book.delete(kept)
    assert [one.prompt for one in PromptBook(tmp_path, "").prompts] == ["a red cat"]


def test_two_pages_keep_prompts_in_one_book(tmp_path):
    one, other = PromptBook(tmp_path, "ann"), PromptBook(tmp_path, "ann")
    kept = one.add("a cat")
    other.add("a house", tags=["places"])
    one.add("a house", tags=["red"])
    assert [prompt.prompt for prompt in one.prompts] == ["a house", "a cat"]
    assert one.prompts[0].tags == ("places", "red")
    other.delete(kept)
    assert [prompt.prompt for prompt in PromptBook(tmp_path, "ann").prompts] == ["a house"]


def test_pages_that_write_at_once_lose_nothing(tmp_path):
    books = [PromptBook(tmp_path, "") for _ in range(4)]

    def fill(number):
        for i in range(8):
            books[number].add(f"prompt {number}.{i}")

    threads = [Thread(target=fill, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(PromptBook(tmp_path, "").prompts) == 32


def test_an_import_is_written_once_whole_or_not_at_all(tmp_path, monkeypatch):
    book, files = PromptBook(tmp_path, ""), []
    monkeypatch.setattr(promptbook, "whole", lambda path: files.append(path) or whole(path))
    assert book.take(json.dumps([f"prompt {i}" for i in range(600)] + ["prompt 0"])) == 600
    assert len(files) == 1 and book.prompts[0].prompt == "prompt 1"
    monkeypatch.setattr(promptbook, "MOST", 601)
    with pytest.raises(DarkroomError, match="601 prompts can be kept") as refused:
        book.take(json.dumps(["new", "newer"]))
    assert not isinstance(refused.value, NoPrompts)
    assert len(PromptBook(tmp_path, "").prompts) == len(book.prompts) == 600


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"prompts": 3}', '[{"prompt": ""}]', '{"3": {"class_type": "KSampler"}}']
)
def test_what_are_no_prompts_is_refused(tmp_path, text):
    book = PromptBook(tmp_path, "")
    with pytest.raises(NoPrompts):
        book.take(text)
    assert book.prompts == []


def test_tags_are_short_few_and_in_lower_case():
    assert tags_of(["A", "a", "", " b "]) == ("a", "b")
    assert len(tags_of(map(str, range(100)))) == 20


def test_half_a_character_is_not_kept(tmp_path):
    book = PromptBook(tmp_path, "ann")
    with pytest.raises(NoPrompts):
        book.take('["half an emoji \\ud83d here"]')
    assert book.take('["a whole one \\ud83d\\ude00"]') == 1
    book.export().encode()
