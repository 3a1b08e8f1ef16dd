"""What OpenAI's clients send, and what of it can be had."""

from typing import Any, Literal

from fastapi import File, UploadFile
from pydantic import ConfigDict, Field

from darkroom.server.errors import Refused
from darkroom.server.sent import Sent

STEPS = {"low": 8, "high": 32, "hd": 32, "xhigh": 48, "max": 64}
"""How many steps each quality takes; the others take as many as the model likes."""
FAITHFUL = {"high": 0.5, "low": 0.75}
"""How much of a picture is made anew for each ``input_fidelity``."""
PLAIN_STRENGTH, VARIED_STRENGTH, INPAINT_STRENGTH = 0.75, 0.6, 1.0


class Fields(Sent):
    """What all three calls share, and further down what OpenAI has not: clients send it as ``extra_body``.

    A name that is not here is refused. ``user`` and ``safety_identifier`` are handed back and not used.
    """

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    n: int | None = Field(None, ge=1)
    size: str | None = Field(None, description="'auto' is the model's own; else WIDTHxHEIGHT.")
    response_format: Literal["b64_json", "url"] | None = None
    user: str | None = None

    seed: int | None = Field(None, ge=0)
    steps: int | None = Field(None, ge=1)
    negative_prompt: str = ""
    cfg_scale: float | None = Field(None, allow_inf_nan=False)
    sampler: str | None = None
    scheduler: str | None = None

    @property
    def sides(self) -> tuple[int | None, int | None]:
        """Width and height in pixels; None leaves them to the model. Raises Refused."""
        if self.size in (None, "auto"):
            return None, None
        try:
            width, height = map(int, self.size.split("x"))
        except ValueError:
            raise Refused(f"size '{self.size}' is not like 512x512 or auto.", 400, param="size") from None
        return width, height

    def asked(self) -> dict[str, Any]:
        """The fields of a Request that are the same for all three."""
        width, height = self.sides
        plain = {"steps": self.steps, "cfg_scale": self.cfg_scale, "sampler": self.sampler}
        seed = {} if self.seed is None else {"seed": self.seed}
        size = {"width": width, "height": height, "count": self.n or 1}
        return plain | seed | size | {"negative": self.negative_prompt, "scheduler": self.scheduler}


class Painted(Fields):
    """What generations and edits share."""

    prompt: str = Field(description="What the picture shows.")
    quality: str | None = Field(None, description=f"As many steps as the model likes, or {STEPS}.")
    background: Literal["auto", "opaque", "transparent"] | None = None
    output_format: Literal["png", "jpeg", "webp"] = "png"
    output_compression: int | None = None
    stream: bool | None = None
    partial_images: int | None = Field(None, ge=0, le=3)
    safety_identifier: str | None = None
    moderation: Literal["low", "auto"] | None = Field(None, description="Nothing is moderated.")

    def asked(self) -> dict[str, Any]:
        """Raises Refused for what cannot be had."""
        if self.background == "transparent":
            raise Refused("backgrounds are opaque here; leave background out.", 400, param="background")
        if self.output_compression not in (None, 100):
            raise Refused(
                "the compression cannot be chosen here; leave output_compression out.",
                400,
                param="output_compression",
            )
        return super().asked() | {"steps": self._steps()}

    def _steps(self) -> int | None:
        plain = self.quality in (None, "auto", "standard", "medium")
        if not plain and self.quality not in STEPS:
            names = ", ".join(("auto", "standard", "medium", *STEPS))
            raise Refused(f"there is no quality '{self.quality}'; choose from {names}.", 400, param="quality")
        if not plain and self.steps is not None:
            raise Refused("quality and steps do not go together; leave one out.", 400, param="quality")
        return self.steps if plain else STEPS[self.quality or ""]


class Generation(Painted):
    """POST /v1/images/generations."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"prompt": "a red cube on top of a blue sphere", "n": 2, "size": "auto"}]
        }
    )

    style: Literal["vivid", "natural"] | None = None

    def asked(self) -> dict[str, Any]:
        """Raises Refused for what cannot be had."""
        if self.style is not None:
            raise Refused("styles cannot be had here; say it in the prompt.", 400, param="style")
        return super().asked()


class Edit(Painted):
    """POST /v1/images/edits, a form. ``strength`` is how much is made anew, where there is no mask."""

    image: UploadFile | None = File(None)
    images: list[UploadFile] = File([], alias="image[]")
    mask: UploadFile | None = File(None, description="Painted where it is transparent.")
    input_fidelity: Literal["high", "low"] | None = None
    strength: float | None = Field(None, gt=0, le=1, allow_inf_nan=False)


class Variation(Fields):
    """POST /v1/images/variations, a form. ``prompt`` need not be there: the picture may tell its own."""

    image: UploadFile = File()
    prompt: str | None = None
    strength: float = Field(VARIED_STRENGTH, gt=0, le=1, allow_inf_nan=False)


def the_picture(edit: Edit) -> UploadFile:
    """The one picture of a form. Raises Refused for none and for several."""
    files = [*([edit.image] if edit.image else []), *edit.images]
    if len(files) != 1:
        raise Refused(f"one picture can be edited, not {len(files)}; send one.", 400, param="image")
    return files[0]
