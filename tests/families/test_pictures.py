"""Whole pictures from folders that diffusers wrote: ours and its own differ by 1 of 255 at most."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from darkroom.studio.develop import develop
from darkroom.studio.models import load_model
from darkroom.studio.request import Request

diffusers = pytest.importorskip("diffusers")
from tests.families import tiny  # noqa: E402  it needs diffusers

PROMPT, NEGATIVE, SEED, SIDE = "a red cat, and a dog", "blurred", 3, 64
SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}
SCHEDULERS = {
    "euler": ("EulerDiscreteScheduler", {"timestep_spacing": "leading"}, "leading"),
    "euler_a": ("EulerAncestralDiscreteScheduler", {"timestep_spacing": "leading"}, "leading"),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}, "karras"),
    "ddim": ("DDIMScheduler", {"set_alpha_to_one": False, "clip_sample": False}, "ddim_original"),
    "lcm": ("LCMScheduler", {}, "lcm"),
}
"""Our sampler -> diffusers' class and options, and our scheduler."""
FAMILIES = ("sd1", "sd2", "sdxl")
TASKS = ("txt2img", "img2img", "inpaint")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A picture to start from and a mask, as files and in memory."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)).resize((SIDE, SIDE))
    mask = Image.new("L", (SIDE, SIDE), 0)
    mask.paste(255, (16, 8, 56, 48))
    picture.save(root / "picture.png")
    mask.save(root / "mask.png")
    return root / "picture.png", root / "mask.png", picture, mask


def theirs(pipeline, task, pictures, steps, **settings):
    """What the pipeline of diffusers for this task makes, (H, W, 3)."""
    kind = {"txt2img": "Text2Image", "img2img": "Image2Image", "inpaint": "Inpainting"}[task]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipe = getattr(diffusers, f"AutoPipelineFor{kind}").from_pipe(pipeline)
        pipe.scheduler = pipeline.scheduler
        pipe.set_progress_bar_config(disable=True)
        given = {} if task == "txt2img" else {"image": pictures[2], "strength": 0.75}
        given |= {"mask_image": pictures[3]} if task == "inpaint" else {}
        generator = torch.Generator().manual_seed(SEED)
        size = {"height": SIDE, "width": SIDE}
        settings = {"output_type": "np", **size, **given, **settings}
        made = pipe(PROMPT, num_inference_steps=steps, generator=generator, **settings).images
    return made if settings["output_type"] == "latent" else made[0] * 255


def ours(folder, task, pictures, steps, **settings):
    given = {} if task == "txt2img" else {"init_image": pictures[0], "strength": 0.75}
    given |= {"mask": pictures[1]} if task == "inpaint" else {}
    request = Request(
        prompt=PROMPT,
        model=str(folder),
        seed=SEED,
        steps=steps,
        width=SIDE,
        height=SIDE,
        noise="torch",
        **given,
        **settings,
    )
    return develop(request).images[0].astype(float)


@pytest.fixture
def whole_times(folders):
    """On the path of Karras et al. diffusers rounds the times that it tells the network to whole ones.

    Those between are what the levels say, and k-diffusion and A1111 tell them too; rounded, ours are theirs.
    """
    hooks = []

    def use(name):
        network = load_model(str(folders(name)), "float32", None, False, ()).model.network
        hooks.append(
            network.register_forward_pre_hook(lambda _, given: (given[0], given[1].round(), *given[2:]))
        )

    yield use
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("sampler", SCHEDULERS)
@pytest.mark.parametrize("family", FAMILIES)
def test_stable_diffusion(folders, pictures, whole_times, family, sampler, task):
    name, options, scheduler = SCHEDULERS[sampler]
    pipeline = getattr(tiny, family)()
    prediction = "v_prediction" if family == "sd2" else "epsilon"
    pipeline.scheduler = getattr(diffusers, name)(**SD, prediction_type=prediction, **options)
    steps, scale = (4, 1.0) if sampler == "lcm" else (8, 5.0)
    expected = theirs(pipeline, task, pictures, steps, guidance_scale=scale, negative_prompt=NEGATIVE)
    folder = folders(family)
    if scheduler == "karras":
        whole_times(family)
    made = ours(
        folder,
        task,
        pictures,
        steps,
        cfg_scale=scale,
        negative=NEGATIVE,
        sampler=sampler,
        scheduler=scheduler,
    )
    assert made.std() > 10
    print("@@", family, sampler, task, np.abs(made - expected).max())
    assert np.abs(made - expected).max() <= 1


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("family", ["sd3", "flux"])
def test_flows(folders, pictures, family, task):
    pipeline = getattr(tiny, family)()
    scale = (
        {"guidance_scale": 4.0} if family == "flux" else {"guidance_scale": 4.0, "negative_prompt": NEGATIVE}
    )
    expected = theirs(pipeline, task, pictures, 8, **scale)
    if (family, task) == ("sd3", "inpaint"):  # there diffusers forgets the shift when it decodes
        latents = theirs(pipeline, task, pictures, 8, output_type="latent", **scale)
        vae = pipeline.vae
        made = vae.decode(latents / vae.config.scaling_factor + vae.config.shift_factor).sample
        expected = ((made[0] / 2 + 0.5).clamp(0, 1) * 255).permute(1, 2, 0).numpy()
    own = {"guidance": 4.0} if family == "flux" else {"cfg_scale": 4.0, "negative": NEGATIVE}
    made = ours(folders(family), task, pictures, 8, **own)
    print("@@", family, task, np.abs(made - expected).max())
    assert made.std() > 10
    assert np.abs(made - expected).max() <= 1
