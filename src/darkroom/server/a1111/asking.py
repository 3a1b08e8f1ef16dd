"""From what A1111's clients send to a request of ours, and what of it they must be told."""

from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageOps

import darkroom.families.grids  # noqa: F401  they join the registry
from darkroom.diffusion.grids import GRIDS
from darkroom.diffusion.samplers import SAMPLERS
from darkroom.errors import InvalidRequest, UnknownName
from darkroom.server import incoming, names
from darkroom.server.a1111.fields import Common, ImageToImage
from darkroom.server.a1111.filling import filled
from darkroom.server.a1111.options import Options
from darkroom.server.desk import Desk
from darkroom.server.errors import Refused
from darkroom.studio.develop import how_loaded
from darkroom.studio.methods import sampler_named, scheduler_named
from darkroom.studio.models import open_model
from darkroom.studio.pictures import check_picture
from darkroom.studio.request import Request, random_seed
from darkroom.studio.threads import in_passing

LANCZOS = Image.Resampling.LANCZOS
STRETCH, CROP, EXTEND, LATENT = range(4)
"""What resize_mode does with a picture of another shape."""
FILL, ORIGINAL, NOISE, NOTHING = range(4)
"""What inpainting_fill puts under the mask first."""
WHOLE = "the whole picture was painted at its size: inpaint_full_res cannot be had."
HARD = "the mask has hard edges: mask_blur cannot be had."


@dataclass(frozen=True)
class Asking:
    """A request, and what its client must be told."""

    request: Request
    notices: tuple[str, ...] = ()


def from_text(asked: Common, options: Options, desk: Desk) -> Asking:
    """Raises DarkroomError for what cannot be had."""
    asked.check()
    return Asking(desk.checked(Request(**_plain(asked, options)), asked.styles or ()))


def from_picture(asked: ImageToImage, options: Options, desk: Desk) -> Asking:
    """Raises DarkroomError for what cannot be had."""
    asked.check()
    if len(asked.init_images) != 1:
        raise Refused(f"one picture can be painted over, not {len(asked.init_images)}; send one.")
    asked = _sized(asked, options)
    picture = _picture(asked.init_images[0], "the init image", asked, desk)
    mask = None if asked.mask is None else _mask(asked, desk)
    if mask is not None and asked.inpainting_fill == FILL:
        picture = filled(picture, mask)
    start: dict[str, Any] = {"init_image": desk.service.keep_upload(incoming.packed(picture))}
    if mask is not None:
        start["mask"] = desk.service.keep_upload(incoming.packed(mask))
    if asked.denoising_strength is not None:
        start["strength"] = asked.denoising_strength
    request = Request(**_plain(asked, options), **start)
    return Asking(desk.checked(request, asked.styles or ()), _notices(asked) if mask is not None else ())


def _plain(asked: Common, options: Options) -> dict[str, Any]:
    """The fields of a Request that both calls share."""
    sampler, scheduler = method_named(asked.sampler_name or asked.sampler_index or "")
    seed = -1 if asked.seed is None else asked.seed
    return {
        "prompt": asked.prompt,
        "negative": asked.negative_prompt,
        "seed": random_seed() if seed == -1 else seed,
        "count": asked.batch_size * asked.n_iter,
        "width": asked.width,
        "height": asked.height,
        "steps": asked.steps,
        "cfg_scale": asked.cfg_scale,
        "guidance": asked.distilled_cfg_scale,
        "sampler": sampler,
        "scheduler": schedule_named(asked.scheduler or "") or scheduler,
        **_variation(asked),
        **options.asked(),
    }


def _variation(asked: Common) -> dict[str, Any]:
    """Towards another seed, and from the seed's own size."""
    told: dict[str, Any] = {}
    if asked.subseed_strength:
        seed = asked.subseed if asked.subseed not in (None, -1) else random_seed()
        told = {"variation_seed": seed, "variation_strength": asked.subseed_strength}
    width, height = asked.seed_resize_from_w or 0, asked.seed_resize_from_h or 0
    return told | ({"seed_size": (width, height)} if width > 0 and height > 0 else {})


def method_named(name: str) -> tuple[str | None, str | None]:
    """A sampler by A1111's name or ours, and the scheduler that older clients name with it.

    Raises Refused as A1111 does, for a sampler that there is not.
    """
    if not name or name.lower() == "automatic":
        return None, None
    try:
        return sampler_named(name)
    except UnknownName:
        raise Refused(str(UnknownName("sampler", name, [s.label for s in SAMPLERS.values()])), 404) from None


def schedule_named(name: str) -> str | None:
    """A scheduler by A1111's name or ours; None leaves it to the model. Raises Refused."""
    if not name or name.lower() in ("automatic", "none"):
        return None
    try:
        return scheduler_named(name)
    except UnknownName:
        raise Refused(str(UnknownName("scheduler", name, [g.label for g in GRIDS.values()])), 404) from None


def _sized(asked: ImageToImage, options: Options) -> ImageToImage:
    """The same with the model's own width and height where none is asked for. Raises DarkroomError."""
    left = [name for name in ("width", "height") if getattr(asked, name) is None]
    if not left:
        return asked
    model = how_loaded(Request(prompt="a picture", model=names.model(options.model)))
    own = in_passing("darkroom-size", lambda: open_model(*model).model.defaults).result()
    return asked.model_copy(update={name: own[name] for name in left})


def _picture(text: str, name: str, asked: ImageToImage, desk: Desk) -> Image.Image:
    """A picture as it is sent, upright, stretched where the client says so. Raises DarkroomError."""
    data = incoming.from_base64(text, name)
    check_picture(data, desk.settings.pixels, name)
    image = incoming.upright(data)
    width, height = asked.width or 0, asked.height or 0
    if asked.resize_mode in (EXTEND, LATENT) and image.width * height != image.height * width:
        raise Refused(f"resize_mode {asked.resize_mode} cannot be had; take 0 to stretch or 1 to crop.")
    if min(width, height) < 1 or width * height > desk.service.limits.pixels:
        raise InvalidRequest(f"{width}x{height} cannot be had here; ask for another size.")
    return image.resize((width, height), LANCZOS) if asked.resize_mode == STRETCH else image


def _mask(asked: ImageToImage, desk: Desk) -> Image.Image:
    """White where to paint: a mask, or the transparency of one that is drawn so."""
    mask = _picture(asked.mask or "", "the mask", asked, desk)
    alpha = mask.convert("RGBA").getchannel("A")
    if any(alpha.histogram()[:255]):
        mask = alpha
    mask = mask.convert("L").point([0] * 128 + [255] * 128)
    return ImageOps.invert(mask) if asked.inpainting_mask_invert else mask


def _notices(asked: ImageToImage) -> tuple[str, ...]:
    """Raises Refused for a fill that cannot be had."""
    if asked.inpainting_fill in (NOISE, NOTHING):
        raise Refused(
            f"inpainting_fill {asked.inpainting_fill} cannot be had; take 0 or 1, and a "
            "denoising_strength of 1 for nothing but noise."
        )
    blurred = (asked.mask_blur, asked.mask_blur_x, asked.mask_blur_y)
    told = [HARD] if any(blurred) else []
    return (*told, WHOLE) if asked.inpaint_full_res else tuple(told)
