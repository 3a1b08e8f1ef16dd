"""Whether the parts of a model belong together, found before the first step rather than in it."""

from collections.abc import Mapping

from darkroom.errors import DarkroomError
from darkroom.families.source import Source
from darkroom.weights.facts import text_width

VAE_LATENTS = ("decoder.conv_in.weight", "decoder.layers.0.weight")
"""The first layer of a decoder, of a large one or a tiny one."""


def check_latents(source: Source, channels: int) -> None:
    """Raise DarkroomError unless the autoencoder has as many channels as the network draws."""
    shapes = source.store("vae").header.shapes
    shape = next((shapes[name] for name in VAE_LATENTS if name in shapes), (0, channels))
    if shape[1] != channels:
        raise DarkroomError(
            f"the autoencoder in '{source.store('vae').header.source}' has latents of {shape[1]} channels, "
            f"and the network of '{source.path}' draws {channels}; give the model's own autoencoder."
        )


def check_text(source: Source, parts: tuple[str, ...], width: int) -> None:
    """Raise DarkroomError unless the text encoders, side by side, are as wide as what the network reads."""
    widths = [text_width(source.store(part).header.shapes) for part in parts]
    if sum(widths) != width:
        found = " and ".join(map(str, widths))
        raise DarkroomError(
            f"the network of '{source.path}' reads text {width} wide, and {' and '.join(parts)} write "
            f"{found}; give the text encoders of this very model."
        )


def check_inputs(source: Source, channels: int, known: Mapping[int, str]) -> None:
    """Raise DarkroomError for a network that wants to see what no request can show it."""
    if channels not in known:
        able = ", ".join(f"{number} ({what})" for number, what in known.items())
        raise DarkroomError(
            f"the network of '{source.path}' takes {channels} channels, which nothing here gives; known are "
            f"{able}: choose such a model."
        )
