"""What requests hang on a model while their pictures are made: LoRAs, ControlNets, picture prompts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from darkroom.adapters.controls import controlled, hint_of, load_control, mode_of
from darkroom.adapters.image_prompts import seeing, tokens_of
from darkroom.adapters.lora import attach
from darkroom.adapters.textual_inversion import Embedding, read_embedding
from darkroom.families.family import Model
from darkroom.networks.ip_adapter import IPAdapter
from darkroom.networks.posterior import LatentAutoencoder
from darkroom.studio.attachments import Control, ImagePrompt, Lora
from darkroom.studio.hung import Extra, Hung, Told
from darkroom.studio.pictures import read, read_to_fit, signal
from darkroom.studio.prompts import SLACK
from darkroom.studio.request import Request
from darkroom.weights.adapter_formats import config_of, read_adapter
from darkroom.weights.store import open_store


@contextmanager
def hanging(model: Model, request: Request) -> Iterator[Callable[[Request], Hung]]:
    """Hang what a filled request asks for on the model; it is as it was when the block is left.

    Yields what tells of a request that names the same LoRAs, ControlNets and IP-Adapters, as this one does:
    such pictures are made together, while control pictures, strengths, picture prompts and embeddings are
    each one's own. Raises DarkroomError for what does not fit the model.
    """
    attached, pickles = request.attached, request.allow_pickle
    with ExitStack() as stack:
        notices = [stack.enter_context(_lora(model, lora, pickles)) for lora in attached.loras]
        paths = [one.model for one in attached.image_prompts]
        seen = stack.enter_context(seeing(model.network, paths, pickles)) if paths else []
        controls = [load_control(control.model, model.network, pickles) for control in attached.controls]
        nets = [control.network for control in controls]
        network = controlled(model.network, nets) if nets else model.network
        accounts = [*(one.account for one in seen), *(one.account for one in controls)]
        named = [*paths, *(control.model for control in attached.controls)]
        notices += [f"{path.name}: {told}" for path, told in zip(named, accounts, strict=True)]
        adapters = [one.adapter for one in seen]
        yield lambda other: _hung(model, other, network, nets, adapters, notices)


def _hung(
    model: Model,
    request: Request,
    network: nn.Module,
    nets: Sequence[nn.Module],
    adapters: Sequence[IPAdapter],
    notices: Sequence[str],
) -> Hung:
    """What one of the requests is told and knows."""
    attached = request.attached
    hints = [
        _hint(i, control, net, model, request)
        for i, (control, net) in enumerate(zip(attached.controls, nets, strict=True))
    ]
    pictures = [
        _picture(i, shown, adapter)
        for i, (shown, adapter) in enumerate(zip(attached.image_prompts, adapters, strict=True))
    ]
    breaks = [share for control in attached.controls for share in (control.start, control.end)]
    words = [_embedding(path, model, request.allow_pickle) for path in attached.embeddings]
    embeddings = {word.name: word.vectors for word in words}
    return Hung(network, Told((*pictures, *hints), breaks), embeddings, (*notices, *_unused(words, request)))


@contextmanager
def _lora(model: Model, lora: Lora, allow_pickle: bool) -> Iterator[str]:
    """What became of one LoRA, while it is on the model."""
    adapter = read_adapter(open_store(lora.file, allow_pickle), config_of(lora.file))
    parts = {name: part for name, part in model.parts.items() if name != "vae"}
    attached = attach(parts, adapter, lora.weight, text_weight=lora.text_weight, block_weights=lora.blocks)
    try:
        yield f"{lora.file.name}: {attached}"
    finally:
        attached.remove()


def _hint(number: int, control: Control, net: nn.Module, model: Model, request: Request) -> Extra:
    """The picture that a ControlNet follows, and how strongly it does at each time."""
    picture = signal(read_to_fit(control.picture, request.width or 0, request.height or 0))
    autoencoder = cast(LatentAutoencoder, model.parts["vae"])
    hint, mode = hint_of(net, picture, autoencoder), mode_of(net, control.mode)
    always = {"hint": hint} if mode is None else {"hint": hint, "mode": mode}

    def told(first: float, end: float, wanted: bool) -> Mapping[str, Tensor]:
        acts = control.start <= first + SLACK and end - SLACK <= control.end
        parts = always | {"scale": torch.tensor([control.scale if acts else 0.0])}
        return {f"control.{number}.{name}": part for name, part in parts.items()}

    return told


def _picture(number: int, shown: ImagePrompt, adapter: IPAdapter) -> Extra:
    """What the network sees of a picture among its prompts."""
    seen = tokens_of(adapter, shown.encoder, read(shown.picture).pixels)
    tail, scale = f".{number}" if number else "", torch.tensor([shown.scale])

    def told(first: float, end: float, wanted: bool) -> Mapping[str, Tensor]:
        return {f"image_tokens{tail}": seen.wanted if wanted else seen.nothing, f"image_scale{tail}": scale}

    return told


def _embedding(path: Path, model: Model, allow_pickle: bool) -> Embedding:
    """The word in a file, called as the file is. Raises DarkroomError where it is for another model."""
    word = read_embedding(open_store(path, allow_pickle), path.stem)
    tables = {
        part: parameter.shape[1]
        for part, module in model.parts.items()
        for name, parameter in module.named_parameters()
        if part.startswith("text_encoder") and name.endswith("token_embedding.weight")
    }
    word.check(tables)
    return word


def _unused(words: Sequence[Embedding], request: Request) -> list[str]:
    """Embeddings that no prompt speaks of."""
    prompts = f"{request.prompt} {request.negative}".lower()
    return [f"{word.name}: unused, no prompt has it" for word in words if word.name.lower() not in prompts]
