"""What a request hangs on a model while its pictures are made: LoRAs, ControlNets, picture prompts."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from darkroom.adapters.controls import controlled
from darkroom.adapters.image_prompts import seeing
from darkroom.adapters.lora import attach
from darkroom.adapters.textual_inversion import read_embedding
from darkroom.families.family import Model
from darkroom.studio.attachments import Control, Lora
from darkroom.studio.hung import Extra, Hung, Told
from darkroom.studio.pictures import read, read_to_fit, signal
from darkroom.studio.request import Request
from darkroom.weights.adapter_formats import read_adapter
from darkroom.weights.store import open_store


@contextmanager
def hanging(model: Model, request: Request) -> Iterator[Hung]:
    """Hang what a filled request asks for on the model; it is as it was when the block is left.

    Raises DarkroomError for what does not fit the model.
    """
    attached = request.attached
    with ExitStack() as stack:
        notices = [stack.enter_context(_lora(model, lora, request)) for lora in attached.loras]
        pictures = [stack.enter_context(_pictures(model, request))] if attached.image_prompts else []
        embeddings = {
            path.stem: read_embedding(open_store(path, request.allow_pickle), path.stem).vectors
            for path in attached.embeddings
        }
        network, hints = _controlled(model, request)
        breaks = [share for control in attached.controls for share in (control.start, control.end)]
        yield Hung(network, Told((*pictures, *hints), breaks), embeddings, tuple(notices))


@contextmanager
def _lora(model: Model, lora: Lora, request: Request) -> Iterator[str]:
    """What became of one LoRA, while it is on the model."""
    adapter = read_adapter(open_store(lora.file, request.allow_pickle))
    parts = {name: part for name, part in model.parts.items() if name != "vae"}
    attached = attach(parts, adapter, lora.weight, text_weight=lora.text_weight, block_weights=lora.blocks)
    try:
        yield f"{lora.file.name}: {attached}"
    finally:
        attached.remove()


def _controlled(model: Model, request: Request) -> tuple[nn.Module, list[Extra]]:
    """The network with its ControlNets, and what each of them is told."""
    controls = request.attached.controls
    if not controls:
        return model.network, []
    network = controlled(model.network, [control.model for control in controls], request.allow_pickle)
    return network, [_hint(i, control, model, request) for i, control in enumerate(controls)]


def _hint(number: int, control: Control, model: Model, request: Request) -> Extra:
    """The picture that a ControlNet follows, and how strongly it does at each time."""
    picture = signal(read_to_fit(control.picture, request.width or 0, request.height or 0))
    hint = model.control_hint(picture)

    def told(first: float, end: float, wanted: bool) -> dict[str, Tensor]:
        acts = control.start <= first and end <= control.end
        scale = torch.tensor([control.scale if acts else 0.0])
        return {f"control.{number}.hint": hint, f"control.{number}.scale": scale}

    return told


@contextmanager
def _pictures(model: Model, request: Request) -> Iterator[Extra]:
    """What the network sees of the pictures among its prompts, while it can."""
    prompts = request.attached.image_prompts
    shown = [(one.model, one.encoder, read(one.picture).pixels) for one in prompts]
    with seeing(model.network, shown) as tokens:
        scales = [torch.tensor([one.scale]) for one in prompts]

        def told(first: float, end: float, wanted: bool) -> dict[str, Tensor]:
            parts: dict[str, Tensor] = {}
            for i, (seen, scale) in enumerate(zip(tokens, scales, strict=True)):
                tail = f".{i}" if i else ""
                parts |= {f"image_tokens{tail}": seen.wanted if wanted else seen.nothing}
                parts |= {f"image_scale{tail}": scale}
            return parts

        yield told
