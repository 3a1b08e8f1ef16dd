"""What A1111's clients are answered."""

import json
import time
from dataclasses import dataclass
from typing import Any

from darkroom.server.a1111.fields import Common
from darkroom.server.desk import Desk
from darkroom.server.incoming import to_base64
from darkroom.server.views import preview_png, record_of
from darkroom.studio.metadata import infotext
from darkroom.studio.pictures import labels
from darkroom.studio.request import Record
from darkroom.studio.serving.jobs import Event, JobView, Status


@dataclass
class UnderWay:
    """The job that an owner waits for: how it stands, and what it looks like."""

    view: JobView
    preview: Event | None = None
    skipped: bool = False
    interrupted: bool = False

    def hear(self, event: Event) -> None:
        """Keep what is told; of previews those of the first picture."""
        self.view = event.view
        if event.pixels is not None and event.picture == 0:
            self.preview = event


def pictures_answer(desk: Desk, view: JobView, asked: Common, notices: tuple[str, ...]) -> dict[str, Any]:
    """``images`` in base64, ``parameters`` as they came, ``info`` as a string of JSON."""
    files = [desk.picture(one) for one in view.pictures]
    stopped = ("it was interrupted.",) if view.status is Status.CANCELLED else ()
    told = (*view.notices, *notices, *stopped)
    images = [to_base64(file) for file in files] if asked.send_images else []
    info = _info(asked, [record_of(file) for file in files], told)
    return {"images": images, "parameters": _parameters(asked), "info": json.dumps(info)}


def _parameters(asked: Common) -> dict[str, Any]:
    """Without the pictures that came in, unless they are wanted back."""
    told = asked.model_dump()
    if "init_images" in told and not told["include_init_images"]:
        told |= {"init_images": None, "mask": None}
    return told


def _info(asked: Common, records: list[Record], notices: tuple[str, ...]) -> dict[str, Any]:
    """As A1111 has it, and ``notices``: what could not be had."""
    requests = [record.request for record in records]
    subseeds = [-1 if one.variation_seed is None else one.variation_seed for one in requests]
    told: dict[str, Any] = {
        "prompt": asked.prompt,
        "negative_prompt": asked.negative_prompt,
        "seed": asked.seed,
    }
    if requests:
        first, names = requests[0], labels()
        told = {
            "prompt": first.prompt,
            "negative_prompt": first.negative,
            "seed": first.seed,
            "subseed": subseeds[0],
            "width": first.width,
            "height": first.height,
            "sampler_name": names[first.sampler or ""],
            "scheduler": names[first.scheduler or ""],
            "cfg_scale": first.cfg_scale,
            "steps": first.steps,
            "denoising_strength": first.strength if first.init_image else None,
            "sd_model_name": first.model,
            "sd_model_hash": records[0].model_hash[:10],
            "clip_skip": first.clip_skip or 1,
            "version": f"Darkroom {records[0].version}",
        }
    return told | {
        "all_prompts": [one.prompt for one in requests],
        "all_negative_prompts": [one.negative for one in requests],
        "all_seeds": [one.seed for one in requests],
        "all_subseeds": subseeds,
        "subseed_strength": asked.subseed_strength,
        "batch_size": asked.batch_size,
        "restore_faces": False,
        "face_restoration_model": None,
        "sd_vae_name": None,
        "sd_vae_hash": None,
        "seed_resize_from_w": asked.seed_resize_from_w,
        "seed_resize_from_h": asked.seed_resize_from_h,
        "extra_generation_params": {},
        "index_of_first_image": 0,
        "infotexts": [infotext(record, labels()) for record in records],
        "styles": asked.styles or [],
        "job_timestamp": time.strftime("%Y%m%d%H%M%S"),
        "is_using_inpainting_conditioning": False,
        "notices": list(notices),
    }


def progress_answer(under_way: UnderWay | None, waiting: int, with_picture: bool) -> dict[str, Any]:
    """How far the owner's job is; ``waiting`` are the jobs that an owner waits for in all."""
    view = under_way.view if under_way else None
    share = view.step / view.steps if view and view.steps else 0.0
    preview = under_way.preview if under_way and with_picture else None
    return {
        "progress": min(share, 0.999) if view else 0.0,
        "eta_relative": (view.seconds_left or 0.0) if view else 0.0,
        "state": {
            "skipped": bool(under_way and under_way.skipped),
            "interrupted": bool(under_way and under_way.interrupted),
            "stopping_generation": False,
            "job": view.id if view else "",
            "job_count": waiting,
            "job_timestamp": time.strftime("%Y%m%d%H%M%S", time.localtime(view.created if view else 0)),
            "job_no": 0,
            "sampling_step": view.step if view else 0,
            "sampling_steps": view.steps if view else 0,
        },
        "current_image": None
        if preview is None or preview.pixels is None
        else to_base64(preview_png(preview.pixels)),
        "textinfo": None if view is None or view.position is None else f"{view.position} before it",
    }
