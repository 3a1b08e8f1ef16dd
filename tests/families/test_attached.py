"""What hangs on a model, in whole pictures: ours and those of diffusers differ by 1 of 255 at most."""

from dataclasses import replace

import pytest
import torch

from darkroom.errors import DarkroomError
from darkroom.studio.attachments import Attachments, Control, ImagePrompt, Lora
from darkroom.studio.develop import develop, develop_many
from darkroom.studio.models import load_model

pytest.importorskip("diffusers")
pytest.importorskip("peft")
from tests.families import hanging, tiny  # noqa: E402  they need diffusers
from tests.families.hanging import far, ours, theirs  # noqa: E402

NOTHING = Attachments()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("attached")


@pytest.fixture(scope="module")
def folders(root):
    """The folder of each tiny model, written once."""
    made = {}

    def folder(family):
        if family not in made:
            made[family] = tiny.save(getattr(tiny, family)(), root / family)
        return made[family]

    return folder


@pytest.fixture(scope="module")
def plain(folders):
    """The picture of each model with nothing on it, made once."""
    made = {}

    def picture(family):
        if family not in made:
            made[family] = ours(folders(family), family, NOTHING)
        return made[family]

    return picture


def parts_of(family):
    pipeline = getattr(tiny, family)()
    if family == "flux":
        return {"transformer": pipeline.transformer}
    names = ("unet", "text_encoder", "text_encoder_2")
    return {name: getattr(pipeline, name) for name in names if hasattr(pipeline, name)}


def weights_of(folder):
    model = load_model(str(folder), "float32", None, False, ()).model
    return [tensor.clone() for part in model.parts.values() for tensor in part.state_dict().values()]


# ---- LoRA


@pytest.mark.parametrize("family", ["sd1", "sdxl", "flux"])
def test_a_lora_in_every_style_makes_the_picture_of_diffusers(folders, plain, root, family):
    pipeline, folder, made = getattr(tiny, family)(), folders(family), hanging.factors(parts_of(family))
    with hanging.merged(pipeline, made, 0.7):
        expected = theirs(pipeline, family)
    styles = {"kohya": hanging.as_kohya(made, family == "sd1"), "peft": hanging.as_peft(made)}
    if family != "flux":
        styles["processors"] = hanging.as_processors(made)
    without, before = plain(family), weights_of(folder)
    assert far(without, expected) > 5
    for style, tensors in styles.items():
        file = hanging.saved(tensors, root / f"{family}-{style}.safetensors")
        result = ours(folder, family, Attachments(loras=(Lora(file, 0.7),)))
        print("@@ lora", family, style, far(result, expected), far(without, expected))
        assert far(result, expected) <= 1
        assert result.notices == (f"{file.name}: matched {len(tensors)}, unused 0, missing 0",)
    assert all(map(torch.equal, before, weights_of(folder)))
    assert far(ours(folder, family, NOTHING), without) == 0
