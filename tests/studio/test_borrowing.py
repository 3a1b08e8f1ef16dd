"""Settings out of pictures of any tool, in our own terms; never a path, and what is left out is said."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.errors import DarkroomError
from darkroom.studio.borrowing import borrowed, from_infotext, from_workflow
from darkroom.studio.comfyui import read_workflow
from darkroom.studio.metadata import infotext, to_json
from darkroom.studio.pictures import Texts
from darkroom.studio.request import Record, Request

KNOWN = ("starter", "sd15")
REQUEST = Request(
    prompt="a red cat",
    negative="rain",
    seed=2**63 + 1,
    steps=12,
    cfg_scale=4.5,
    sampler="dpmpp_2m",
    scheduler="karras",
    width=96,
    height=128,
    model="sd15",
    noise="torch",
)
SERVER = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 2**60 + 1,
            "steps": 20,
            "cfg": 8.0,
            "sampler_name": "dpmpp_2m",
            "scheduler": "karras",
            "denoise": 1.0,
            "model": ["10", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "old/sd15.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 768, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["11", 0], "clip": ["10", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["10", 1]}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0]}},
    "10": {
        "class_type": "LoraLoader",
        "inputs": {
            "lora_name": "ink.safetensors",
            "strength_model": 0.8,
            "model": ["4", 0],
            "clip": ["4", 1],
        },
    },
    "11": {"class_type": "PrimitiveString", "inputs": {"value": "a ship"}},
}
EDITOR = {
    "nodes": [
        {"id": 1, "type": "CheckpointLoaderSimple", "widgets_values": ["sd15.safetensors"]},
        {
            "id": 2,
            "type": "CLIPTextEncode",
            "widgets_values": ["a ship"],
            "inputs": [{"name": "clip", "link": 1}],
        },
        {
            "id": 3,
            "type": "CLIPTextEncode",
            "widgets_values": ["blurry"],
            "inputs": [{"name": "clip", "link": 2}],
        },
        {"id": 4, "type": "EmptyLatentImage", "widgets_values": [512, 768, 1]},
        {
            "id": 5,
            "type": "KSampler",
            "widgets_values": [7, "randomize", 20, 8.0, "euler_ancestral", "normal", 1.0],
            "inputs": [
                {"name": "model", "link": 3},
                {"name": "positive", "link": 4},
                {"name": "negative", "link": 5},
                {"name": "latent_image", "link": 6},
            ],
        },
        {"id": 6, "type": "Note", "widgets_values": {"text": "odd"}},
    ],
    "links": [
        [1, 1, 1, 2, 0, "CLIP"],
        [2, 1, 1, 3, 0, "CLIP"],
        [3, 1, 0, 5, 0, "MODEL"],
        [4, 2, 0, 5, 1, "CONDITIONING"],
        [5, 3, 0, 5, 2, "CONDITIONING"],
        [6, 4, 0, 5, 3, "LATENT"],
    ],
}
FLUX = {
    "1": {"class_type": "RandomNoise", "inputs": {"noise_seed": 5}},
    "2": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}},
    "3": {
        "class_type": "BasicScheduler",
        "inputs": {"scheduler": "simple", "steps": 4, "denoise": 1.0, "model": ["4", 0]},
    },
    "4": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux1-dev.safetensors"}},
    "5": {"class_type": "CLIPTextEncode", "inputs": {"text": "a lighthouse", "clip": ["9", 0]}},
    "6": {"class_type": "FluxGuidance", "inputs": {"guidance": 3.5, "conditioning": ["5", 0]}},
    "7": {"class_type": "BasicGuider", "inputs": {"model": ["4", 0], "conditioning": ["6", 0]}},
    "8": {"class_type": "EmptySD3LatentImage", "inputs": {"width": 1024, "height": 1024}},
    "10": {
        "class_type": "SamplerCustomAdvanced",
        "inputs": {
            "noise": ["1", 0],
            "guider": ["7", 0],
            "sampler": ["2", 0],
            "sigmas": ["3", 0],
            "latent_image": ["8", 0],
        },
    },
}


def record(request: Request) -> Record:
    return Record(request=request, model_hash="0" * 64, version="0", torch="2")


def test_our_own_record_gives_the_same_request():
    assert borrowed(Texts(to_json(record(REQUEST)), None), KNOWN).request() == REQUEST


def test_no_path_is_taken_from_a_file():
    evil = replace(REQUEST, model="/etc/passwd", init_image=Path("/etc/shadow"), others=(Path("/x"),))
    told = borrowed(Texts(to_json(record(evil)), None), KNOWN)
    assert "/" not in json.dumps(dict(told.values)) and len(told.missing) == 2
    assert told.request().init_image is None and told.request().model == "starter"


def test_infotext_that_we_write_reads_back():
    from darkroom.studio.pictures import labels

    told = from_infotext(infotext(record(REQUEST), labels()), KNOWN)
    assert told.request() == REQUEST and not told.missing


def test_a_scheduler_behind_the_sampler_is_known_as_older_tools_wrote_it():
    text = "a cat\nSteps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 1, Size: 512x768, Model: dream"
    told = from_infotext(text, KNOWN)
    assert (told.values["sampler"], told.values["scheduler"]) == ("dpmpp_2m", "karras")
    assert (told.values["width"], told.values["height"]) == (512, 768)
    assert told.values["noise"] == "torch-gpu" and "model" not in told.values
    assert told.missing == ("Its model dream is not known here.",)


@pytest.mark.parametrize(
    ("settings", "scheduler", "missing"),
    [
        ("Sampler: DPM++ 2M alt, Schedule type: Karras", "karras", ()),
        ("Sampler: DPM++ 2M Turbo", None, ("Its scheduler Turbo is not known here.",)),
        ("Sampler: DPM++ 2M, Schedule type: Automatic", None, ()),
    ],
)
def test_a_sampler_is_known_whatever_stands_behind_it(settings, scheduler, missing):
    told = from_infotext(f"x\nSteps: 2, {settings}, CFG scale: 1, Seed: 1", KNOWN)
    assert (told.values["sampler"], told.values.get("scheduler")) == ("dpmpp_2m", scheduler)
    assert told.missing == missing


def test_a_sampler_that_there_is_not_is_told():
    told = from_infotext("x\nSteps: 2, Sampler: Magic, CFG scale: 1, Seed: 1", KNOWN)
    assert "sampler" not in told.values and told.missing == ("Its sampler Magic is not known here.",)


@pytest.mark.parametrize(
    "name", ["Euler a", "euler_ancestral", "DPM++ 2M", "dpmpp_2m", "Heun", "LMS", "DDIM"]
)
def test_samplers_are_known_by_the_names_of_other_tools(name):
    told = from_infotext(f"x\nSteps: 2, Sampler: {name}, CFG scale: 1, Seed: 1", KNOWN)
    assert "sampler" in told.values and not told.missing


def test_a_workflow_as_its_server_is_sent_it():
    told = from_workflow(json.dumps(SERVER), KNOWN)
    assert dict(told.values) == {
        "prompt": "a ship",
        "negative": "blurry",
        "seed": 2**60 + 1,
        "steps": 20,
        "cfg_scale": 8.0,
        "sampler": "dpmpp_2m",
        "scheduler": "karras",
        "width": 512,
        "height": 768,
        "model": "sd15",
        "noise": "comfy",
    }
    assert told.missing == ("Its LoRA ink.safetensors is left out.",)
    told.request()


def test_a_workflow_as_its_editor_saves_it():
    told = from_workflow(json.dumps(EDITOR), KNOWN)
    values = dict(told.values)
    assert (values["prompt"], values["negative"], values["seed"]) == ("a ship", "blurry", 7)
    assert (values["sampler"], values["model"], values["height"]) == ("euler_a", "sd15", 768)


def test_a_workflow_whose_sampler_is_in_parts():
    assert read_workflow(json.dumps(FLUX)) == {
        "prompt": "a lighthouse",
        "seed": 5,
        "steps": 4,
        "guidance": 3.5,
        "sampler": "euler",
        "scheduler": "simple",
        "width": 1024,
        "height": 1024,
        "strength": 1.0,
        "model": "flux1-dev.safetensors",
    }


def test_a_graph_that_runs_in_circles_ends():
    graph = json.loads(json.dumps(SERVER))
    graph["4"]["inputs"]["model"] = ["10", 0]
    graph["11"]["inputs"]["value"] = ["6", 0]
    assert read_workflow(json.dumps(graph))["seed"] == 2**60 + 1


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["nodes", "links", "inputs", "class_type", "id", "text", "3"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(
    JSON
    | st.builds(
        lambda links, inputs: {"nodes": [{"id": 3, "type": "KSampler", "inputs": inputs}], "links": links},
        JSON | st.lists(st.lists(JSON, max_size=3)),
        JSON | st.lists(st.fixed_dictionaries({"name": st.text(), "link": JSON})),
    )
    | st.builds(
        lambda inputs: {"3": {"class_type": "KSampler", "inputs": inputs}},
        st.dictionaries(st.sampled_from(list(SERVER["3"]["inputs"])), JSON),
    )
)
def test_no_json_breaks_the_reader(values):
    try:
        from_workflow(json.dumps(values), KNOWN)
    except DarkroomError as error:
        assert str(error).endswith(".")


@given(st.text())
def test_no_text_breaks_the_reader(text):
    from_infotext(text, KNOWN)


def test_a_picture_that_says_nothing():
    with pytest.raises(DarkroomError, match="does not say"):
        borrowed(Texts(None, None), KNOWN)


def test_a_png_of_comfyui_is_read(tmp_path):
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    from darkroom.studio.pictures import read

    info = PngInfo()
    info.add_text("workflow", json.dumps(EDITOR))
    info.add_text("prompt", json.dumps(SERVER))
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png", pnginfo=info)
    told = borrowed(read(tmp_path / "x.png").texts, KNOWN)
    assert told.tool == "ComfyUI" and told.values["seed"] == 2**60 + 1


def test_all_that_is_plain_comes_along_and_a_variant_is_told():
    asked = replace(REQUEST, emphasis="comfy", seed_size=(64, 64), variant="lcm")
    told = borrowed(Texts(to_json(record(asked)), None), KNOWN)
    assert told.request() == replace(asked, variant=None)
    assert len(told.missing) == 1 and "lcm" in told.missing[0]


def test_a_variation_of_no_strength_is_none():
    told = from_infotext(
        "a cat\nSteps: 20, Seed: 5, Variation seed: 7, Variation seed strength: 0, Size: 64x64", KNOWN
    )
    assert told.request().variation_seed is None and not told.missing


def test_half_a_character_in_a_workflow_is_replaced():
    text = json.dumps(SERVER).replace("a ship", r"a \ud83d ship")
    assert from_workflow(text, KNOWN).request().prompt == "a ? ship"
