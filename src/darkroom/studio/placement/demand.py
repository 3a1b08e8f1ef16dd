"""What requests take of a machine's memory, and models placed accordingly while they are developed."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from torch import nn

from darkroom.families.family import Model
from darkroom.networks import packed
from darkroom.studio.engine import MAX_ROWS
from darkroom.studio.guides import GUIDES
from darkroom.studio.placement.blocks import nbytes
from darkroom.studio.placement.budget import NETWORK, TEXT, VAE, Plan, Size, Working, plan
from darkroom.studio.placement.memory import budget_of
from darkroom.studio.placement.offload import offloaded, sizes_of
from darkroom.studio.placement.precision import DTYPES, default_precision
from darkroom.studio.request import Request
from darkroom.weights.origin import is_absent, origin_of

ASIDE = 1 << 27
"""Bytes that computing takes however small the picture is: what libraries keep for the next time."""
POSITION = 16 * 1024
"""Numbers that a network has in memory at once for a position of the latents, a row. Measured with
``python -m bench.memory``, and rounded up: 11,000 of Stable Diffusion XL, 16,000 of FLUX.1.
"""
PIXEL = 4.5
"""Numbers that an autoencoder has in memory at once for a pixel and a channel of its finest level but one:
what goes into its last convolution of doubled size and comes out, each also as the convolution wants it.
"""
TILES = (1024, 512)
"""Sides of the tiles, in pixels, that an autoencoder may work in where a whole picture is too large."""
CHANNELS = 256
"""Of that level, where the autoencoder does not say."""


@contextmanager
def placed(models: Sequence[Model], requests: Sequence[Request], setting: str) -> Iterator[list[Request]]:
    """While the block lasts, the weights of each filled request's model come and go as the setting wants it.

    Yields the requests, told to decode in tiles where there is no other way. Raises DarkroomError where
    a picture takes more memory than there is.
    """
    told, spent = list(requests), 0
    with ExitStack() as stack:
        for model in {id(model): model for model in models}.values():
            mine = [i for i, one in enumerate(models) if one is model]
            working = working_of(model, [requests[i] for i in mine])
            budget = budget_of(setting, in_memory(model.parts))
            sizes = sizes_of(model.parts)
            found = plan(sizes, working, replace(budget, nbytes=budget.nbytes - spent))
            spent += found.peak
            if comes_from_file(model.parts):
                stack.enter_context(offloaded(model.parts, found))
                spent += keep_packed(model.parts, sizes, found, budget.nbytes - spent)
            for i in mine:
                told[i] = in_tiles(requests[i], found.tile)
        yield told


def keep_packed(parts: Mapping[str, nn.Module], sizes: Mapping[str, Size], found: Plan, room: float) -> int:
    """Let what stays in memory keep its packed weights, the largest part first, where there is ``room`` for
    them; returns their bytes.
    """
    taken = 0
    for part in sorted(parts, key=lambda part: -sizes[part].total):
        keeps = part in found.stays and taken + sizes[part].total <= room
        packed.keep(parts[part], keeps)
        taken += sizes[part].total if keeps else 0
    return taken


def in_tiles(request: Request, tile: int | None) -> Request:
    """The request, told to work in these tiles if it is larger and says nothing itself."""
    larger = tile is not None and max(request.width or 0, request.height or 0) > tile
    return replace(request, vae_tile=tile) if larger and request.vae_tile is None else request


def working_of(model: Model, requests: Sequence[Request]) -> Working:
    """Bytes that computing takes beside the weights in each phase of developing these filled requests."""
    item = max(DTYPES[request.precision or default_precision()].itemsize for request in requests)
    asked = sum(rows_of(request) * positions_of(request, model) for request in requests)
    most = MAX_ROWS * max(positions_of(request, model) for request in requests)
    beside = max(hanging_bytes(request) for request in requests)
    pixel = int(PIXEL * channels_of(model.parts.get("vae")) * item)

    def decoding(tile: int | None) -> int:
        return ASIDE + max(pixel * pixels_of(request, request.vae_tile or tile) for request in requests)

    phases = {TEXT: ASIDE, NETWORK: ASIDE + beside + POSITION * item * min(asked, most), VAE: decoding(None)}
    return Working(phases, {tile: decoding(tile) for tile in TILES if decoding(tile) < phases[VAE]})


def channels_of(vae: nn.Module | None) -> int:
    """Of an autoencoder's finest level but one. The starter's, which is no part named so, has none that
    counts: it takes less for a pixel than the network does.
    """
    widths = getattr(getattr(vae, "config", None), "block_out_channels", (CHANNELS,))
    return 0 if vae is None else max(widths[:2])


def rows_of(request: Request) -> int:
    """How many rows its pictures make in one pass of the network."""
    guided = GUIDES[request.guide].calls if request.cfg_scale != 1 else 1
    return request.count * (guided + (1 if request.pag_scale else 0))


def positions_of(request: Request, model: Model) -> int:
    """Of its latents."""
    return (request.width or 0) * (request.height or 0) // model.downscale**2


def pixels_of(request: Request, tile: int | None) -> int:
    """What its autoencoder sees at once."""
    sides = (request.width or 0, request.height or 0)
    high, wide = (side if tile is None else min(side, tile) for side in sides)
    return high * wide


def hanging_bytes(request: Request) -> int:
    """What ControlNets and picture prompts add to a network: about their files."""
    attached = request.attached
    paths = [control.model for control in attached.controls]
    paths += [path for shown in attached.image_prompts for path in (shown.model, shown.encoder)]
    return sum(map(_file_bytes, dict.fromkeys(paths)))


def comes_from_file(parts: Mapping[str, nn.Module]) -> bool:
    """Whether any of a model's weights can be dropped and read again."""
    return any(origin_of(one) is not None for part in parts.values() for one in part.parameters())


def in_memory(parts: Mapping[str, nn.Module]) -> int:
    """Bytes of a model's weights that are in memory now and not the pages of its file."""
    found = 0
    for part in parts.values():
        for one in part.parameters():
            origin = origin_of(one)
            if not is_absent(one) and not (origin and origin.mapped):
                found += nbytes(one)
    return found


def _file_bytes(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*.safetensors")
    return sum(file.stat().st_size for file in files)
