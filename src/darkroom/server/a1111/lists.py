"""A1111's web API: what there is to choose from."""

import os
import resource
from typing import Any

from fastapi import APIRouter

from darkroom import __version__
from darkroom.diffusion.grids import GRIDS
from darkroom.diffusion.samplers import SAMPLERS
from darkroom.server import names
from darkroom.server.a1111.door import PROBLEMS
from darkroom.server.catalogue import own_styles
from darkroom.server.desk import OurDesk
from darkroom.studio import home

router = APIRouter(prefix="/sdapi/v1", tags=["AUTOMATIC1111's web API"], responses=PROBLEMS)

Rows = list[dict[str, Any]]
NOWHERE = ""
"""Where others tell a path: files have names here."""


@router.get("/samplers")
def samplers() -> Rows:
    """By the names that A1111 has for them; ours are among the aliases."""
    return [{"name": s.label, "aliases": [s.name], "options": {}} for s in SAMPLERS.values()]


@router.get("/schedulers")
def schedulers() -> Rows:
    """The same; "Automatic" leaves it to the model."""
    automatic = {"name": "automatic", "label": "Automatic", "aliases": None}
    return [
        automatic,
        *({"name": g.name, "label": g.label, "aliases": list(g.aliases)} for g in GRIDS.values()),
    ]


@router.get("/sd-models")
def sd_models() -> Rows:
    """The models; their hashes are in the pictures that they make."""
    return [
        {
            "title": name,
            "model_name": name,
            "hash": None,
            "sha256": None,
            "filename": path.name,
            "config": None,
        }
        for name, path in names.models().items()
    ]


@router.get("/loras")
def loras() -> Rows:
    """What ``<lora:NAME:0.8>`` can name."""
    return [{"name": name, "alias": name, "path": NOWHERE, "metadata": {}} for name in home.named("loras")]


@router.get("/embeddings")
def embeddings() -> dict[str, Any]:
    """Textual inversions that lie in the folder; they are used by our own API."""
    loaded = {
        name: {"step": None, "sd_checkpoint": None, "sd_checkpoint_name": None, "shape": 0, "vectors": 0}
        for name in home.named("embeddings")
    }
    return {"loaded": {}, "skipped": loaded}


@router.get("/prompt-styles")
def prompt_styles() -> Rows:
    """The user's own styles."""
    return [
        {"name": one.name, "prompt": one.prompt, "negative_prompt": one.negative}
        for one in own_styles().values()
    ]


@router.get("/upscalers")
def upscalers() -> Rows:
    """None but the one that does nothing."""
    return [{"name": "None", "model_name": None, "model_path": None, "model_url": None, "scale": 1.0}]


@router.get("/latent-upscale-modes")
@router.get("/hypernetworks")
@router.get("/face-restorers")
@router.get("/realesrgan-models")
@router.get("/sd-vae")
@router.get("/sd-modules")
@router.get("/script-info")
def none_of_these() -> Rows:
    """There are none."""
    return []


@router.get("/scripts")
def scripts() -> dict[str, list[str]]:
    """There are none."""
    return {"txt2img": [], "img2img": []}


@router.get("/cmd-flags")
def cmd_flags(desk: OurDesk) -> dict[str, Any]:
    """How the server was started, as far as that is anybody's business."""
    settings = desk.settings
    return {"api": True, "nowebui": not settings.page, "port": settings.port, "darkroom": __version__}


@router.get("/memory")
def memory() -> dict[str, Any]:
    """In bytes: what this process takes, and what the machine has."""
    page = os.sysconf("SC_PAGE_SIZE")
    total, free = (page * os.sysconf(f"SC_{name}_PAGES") for name in ("PHYS", "AVPHYS"))
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"ram": {"free": free, "used": used, "total": total}, "cuda": {"error": "unavailable"}}


@router.post("/refresh-checkpoints")
@router.post("/refresh-loras")
@router.post("/refresh-embeddings")
@router.post("/refresh-vae")
@router.post("/reload-checkpoint")
@router.post("/unload-checkpoint")
def nothing_to_do() -> dict[str, Any]:
    """Folders are read at each call, and models come and go by themselves."""
    return {}
