"""Options that hang things on a model: LoRAs, ControlNets, picture prompts and embeddings."""

from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darkroom.errors import InvalidRequest

if TYPE_CHECKING:
    from darkroom.studio.attachments import Attachments, Control, ImagePrompt

OPTIONS = (
    click.option("--lora", "loras", metavar="FILE[:WEIGHT]", multiple=True, help="May come again."),
    click.option(
        "--embedding", "embeddings", metavar="FILE", multiple=True, help="Textual inversion, by its name."
    ),
    click.option("--control-net", "nets", metavar="FILE", multiple=True, help="May come again."),
    click.option("--control-image", "hints", metavar="PICTURE", multiple=True, help="What each follows."),
    click.option(
        "--control-strength", "strengths", type=float, multiple=True, help="How strongly.  [default: 1]"
    ),
    click.option("--ip-adapter", metavar="FILE", help="Prompt with a picture, too."),
    click.option("--ip-image", metavar="PICTURE", help="That picture."),
    click.option("--ip-encoder", metavar="FOLDER", help="The CLIP image encoder that goes with it."),
    click.option("--ip-strength", type=float, default=1.0, show_default=True, help="How strongly."),
)


def attachment_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options above to a command."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def take_attachments(settings: dict[str, Any]) -> "Attachments":
    """Take the values of the options out of ``settings``. Raises DarkroomError where they do not fit."""
    from darkroom.studio.attachments import Attachments, Lora
    from darkroom.studio.home import find

    loras = [Lora.parse(text) for text in settings.pop("loras")]
    named = [Lora(find("loras", str(one.file)), one.weight, one.text_weight) for one in loras]
    controls = _controls(settings.pop("nets"), settings.pop("hints"), settings.pop("strengths"))
    picture = _image_prompt(
        *(settings.pop(f"ip_{name}") for name in ("adapter", "image", "encoder", "strength"))
    )
    embeddings = tuple(find("embeddings", name) for name in settings.pop("embeddings"))
    return Attachments(tuple(named), controls, picture, embeddings)


def _controls(
    nets: tuple[str, ...], hints: tuple[str, ...], strengths: tuple[float, ...]
) -> "tuple[Control, ...]":
    from darkroom.studio.attachments import Control
    from darkroom.studio.home import find

    if len(nets) != len(hints) or len(strengths) > len(nets):
        raise InvalidRequest(
            f"{len(nets)} --control-net, {len(hints)} --control-image and {len(strengths)} "
            "--control-strength do not fit; give each ControlNet its picture."
        )
    together = zip_longest(nets, hints, strengths, fillvalue=1.0)
    return tuple(Control(find("controlnets", str(net)), Path(str(hint)), how) for net, hint, how in together)


def _image_prompt(
    adapter: str | None, image: str | None, encoder: str | None, strength: float
) -> "tuple[ImagePrompt, ...]":
    from darkroom.studio.attachments import ImagePrompt

    if adapter is None and image is None and encoder is None:
        return ()
    if adapter is None or image is None or encoder is None:
        raise InvalidRequest("an IP-Adapter needs --ip-adapter, --ip-image and --ip-encoder; give all three.")
    return (ImagePrompt(Path(adapter), Path(encoder), Path(image), strength),)
