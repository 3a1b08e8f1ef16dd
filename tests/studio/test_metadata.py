"""What made a picture survives as text, whatever the prompt holds."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from darkroom.errors import DarkroomError
from darkroom.studio.attachments import Attachments, Lora
from darkroom.studio.metadata import (
    NEGATIVE,
    Infotext,
    from_json,
    infotext,
    read_infotext,
    to_json,
    write_infotext,
)
from darkroom.studio.request import Record, Request
from darkroom.text.prompt import parse

NASTY = st.sampled_from([*",:\n\r\"\\'(){}[]<>\0\t\x85\u2028é漢🍎 aZ0", NEGATIVE, "Steps: 20, ", "Seed: 1, "])
prompts = st.one_of(
    st.lists(NASTY, max_size=30).map("".join), st.text(st.characters(codec="utf-8"), max_size=80)
)
requests = st.builds(
    Request,
    prompt=prompts.filter(str.strip),
    negative=prompts,
    seed=st.integers(0, 2**64 - 1),
    width=st.integers(1, 8192),
    height=st.integers(1, 8192),
    steps=st.integers(1, 1000),
    cfg_scale=st.floats(0, 100),
    sampler=st.sampled_from(["euler", "dpmpp_2m"]),
    scheduler=st.sampled_from(["uniform", "karras"]),
    model=st.sampled_from(["starter", 'odd, "name": x']),
    init_image=st.sampled_from([None, Path("a b/c,d.png")]),
    strength=st.floats(0, 1, exclude_min=True),
    noise=st.sampled_from(["philox", "torch", "torch-gpu", "comfy"]),
)
records = st.builds(
    Record,
    request=requests,
    model_hash=st.text("0123456789abcdef", min_size=64, max_size=64),
    version=st.just("0.1.0"),
    torch=st.just("2.13.0+cpu"),
)


@given(records)
def test_the_record_reads_back_as_it_was(record):
    text = to_json(record)
    assert text.isascii() and "\n" not in text
    assert from_json(text) == record


@given(records)
def test_infotext_reads_back_where_it_can_hold_the_prompt(record):
    request = record.request
    assume(not any(line.startswith(NEGATIVE) for line in request.prompt.split("\n")))
    info = read_infotext(infotext(record, {}))
    assert (info.prompt, info.negative) == (request.prompt, request.negative)
    assert info.settings["Steps"] == str(request.steps)
    assert info.settings["Seed"] == str(request.seed)
    assert info.settings["Size"] == f"{request.width}x{request.height}"
    assert info.settings["Model"] == request.model
    assert float(info.settings["CFG scale"]) == request.cfg_scale


names = st.text("abcXYZ -/_09", min_size=2, max_size=12).filter(
    lambda name: name[0].isalnum() and name == name.strip()
)


@given(st.dictionaries(names, st.one_of(prompts, st.text(max_size=20)), min_size=3, max_size=6))
def test_any_setting_reads_back(settings):
    assert dict(read_infotext(write_infotext(Infotext("a cone", "", settings))).settings) == settings


def test_infotext_is_what_other_tools_write():
    request = Request(
        prompt="a cone",
        negative="blur, noise",
        seed=1,
        steps=20,
        sampler="euler_a",
        scheduler="karras",
        cfg_scale=7.0,
        width=512,
        height=512,
    )
    record = Record(request=request, model_hash="6ce0161689" + "0" * 54, version="9", torch="2")
    assert infotext(record, {"euler_a": "Euler a", "karras": "Karras"}) == (
        "a cone\nNegative prompt: blur, noise\n"
        "Steps: 20, Sampler: Euler a, Schedule type: Karras, CFG scale: 7.0, Seed: 1, Size: 512x512, "
        "Model hash: 6ce0161689, Model: starter, RNG: Philox, Version: Darkroom 9"
    )


def test_infotext_names_the_noise_and_the_variation_as_a1111_does():
    request = Request(
        prompt="a cone",
        seed=1,
        noise="torch-gpu",
        variation_seed=7,
        variation_strength=0.3,
        width=8,
        height=8,
    )
    settings = read_infotext(
        infotext(Record(request=request, model_hash="0", version="9", torch="2"), {})
    ).settings
    assert (settings["Variation seed"], settings["Variation seed strength"]) == ("7", "0.3")
    assert settings["RNG"] == "NV"
    assert (
        from_json(to_json(Record(request=request, model_hash="0", version="9", torch="2"))).request == request
    )


def test_infotext_names_what_steers():
    request = Request(
        prompt="a cone", guide="cfg_pp", cfg_rescale=0.5, cfg_interval=(0.3, 5.0), seed_size=(96, 64)
    )
    settings = read_infotext(
        infotext(Record(request=request, model_hash="0", version="9", torch="2"), {})
    ).settings
    assert settings["Seed resize from"] == "96x64", "as A1111 has it"
    assert [settings[name] for name in ("Guide", "CFG rescale", "CFG interval")] == [
        "cfg_pp",
        "0.5",
        "0.3 to 5",
    ]
    plain = infotext(Record(request=Request(prompt="a cone"), model_hash="0", version="9", torch="2"), {})
    assert not {"Guide", "CFG rescale", "CFG interval", "PAG scale", "Seed resize from"} & set(
        read_infotext(plain).settings
    )


def test_infotext_of_another_tool():
    info = read_infotext(
        "masterpiece, (apple:1.2),\nsecond line\nNegative prompt: blur,\nmore\n"
        'Steps: 20, Sampler: DPM++ 2M, CFG scale: 7, Lora hashes: "a: 1, b: 2", Version: v1.9'
    )
    assert info.prompt == "masterpiece, (apple:1.2),\nsecond line"
    assert info.negative == "blur,\nmore"
    assert info.settings["Lora hashes"] == "a: 1, b: 2" and info.settings["Version"] == "v1.9"


def test_text_without_settings_is_all_prompt():
    assert read_infotext("a cone\nof: course") == Infotext("a cone\nof: course", "", {})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"format": 1}',
        '{"format": "x"}',
        '{"format": 1, "request": {"seed": 1}}',
        "[" * 200_000,
    ],
)
def test_a_damaged_record_is_refused_in_one_sentence(text):
    with pytest.raises(DarkroomError, match="damaged"):
        from_json(text)


@pytest.mark.parametrize("field", ["model_hash", "torch", "hashes", "request.sampler", "request.model"])
def test_a_record_with_a_number_for_a_text_is_refused(field):
    values = json.loads(
        to_json(Record(request=Request(prompt="a cone"), model_hash="", version="", torch=""))
    )
    *inside, last = field.split(".")
    (values["request"] if inside else values)[last] = 5
    with pytest.raises(DarkroomError, match="damaged"):
        from_json(json.dumps(values))


def test_a_record_with_a_strange_field_is_refused():
    record = Record(request=Request(prompt="a cone"), model_hash="ab", version="1", torch="2")
    with pytest.raises(DarkroomError, match="damaged"):
        from_json(json.dumps({**json.loads(to_json(record)), "surprise": 1}))


@pytest.mark.parametrize(("noise", "now"), [(None, "brownian"), ("philox", "brownian"), ("torch", "torch")])
def test_the_first_records_are_of_brownian_noise(noise, now):
    """What is written now says which it was; a picture of then has to replay as it was made."""
    record = Record(request=Request(prompt="a cone"), model_hash="ab", version="1", torch="2")
    written = json.loads(to_json(replace(record, further=(Request(prompt="a cube"),))))
    written["format"] = 1
    for asked in (written["request"], *written["further"]):
        del asked["noise"]
        asked |= {"noise": noise} if noise else {}
    read = from_json(json.dumps(written))
    assert [asked.noise for asked in (read.request, *read.further)] == [now, now]
    assert from_json(to_json(record)).request.noise == "philox"


def test_a_record_of_the_future_asks_for_an_update():
    with pytest.raises(DarkroomError, match="newer Darkroom"):
        from_json('{"format": 99, "whatever": 1}')


@pytest.mark.parametrize("lora", [Lora(Path("a/ink.pt"), 0.5), Lora(Path("ink"), -1.0, 0.25)])
def test_other_tools_find_loras_in_the_prompt(lora):
    request = Request(prompt="a cone", seed=1, attached=Attachments(loras=(lora,)))
    record = Record(
        request=request, model_hash="ab", version="1", torch="2", hashes={str(lora.file): "cd" * 32}
    )
    read = read_infotext(infotext(record, {}))
    (found,) = parse(read.prompt).loras
    text = lora.weight if lora.text_weight is None else lora.text_weight
    assert (found.name, found.network, found.text) == ("ink", lora.weight, text)
    assert read.settings["Lora hashes"] == f"ink: {'cd' * 6}"
