from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.errors import DarkroomError
from darkroom.studio.attachments import Attachments, Control, ImagePrompt, Lora

paths = st.sampled_from([Path("a.safetensors"), Path("deep/b, c: d.safetensors")])
weights = st.floats(-10, 10, allow_nan=False)


@given(
    st.builds(
        Attachments,
        loras=st.lists(
            st.builds(
                Lora,
                paths,
                weights,
                st.none() | weights,
                st.none() | st.lists(weights, min_size=1, max_size=3).map(tuple),
            ),
            max_size=2,
        ).map(tuple),
        controls=st.lists(st.builds(Control, paths, paths, weights), max_size=2).map(tuple),
        image_prompts=st.lists(st.builds(ImagePrompt, paths, paths, paths), max_size=1).map(tuple),
        embeddings=st.lists(paths, max_size=2).map(tuple),
    )
)
def test_attachments_come_back_from_json_and_name_their_files(attached):
    assert Attachments.from_json(attached.to_json()) == attached
    named = {file for one in attached.loras for file in [one.file]} | set(attached.embeddings)
    assert named <= set(attached.files())
    assert bool(attached) == bool(attached.to_json())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x.safetensors", Lora(Path("x.safetensors"))),
        ("x:0.5", Lora(Path("x"), 0.5)),
        ("x:0.5:0", Lora(Path("x"), 0.5, 0.0)),
        ("x:-1", Lora(Path("x"), -1.0)),
    ],
)
def test_a_lora_as_it_is_typed(text, expected):
    assert Lora.parse(text) == expected


@pytest.mark.parametrize("text", ["x:y", "x:1:2:3", "x:nan", "x:1e9", "x:"])
def test_a_lora_that_cannot_be_meant_is_refused_in_one_sentence(text):
    with pytest.raises(DarkroomError) as error:
        Lora.parse(text)
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


def test_a_model_takes_only_so_many():
    with pytest.raises(DarkroomError, match="33 loras; a model takes 32"):
        Attachments(loras=(Lora(Path("x")),) * 33)


def test_what_peft_wrote_beside_a_file_is_one_of_its_files(tmp_path):
    (tmp_path / "adapter_config.json").touch()
    assert Lora(tmp_path / "adapter_model.safetensors").files()[1] == tmp_path / "adapter_config.json"
    assert Lora(tmp_path / "ink.safetensors").files() == (tmp_path / "ink.safetensors",)


def test_a_control_must_act_at_some_time():
    with pytest.raises(DarkroomError, match="never acts"):
        Control(Path("a"), Path("b"), start=0.5, end=0.5)
    with pytest.raises(DarkroomError, match="cannot be read"):
        Attachments.from_json({"controls": [{"modle": "a", "picture": "b"}]})
