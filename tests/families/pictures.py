"""One picture made twice: by a pipeline of diffusers, and by ours from the folder that it wrote."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image
from tests.families import tiny

from darkroom.studio.develop import develop
from darkroom.studio.models import load_model
from darkroom.studio.request import Request

PROMPT, NEGATIVE, SEED, SIDE = "a red cat, and a dog", "blurred", 3, 64
STRENGTH = 0.7
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
FLOWS = ("sd3", "flux")
TASKS = ("txt2img", "img2img", "inpaint")


@dataclass(frozen=True)
class Given:
    """A picture to start from and a mask: their files, and themselves."""

    picture_file: Path
    mask_file: Path
    picture: Image.Image
    mask: Image.Image


def given_in(folder: Path) -> Given:
    """A random picture of soft colours, and a mask that is white in a rectangle of whole latents."""
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)).resize((SIDE, SIDE))
    mask = Image.new("L", (SIDE, SIDE), 0)
    mask.paste(255, (16, 8, 56, 48))
    files = folder / "picture.png", folder / "mask.png"
    picture.save(files[0])
    mask.save(files[1])
    return Given(*files, picture, mask)


def theirs(pipeline: Any, task: str, given: Given, steps: int, **settings: Any) -> np.ndarray:
    """What the pipeline of diffusers for this task makes, (H, W, 3) of 0 to 255; or latents, if asked for."""
    kind = {"txt2img": "Text2Image", "img2img": "Image2Image", "inpaint": "Inpainting"}[task]
    told: dict[str, Any] = {} if task == "txt2img" else {"image": given.picture, "strength": STRENGTH}
    told |= {"mask_image": given.mask} if task == "inpaint" else {}
    settings = {"output_type": "np", "height": SIDE, "width": SIDE, **told, **settings}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipe = getattr(diffusers, f"AutoPipelineFor{kind}").from_pipe(pipeline)
        pipe.scheduler = pipeline.scheduler
        pipe.set_progress_bar_config(disable=True)
        generator = torch.Generator().manual_seed(SEED)
        made = pipe(PROMPT, num_inference_steps=steps, generator=generator, **settings).images
    return made if settings["output_type"] == "latent" else made[0] * 255


def ours(folder: Path, task: str, given: Given, steps: int, **settings: Any) -> np.ndarray:
    """What we make, (H, W, 3) of 0 to 255."""
    told: dict[str, Any] = (
        {} if task == "txt2img" else {"init_image": given.picture_file, "strength": STRENGTH}
    )
    told |= {"mask": given.mask_file} if task == "inpaint" else {}
    size = {"width": SIDE, "height": SIDE}
    alike = {"model": str(folder), "seed": SEED, "noise": "torch", "precision": "float32"}
    settings = {**alike, **size, **told, **settings}
    return develop(Request(prompt=PROMPT, steps=steps, **settings)).images[0].astype(float)


@contextmanager
def whole_times(folder: Path) -> Iterator[None]:
    """The network of a model is told times that are rounded to whole ones.

    On the path of Karras et al. diffusers rounds them so. Those between are what the levels say, and
    k-diffusion and A1111 tell them too; rounded, ours are theirs.
    """
    network = load_model(str(folder), "float32", None, False, ()).model.network
    hook = network.register_forward_pre_hook(lambda _, told: (told[0], told[1].round(), *told[2:]))
    try:
        yield
    finally:
        hook.remove()


def stable_diffusion(
    family: str, sampler: str, task: str, folder: Path, given: Given
) -> tuple[np.ndarray, np.ndarray]:
    """Ours and theirs, for one of ``FAMILIES`` with one of ``SCHEDULERS``."""
    name, options, scheduler = SCHEDULERS[sampler]
    pipeline = getattr(tiny, family)()
    prediction = "v_prediction" if family == "sd2" else "epsilon"
    pipeline.scheduler = getattr(diffusers, name)(**SD, prediction_type=prediction, **options)
    steps, scale = (4, 1.0) if sampler == "lcm" else (8, 5.0)
    expected = theirs(pipeline, task, given, steps, guidance_scale=scale, negative_prompt=NEGATIVE)
    told = {"cfg_scale": scale, "negative": NEGATIVE, "sampler": sampler, "scheduler": scheduler}
    with whole_times(folder) if scheduler == "karras" else nullcontext():
        return ours(folder, task, given, steps, **told), expected


def flow(family: str, task: str, folder: Path, given: Given) -> tuple[np.ndarray, np.ndarray]:
    """Ours and theirs, for one of ``FLOWS`` with flow Euler."""
    pipeline = getattr(tiny, family)()
    guided = family == "flux"
    scale = {"guidance_scale": 4.0} if guided else {"guidance_scale": 4.0, "negative_prompt": NEGATIVE}
    if (family, task) == ("sd3", "inpaint"):
        expected = decoded(pipeline, theirs(pipeline, task, given, 8, output_type="latent", **scale))
    else:
        expected = theirs(pipeline, task, given, 8, **scale)
    told = {"guidance": 4.0} if guided else {"cfg_scale": 4.0, "negative": NEGATIVE}
    return ours(folder, task, given, 8, **told), expected


def decoded(pipeline: Any, latents: torch.Tensor) -> np.ndarray:
    """Latents decoded as they should be: for inpainting with SD 3 diffusers forgets the shift."""
    config = pipeline.vae.config
    made = pipeline.vae.decode(latents / config.scaling_factor + config.shift_factor).sample
    return ((made[0] / 2 + 0.5).clamp(0, 1) * 255).permute(1, 2, 0).numpy()
