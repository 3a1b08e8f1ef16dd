"""What our own API takes for a wish, and the requests that it stands for."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from darkroom.errors import DarkroomError
from darkroom.server.desk import Desk
from darkroom.server.errors import Refused
from darkroom.studio.attachments import MOST_OF_A_KIND, Attachments, Control, ImagePrompt, Lora
from darkroom.studio.home import finder, name_of
from darkroom.studio.request import (
    MAX_COUNT,
    MAX_PROMPT,
    MAX_REUSE,
    MAX_SEED,
    MAX_SIDE,
    MAX_STEPS,
    MIN_VAE_TILE,
    Request,
)

Finite = Annotated[float, Field(allow_inf_nan=False)]
PictureId = Annotated[str, Field(description="The id of an upload, or of a picture that was made here.")]


class Part(BaseModel):
    """Refuses what it does not know."""

    model_config = ConfigDict(extra="forbid", strict=True)


class LoraWish(Part):
    """A LoRA that lies in the server's folder, by its name, and how strongly it acts."""

    name: str
    weight: Finite = 1.0
    text_weight: Finite | None = None


class ControlWish(Part):
    """A ControlNet by its name, the picture that it follows, how strongly, and in which part of the steps."""

    name: str
    picture: PictureId
    scale: Finite = 1.0
    start: Finite = 0.0
    end: Finite = 1.0
    mode: int | None = None


class ImagePromptWish(Part):
    """An IP-Adapter and its image encoder by their names, and the picture that it is shown."""

    name: str
    encoder: str
    picture: PictureId
    scale: Finite = 1.0


class Wish(Part):
    """Pictures to be made; what is left out, the model chooses. Picture i has seed + i."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {"prompt": "a red cube on top of a blue sphere", "seed": 7, "count": 2},
                {"prompt": "a cat on a beach", "init_image": "ID of an upload", "strength": 0.6, "steps": 24},
            ]
        },
    )

    prompt: str = Field(
        max_length=MAX_PROMPT, description="With weights, choices and <lora:name:0.8> as in A1111."
    )
    negative: str = Field("", max_length=MAX_PROMPT)
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="None: a random one.")
    count: int = Field(1, ge=1, le=MAX_COUNT)
    width: int | None = Field(None, ge=1, le=MAX_SIDE)
    height: int | None = Field(None, ge=1, le=MAX_SIDE)
    steps: int | None = Field(None, ge=1, le=MAX_STEPS)
    cfg_scale: Finite | None = None
    sampler: str | None = None
    scheduler: str | None = None
    model: str | None = Field(None, description="A name from /api/models.")
    precision: str | None = None
    init_image: PictureId | None = None
    strength: Finite = 0.75
    mask: PictureId | None = Field(None, description="Painted where it is white.")
    guidance: Finite | None = None
    clip_skip: int | None = None
    emphasis: str = "a1111"
    variant: str | None = None
    noise: str = "philox"
    variation_seed: int | None = Field(None, ge=0, le=MAX_SEED)
    variation_strength: Finite = 0.0
    seed_size: Annotated[list[int], Field(min_length=2, max_length=2)] | None = None
    guide: str = "cfg"
    cfg_rescale: Finite = 0.0
    cfg_interval: Annotated[list[Finite], Field(min_length=2, max_length=2)] | None = None
    pag_scale: Finite = 0.0
    vae_tile: int | None = Field(None, ge=MIN_VAE_TILE, le=MAX_SIDE)
    reuse: int = Field(1, ge=1, le=MAX_REUSE, description="Run the inner blocks at so-many-th steps alone.")
    styles: list[str] = []
    loras: list[LoraWish] = Field([], max_length=MOST_OF_A_KIND)
    controls: list[ControlWish] = Field([], max_length=MOST_OF_A_KIND)
    image_prompts: list[ImagePromptWish] = Field([], max_length=MOST_OF_A_KIND)
    embeddings: list[str] = Field(
        [], max_length=MOST_OF_A_KIND, description="Names that the prompt may then use."
    )


NOT_OF_REQUEST = {"styles", "loras", "controls", "image_prompts", "embeddings", "init_image", "mask"}


def requests_of(wish: Wish, desk: Desk, owner: str) -> list[Request]:
    """The requests of a wish. Raises DarkroomError for what cannot be had."""
    plain = {k: v for k, v in wish.model_dump().items() if k not in NOT_OF_REQUEST}
    pairs = {name: tuple(plain[name]) for name in ("seed_size", "cfg_interval") if plain[name] is not None}
    if plain["seed"] is None:
        del plain["seed"]

    def picture(name: str | None) -> Path | None:
        return None if name is None else picture_of(name, desk, owner)

    request = Request(
        **plain | pairs | {"model": wish.model or desk.settings.model},
        init_image=picture(wish.init_image),
        mask=picture(wish.mask),
        attached=attached_of(wish, desk, owner),
    )
    return [desk.checked(request, wish.styles)]


def picture_of(picture: str, desk: Desk, owner: str) -> Path:
    """The file of an upload, or a copy of a picture made here, which may be deleted while the copy is needed.

    Raises Refused for an id that is neither.
    """
    if upload := desk.uploads.find(owner, picture):
        return upload
    try:
        return desk.service.keep_upload(desk.picture(picture))
    except DarkroomError:
        raise Refused(
            f"there is no picture '{picture[:40]}'; upload it first, and use the id that comes back."
        ) from None


def attached_of(wish: Wish, desk: Desk, owner: str) -> Attachments:
    """What the wish hangs on its model, by names."""
    find = finder(paths=False)
    loras = (Lora(find("loras", w.name), w.weight, w.text_weight) for w in wish.loras)
    controls = (
        Control(
            find("controlnets", w.name),
            picture_of(w.picture, desk, owner),
            w.scale,
            w.start,
            w.end,
            w.mode,
        )
        for w in wish.controls
    )
    prompts = (
        ImagePrompt(
            find("ip_adapters", w.name),
            find("ip_adapters", w.encoder),
            picture_of(w.picture, desk, owner),
            w.scale,
        )
        for w in wish.image_prompts
    )
    embeddings = (find("embeddings", name) for name in wish.embeddings)
    return Attachments(tuple(loras), tuple(controls), tuple(prompts), tuple(embeddings))


def told(request: Request) -> dict[str, Any]:
    """A request as clients may see it: names, and no path of this machine."""
    values = request.to_json()
    attached = request.attached
    hidden = ("attached", "others", "allow_pickle")
    plain = {name: value for name, value in values.items() if name not in hidden}
    return plain | {
        "init_image": request.init_image is not None,
        "mask": request.mask is not None,
        "loras": [
            {"name": name_of(one.file), "weight": one.weight, "text_weight": one.text_weight}
            for one in attached.loras
        ],
        "controls": [name_of(one.model) for one in attached.controls],
        "image_prompts": [name_of(one.model) for one in attached.image_prompts],
        "embeddings": [name_of(one) for one in attached.embeddings],
    }
