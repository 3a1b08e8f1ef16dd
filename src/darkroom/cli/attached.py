"""Options that hang things on a model: LoRAs, ControlNets, picture prompts and embeddings."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darkroom.errors import InvalidRequest

if TYPE_CHECKING:
    from darkroom.studio.attachments import Attachments, Control, ImagePrompt

Find = Callable[[str, str], Path]
"""(kind, path or name) -> file."""

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
    click.option(
        "--control-start", "starts", type=float, multiple=True, help="From which share of the steps on."
    ),
    click.option("--control-end", "ends", type=float, multiple=True, help="Up to which share, at most 1."),
    click.option(
        "--control-mode",
        "modes",
        type=int,
        multiple=True,
        help="The kind of picture, of one that knows many.",
    ),
    click.option("--ip-adapter", metavar="FILE", help="Prompt with a picture, too."),
    click.option("--ip-image", metavar="PICTURE", help="That picture."),
    click.option("--ip-encoder", metavar="FILE", help="The CLIP image encoder that goes with it."),
    click.option("--ip-strength", type=float, default=1.0, show_default=True, help="How strongly."),
)


def attachment_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options above to a command."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def take_attachments(settings: dict[str, Any], elsewhere: bool = False) -> "Attachments":
    """Take the values of the options out of ``settings``. Raises DarkroomError where they do not fit.

    ``elsewhere``: files are named as they are on a server; pictures lie here in any case.
    """
    from darkroom.studio.attachments import Attachments, Lora

    find = _by_name if elsewhere else _found
    loras = [Lora.parse(text) for text in settings.pop("loras")]
    named = [replace(one, file=find("loras", str(one.file))) for one in loras]
    nets, hints = settings.pop("nets"), settings.pop("hints")
    controls = _controls(nets, hints, {name: settings.pop(f"{name}s") for name in PER_CONTROL}, find)
    picture = _image_prompt(
        find, *(settings.pop(f"ip_{name}") for name in ("adapter", "image", "encoder", "strength"))
    )
    embeddings = tuple(find("embeddings", name) for name in settings.pop("embeddings"))
    return Attachments(tuple(named), controls, picture, embeddings)


PER_CONTROL = {"strength": "scale", "start": "start", "end": "end", "mode": "mode"}
"""What may be said of each ControlNet, in their order, and what a Control calls it."""


def _controls(
    nets: tuple[str, ...], hints: tuple[str, ...], told: dict[str, tuple[Any, ...]], find: Find
) -> "tuple[Control, ...]":
    """Each with its picture, and with what is said of it; the last ones may be left as they are."""
    from darkroom.studio.attachments import Control

    if len(nets) != len(hints):
        raise InvalidRequest(
            f"{len(nets)} --control-net and {len(hints)} --control-image do not fit; "
            "give each ControlNet its picture."
        )
    for name, values in told.items():
        if len(values) > len(nets):
            raise InvalidRequest(
                f"{len(values)} --control-{name} and {len(nets)} --control-net do not fit; give one for each."
            )
    return tuple(
        Control(
            find("controlnets", net),
            _there(hint),
            **{our: told[name][i] for name, our in PER_CONTROL.items() if i < len(told[name])},
        )
        for i, (net, hint) in enumerate(zip(nets, hints, strict=True))
    )


def _image_prompt(
    find: Find, adapter: str | None, image: str | None, encoder: str | None, strength: float
) -> "tuple[ImagePrompt, ...]":
    from darkroom.studio.attachments import ImagePrompt

    if adapter is None and image is None and encoder is None:
        return ()
    if adapter is None or image is None or encoder is None:
        raise InvalidRequest("an IP-Adapter needs --ip-adapter, --ip-image and --ip-encoder; give all three.")
    there = find("ip_adapters", adapter), find("encoders", encoder)
    return (ImagePrompt(*there, _there(image), strength),)


def _found(kind: str, name: str) -> Path:
    """The file of a path or a bare name; encoders have no folder, and so no names."""
    from darkroom.studio.home import find

    return _there(name) if kind == "encoders" else find(kind, name)


def _by_name(kind: str, name: str) -> Path:
    """The name alone, which a server will look up."""
    return Path(name)


def _there(name: str) -> Path:
    """The path, before anything is loaded for it. Raises InvalidRequest where nothing is there."""
    if not Path(name).exists():
        raise InvalidRequest(f"there is no file '{name}'; check the path.")
    return Path(name)
