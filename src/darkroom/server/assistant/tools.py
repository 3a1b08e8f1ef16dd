"""Tools for assistants: make pictures, look at them, change them, vary them."""

import threading
from collections.abc import Mapping
from functools import partial
from io import BytesIO
from typing import Annotated, Any

import anyio
from anyio import from_thread, to_thread
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from PIL import Image as Pillow
from PIL import ImageDraw
from pydantic import BaseModel, Field

from darkroom import __version__
from darkroom.errors import DarkroomError
from darkroom.server.assistant.studios import Made, Studio
from darkroom.server.wishes import Wish
from darkroom.text.wildcards import escape

INSTRUCTIONS = """
Darkroom makes pictures from words. generate gives pictures with ids; edit changes one by its id, all over or
in an area; vary makes pictures much like one; look shows one again. The same seed and settings make the same
picture, so change one thing at a time. models and samplers tell what can be named.
"""
LOST = {
    "controls": "its ControlNet is left out: what that followed is not known any more.",
    "image_prompts": "its picture prompts are left out: the pictures are not known any more.",
}
"""What a variation cannot have of the picture that it is of."""
FROM_NOISE = 0.35
"""How far a variation goes towards another seed, where none is asked for."""
MOST = 8
"""Pictures of one call: an assistant looks at all of them."""
SHOWN = (
    "prompt",
    "negative",
    "seed",
    "width",
    "height",
    "steps",
    "cfg_scale",
    "sampler",
    "scheduler",
    "model",
)

Content = list[str | Image]
PictureId = Annotated[str, Field(description="The id of a picture, from an earlier result.")]
Count = Annotated[int, Field(ge=1, le=MOST, description="How many pictures.")]
Seed = Annotated[int | None, Field(description="The same seed makes the same picture; none: a random one.")]
Steps = Annotated[int | None, Field(description="More are finer and slower; none: as the model likes.")]


class Area(BaseModel):
    """A rectangle, in shares of the picture's width and height from its upper left corner."""

    left: float = Field(ge=0, le=1)
    top: float = Field(ge=0, le=1)
    right: float = Field(ge=0, le=1)
    bottom: float = Field(ge=0, le=1)


class Stopped(Exception):
    """The assistant does not want it any more."""


def create_server(studio: Studio) -> MCPServer[Any]:
    """A server of tools over a studio."""
    server: MCPServer[Any] = MCPServer(
        "darkroom", version=__version__, instructions=INSTRUCTIONS, log_level="WARNING"
    )

    @server.tool(structured_output=False)
    async def generate(
        ctx: Context[Any, Any],
        prompt: Annotated[str, Field(description="What the picture shows.")],
        negative: Annotated[str, Field(description="What to keep out of it.")] = "",
        count: Count = 1,
        seed: Seed = None,
        width: Annotated[int | None, Field(description="In pixels; none: the model's own.")] = None,
        height: Annotated[int | None, Field(description="In pixels; none: the model's own.")] = None,
        steps: Steps = None,
        cfg_scale: Annotated[float | None, Field(description="How closely to follow the prompt.")] = None,
        sampler: Annotated[str | None, Field(description="A name from samplers.")] = None,
        scheduler: Annotated[str | None, Field(description="A name from samplers.")] = None,
        model: Annotated[str | None, Field(description="A name from models.")] = None,
    ) -> Content:
        """Make pictures from words. Returns them with their ids and settings."""
        plain = {"prompt": prompt, "negative": negative, "count": count, "seed": seed, "width": width}
        more = {"height": height, "steps": steps, "cfg_scale": cfg_scale, "sampler": sampler}
        return await _shown(studio, plain | more | {"scheduler": scheduler, "model": model}, ctx)

    @server.tool(structured_output=False)
    async def look(picture: PictureId) -> Content:
        """Show a picture again, with what made it."""
        return await _in_thread(_one, studio, picture)

    @server.tool(structured_output=False)
    async def edit(
        ctx: Context[Any, Any],
        picture: PictureId,
        prompt: Annotated[str, Field(description="What the whole picture shows afterwards.")],
        strength: Annotated[
            float | None, Field(gt=0, le=1, description="How much is made anew; none: 0.6, in an area all.")
        ] = None,
        area: Annotated[Area | None, Field(description="Change only this part.")] = None,
        negative: str = "",
        count: Count = 1,
        seed: Seed = None,
        steps: Steps = None,
    ) -> Content:
        """Change a picture: all over by strength, or only within an area (inpainting)."""
        wish = await _in_thread(_edit, studio, picture, area)
        wish |= {"prompt": prompt, "negative": negative, "count": count, "seed": seed, "steps": steps}
        return await _shown(studio, wish | {"strength": strength or (0.6 if area is None else 1.0)}, ctx)

    @server.tool(structured_output=False)
    async def vary(
        ctx: Context[Any, Any],
        picture: PictureId,
        strength: Annotated[float, Field(gt=0, le=1, description="How far from the picture.")] = FROM_NOISE,
        count: Count = 4,
        seed: Seed = None,
    ) -> Content:
        """Make pictures like one: with its words and settings, a little otherwise."""
        wish, lost = await _in_thread(_vary, studio, picture, strength, seed)
        return [*lost, *await _shown(studio, wish | {"count": count}, ctx)]

    @server.tool(structured_output=False)
    async def models() -> Content:
        """The models that can be named."""
        found = await _in_thread(studio.models)
        lines = [f"{m['name']} ({m['family']}{', the default' if m['is_default'] else ''})" for m in found]
        return ["\n".join(lines)]

    @server.tool(structured_output=False)
    async def samplers() -> Content:
        """The samplers and schedulers that can be named, and what each is good for."""
        found = await _in_thread(studio.samplers)
        lines = [f"{kind[:-1]} {one['name']}: {one['when']}" for kind, some in found.items() for one in some]
        return ["\n".join(lines)]

    return server


async def _in_thread(work: Any, *args: Any) -> Any:
    """What blocks, with errors as assistants read them."""
    try:
        return await to_thread.run_sync(partial(work, *args))
    except DarkroomError as error:
        raise ToolError(str(error)) from error


async def _shown(studio: Studio, wish: Mapping[str, Any], ctx: Context[Any, Any]) -> Content:
    """The pictures of a wish. An assistant that gives up cancels them."""
    asked = {name: value for name, value in wish.items() if value is not None}
    made = await _made(studio, asked, ctx)
    shown: Content = [*made.notices]
    for picture in made.pictures:
        shown += await _in_thread(_one, studio, picture)
    return shown


async def _made(studio: Studio, wish: Mapping[str, Any], ctx: Context[Any, Any]) -> Made:
    gone = threading.Event()

    def heard(step: int, steps: int) -> None:
        if gone.is_set():
            raise Stopped
        from_thread.run(ctx.report_progress, float(step), float(steps) if steps else None)

    try:
        return await to_thread.run_sync(partial(studio.make, wish, heard), abandon_on_cancel=True)
    except DarkroomError as error:
        raise ToolError(str(error)) from error
    except anyio.get_cancelled_exc_class():
        gone.set()
        raise


def _one(studio: Studio, picture: str) -> Content:
    """Its id, what made it, and how it looks."""
    request = studio.request(picture)
    settings = ", ".join(f"{name} {request[name]!r}" for name in SHOWN if request[name] not in (None, ""))
    return [f"picture {picture}: {settings}", Image(data=studio.picture(picture), format="png")]


def _edit(studio: Studio, picture: str, area: Area | None) -> dict[str, Any]:
    """A wish that starts from a picture, at its size and by its model."""
    request = studio.request(picture)
    wish = {name: request[name] for name in ("width", "height", "model")} | {"init_image": picture}
    if area is not None:
        wish["mask"] = studio.keep(_mask(area, request["width"], request["height"]))
    return wish


def _mask(area: Area, width: int, height: int) -> bytes:
    """White within the area. Raises DarkroomError for an empty one."""
    box = (
        round(area.left * width),
        round(area.top * height),
        round(area.right * width),
        round(area.bottom * height),
    )
    if box[0] >= box[2] or box[1] >= box[3]:
        raise DarkroomError("the area is empty; right must be more than left, and bottom more than top.")
    mask = Pillow.new("L", (width, height))
    ImageDraw.Draw(mask).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill=255)
    buffer = BytesIO()
    mask.save(buffer, "PNG")
    return buffer.getvalue()


def _vary(
    studio: Studio, picture: str, strength: float, seed: int | None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The wish that made a picture, moved, and what of it is lost: its LoRAs and embeddings come along.

    Its words stay as they are, where choices were made before.
    """
    request = studio.request(picture)
    left = ("init_image", "mask", "count", *LOST)
    kept = {name: value for name, value in request.items() if name in Wish.model_fields and name not in left}
    kept |= {name: escape(request[name]) for name in ("prompt", "negative")}
    lost = tuple(sentence for name, sentence in LOST.items() if request.get(name))
    return kept | _moved(request, picture, strength, seed), lost


def _moved(request: Mapping[str, Any], picture: str, strength: float, seed: int | None) -> dict[str, Any]:
    """Towards other noise; what came from a picture starts from this one, with a seed of its own."""
    if request["init_image"]:
        return {"init_image": picture, "strength": strength, "seed": seed}
    from darkroom.studio.request import random_seed

    return {"variation_seed": random_seed() if seed is None else seed, "variation_strength": strength}
