"""What ``darkroom convert`` writes, loaded by diffusers: the picture of the model it was made of."""

import warnings

import numpy as np
import pytest
import torch

from darkroom.weights.convert import convert

diffusers = pytest.importorskip("diffusers")
from tests.families import tiny  # noqa: E402  it needs diffusers

KINDS = {
    "StableDiffusionPipeline": tiny.sd1,
    "StableDiffusionXLPipeline": lambda: tiny.sdxl(second=128),  # diffusers tells its encoders by their width
}
DDIM = {"set_alpha_to_one": False, "clip_sample": False}


@pytest.fixture(scope="module", params=KINDS)
def made(request, tmp_path_factory):
    """A pipeline's class, its folder, and what convert makes of it: a file, and a folder of that again."""
    root = tmp_path_factory.mktemp("converted")
    folder = tiny.save(KINDS[request.param](), root / "folder")
    convert(folder, root / "file.safetensors")
    convert(root / "file.safetensors", root / "again", tokenizers=folder)
    return getattr(diffusers, request.param), root


def picture(pipeline):
    pipeline.scheduler = diffusers.DDIMScheduler(**tiny.SD_SCHEDULER, **DDIM)
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(3)
    asked = {"num_inference_steps": 4, "height": 64, "width": 64, "output_type": "np"}
    return pipeline("a red cat", generator=generator, **asked).images[0]


def test_folders_and_files_that_darkroom_wrote_make_the_same_picture_in_diffusers(made):
    kind, root = made
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = picture(kind.from_pretrained(root / "folder"))
        from_file = kind.from_single_file(
            str(root / "file.safetensors"), config=str(root / "folder"), local_files_only=True
        )
        from_folder = kind.from_pretrained(root / "again")
    assert expected.std() > 0.05
    assert np.abs(picture(from_file) - expected).max() <= 1 / 255
    assert np.abs(picture(from_folder) - expected).max() <= 1 / 255
