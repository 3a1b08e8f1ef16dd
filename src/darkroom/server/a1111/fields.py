"""What A1111's clients send, and what of it cannot be had.

These clients send all their fields, most of them with values that change nothing; such a value is fine. Any
other is refused, and a field that nobody knows may come empty.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ConfigDict, Field

from darkroom.server.errors import Refused
from darkroom.server.sent import Sent

Neutral = Callable[[Any], bool]


def one_of(*values: Any) -> Neutral:
    """Nothing, or one of these."""
    return lambda value: value is None or value in values


def empty(value: Any) -> bool:
    """Nothing, or parts that are."""
    if isinstance(value, Mapping):
        return all(map(empty, value.values()))
    return all(map(empty, value)) if isinstance(value, list | tuple) else not value


def anything(value: Any) -> bool:
    """What changes nothing by itself, whatever it is."""
    return True


NEUTRAL: dict[str, Neutral] = {
    "eta": one_of(1),
    "s_noise": one_of(1),
    "refiner_switch_at": anything,
    "hr_scale": anything,
    "hr_upscaler": anything,
    "hr_second_pass_steps": anything,
    "hr_resize_x": anything,
    "hr_resize_y": anything,
    "hr_checkpoint_name": anything,
    "hr_sampler_name": anything,
    "hr_scheduler": anything,
    "hr_prompt": anything,
    "hr_negative_prompt": anything,
    "hr_cfg": anything,
    "hr_distilled_cfg": anything,
    "image_cfg_scale": anything,
    "initial_noise_multiplier": one_of(1),
    "script_args": anything,
    "script_name": one_of("", "None", "none"),
    "do_not_save_grid": anything,
    "save_images": anything,
    "force_task_id": anything,
}
"""Values that change nothing: those of hr_* without enable_hr, of script_args without a script, of
image_cfg_scale with models that know no such thing. There are no grids, and pictures are kept anyway."""


class Common(Sent):
    """What both calls share."""

    model_config = ConfigDict(extra="allow")

    prompt: str = ""
    negative_prompt: str = ""
    styles: list[str] | None = None
    seed: int | None = -1
    subseed: int | None = -1
    subseed_strength: float | None = Field(0, allow_inf_nan=False)
    seed_resize_from_w: int | None = -1
    seed_resize_from_h: int | None = -1
    sampler_name: str | None = None
    sampler_index: str | None = None
    scheduler: str | None = None
    batch_size: int = Field(1, ge=1, le=1000)
    n_iter: int = Field(1, ge=1, le=1000)
    steps: int | None = None
    cfg_scale: float | None = Field(None, allow_inf_nan=False)
    distilled_cfg_scale: float | None = Field(None, allow_inf_nan=False)
    width: int | None = None
    height: int | None = None
    override_settings: dict[str, Any] | None = None
    override_settings_restore_afterwards: bool = True
    send_images: bool = True
    do_not_save_samples: bool = False

    def check(self) -> None:
        """Raise Refused for a wish that cannot be had, by its name."""
        for name, value in (self.model_extra or {}).items():
            if not NEUTRAL.get(name, empty)(value):
                shown = ", ".join(value) if isinstance(value, Mapping) else repr(value)[:60]
                raise Refused(f"{name} ({shown}) cannot be had here; leave it out.", param=name)


class TextToImage(Common):
    """POST /sdapi/v1/txt2img."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [{"prompt": "a red cube", "steps": 20, "sampler_name": "Euler a", "seed": 7}]
        },
    )

    denoising_strength: float | None = Field(
        None, allow_inf_nan=False, description="Only with enable_hr, which cannot be had."
    )


class ImageToImage(Common):
    """POST /sdapi/v1/img2img."""

    init_images: list[str] = Field([], description="One, in base64.")
    resize_mode: int = Field(0, ge=0, le=3)
    denoising_strength: float | None = Field(0.75, allow_inf_nan=False)
    mask: str | None = Field(None, description="In base64; painted where it is white.")
    mask_blur: int | None = None
    mask_blur_x: int | None = None
    mask_blur_y: int | None = None
    mask_round: bool | None = None
    inpainting_fill: int = Field(0, ge=0, le=3)
    inpaint_full_res: bool | int | None = True
    inpaint_full_res_padding: int | None = 0
    inpainting_mask_invert: int | None = 0
    include_init_images: bool = False
