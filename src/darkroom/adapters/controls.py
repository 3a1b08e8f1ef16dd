"""ControlNets beside the network that they steer, a U-Net, MMDiT or FLUX; read from a file or a folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from darkroom.adapters.reading import config_json, part_of
from darkroom.adapters.stamps import read_once
from darkroom.errors import DarkroomError, InvalidRequest
from darkroom.networks.autoencoder_kl import AutoencoderKL
from darkroom.networks.controlnet import ControlledUNet, ControlNet, ControlNetConfig
from darkroom.networks.flux import Flux, FluxConfig
from darkroom.networks.flux_controlnet import ControlledFlux, FluxControlNet, FluxControlNetConfig
from darkroom.networks.mmdit import MMDiT, MMDiTConfig
from darkroom.networks.mmdit_controlnet import ControlledMMDiT, MMDiTControlNet, MMDiTControlNetConfig
from darkroom.networks.posterior import LatentAutoencoder
from darkroom.networks.shapes import Shapes
from darkroom.networks.unet import UNet
from darkroom.networks.unet_config import UNetConfig
from darkroom.weights.loading import hollow, load_into
from darkroom.weights.store import open_store

Steered = UNetConfig | FluxConfig | MMDiTConfig
"""What a network that can be steered is like."""
ALIKE = ("context_width", "widths", "width", "text_width", "pooled_width")
"""Sizes that a ControlNet and the network that it steers have in common."""


@dataclass(frozen=True)
class Loaded:
    """A ControlNet, and what became of the tensors in its file."""

    network: nn.Module
    account: str


def controlled(network: nn.Module, controls: Sequence[nn.Module]) -> nn.Module:
    """The network with ControlNets of its kind beside it. Raises DarkroomError for one that takes none."""
    match network:
        case UNet():
            return ControlledUNet(network, controls)  # type: ignore[arg-type]
        case Flux():
            return ControlledFlux(network, controls)  # type: ignore[arg-type]
        case MMDiT():
            return ControlledMMDiT(network, controls)  # type: ignore[arg-type]
    raise DarkroomError("this model takes no ControlNets; leave them out, or choose another model.")


def load_control(path: Path, network: nn.Module, allow_pickle: bool = False) -> Loaded:
    """The ControlNet in a file or a folder, in the precision of the network that it is to steer.

    Raises DarkroomError where there is none, and where it was made for another kind of model.
    """
    if not isinstance(network, UNet | Flux | MMDiT):
        raise DarkroomError("this model takes no ControlNets; leave them out, or choose another model.")
    return _loaded(path, network.dtype, network.config, allow_pickle)


def hint_of(control: nn.Module, picture: Tensor, autoencoder: LatentAutoencoder) -> Tensor:
    """A picture (1, 3, H, W) in [-1, 1] as a ControlNet looks at it: in pixels, or as latents.

    These are the mean of the autoencoder's random code, so that a seed has no say in them. Raises
    DarkroomError where a ControlNet needs to know more of the autoencoder than a tiny one tells.
    """
    if isinstance(control, ControlNet):
        return (picture + 1) / 2
    if isinstance(control, FluxControlNet) and control.config.hint_channels is not None:
        return picture
    with torch.inference_mode():
        latents = autoencoder.encode(picture).mean
    if isinstance(control, MMDiTControlNet) and control.config.zero_pooled:
        # such ones were trained without the shift
        if not isinstance(autoencoder, AutoencoderKL):
            raise DarkroomError("this ControlNet needs the model's own autoencoder; leave the tiny one out.")
        return latents + autoencoder.config.shift_factor * autoencoder.config.scaling_factor
    return latents


def mode_of(control: nn.Module, mode: int | None) -> Tensor | None:
    """The kind of control picture (1,) as a ControlNet that knows several is told it; None for any other.

    Raises InvalidRequest for a kind that it lacks, for none where it must be told, and for one too many.
    """
    modes = control.config.modes if isinstance(control, FluxControlNet) else None
    if modes is None and mode is None:
        return None
    if modes is None:
        raise InvalidRequest("this ControlNet knows one kind of control picture; give it no mode.")
    if mode is None or mode >= modes:
        said = "none" if mode is None else f"{mode}"
        raise InvalidRequest(
            f"this ControlNet knows {modes} kinds of control picture and was told {said}; "
            f"say which this one is, by a number from 0 to {modes - 1}."
        )
    return torch.tensor([mode])


@read_once(3)
def _loaded(path: Path, dtype: torch.dtype, steered: Steered, allow_pickle: bool) -> Loaded:
    store = part_of(open_store(path, allow_pickle), "controlnet")
    with hollow():
        made = _made(path, config_json(path), store.header.shapes, steered)
    account = load_into(made, store, dtype)
    return Loaded(made.eval().requires_grad_(False), str(account))


def _made(path: Path, told: Mapping[str, Any], shapes: Shapes, steered: Steered) -> nn.Module:
    """A ControlNet without weights: as its folder says, or by its shapes and what it steers."""
    if not any(name.startswith(SIGNS[type(steered)]) for name in shapes):
        raise _stranger(path)
    match steered:
        case UNetConfig():
            unet = ControlNetConfig.from_diffusers(told) if told else _unet_by_shapes(shapes, steered)
            _check_alike(path, unet.unet, steered)
            return ControlNet(unet)
        case FluxConfig():
            by_shapes = FluxControlNetConfig.from_shapes
            flux = FluxControlNetConfig.from_diffusers(told) if told else by_shapes(shapes, steered.axes)
            _check_alike(path, flux, steered)
            return FluxControlNet(flux)
        case MMDiTConfig():
            mmdit = (
                MMDiTControlNetConfig.from_diffusers(told)
                if told
                else MMDiTControlNetConfig.from_shapes(shapes, steered.sample, steered.head)
            )
            _check_alike(path, mmdit, steered)
            return _latents_alone(path, mmdit)


SIGNS: Mapping[type, tuple[str, ...]] = {
    UNetConfig: ("controlnet_cond_embedding.",),
    FluxConfig: ("controlnet_x_embedder.",),
    MMDiTConfig: ("pos_embed_input.",),
}
"""What the ControlNets of each kind of network alone have."""


def _unet_by_shapes(shapes: Shapes, steered: UNetConfig) -> ControlNetConfig:
    """What shapes do not show is as in the U-Net that it steers, of which it was a copy once."""
    config = ControlNetConfig.from_shapes(shapes, heads=1)
    hidden = {name: getattr(steered, name) for name in UNSHOWN}
    return replace(config, unet=replace(config.unet, **hidden))


UNSHOWN = ("heads", "groups", "eps", "flip_sin_to_cos", "freq_shift")


def _latents_alone(path: Path, config: MMDiTControlNetConfig) -> MMDiTControlNet:
    if config.more_channels:
        raise DarkroomError(
            f"the ControlNet '{path}' wants {config.more_channels} channels beside its control picture, "
            "which are not given here; take one that looks at a picture alone."
        )
    return MMDiTControlNet(config)


def _check_alike(path: Path, own: Steered, steered: Steered) -> None:
    """Raise DarkroomError where sizes that must be the same are not."""
    for name in ALIKE:
        found, wanted = getattr(own, name, None), getattr(steered, name, None)
        reads = getattr(own, "text", True) or name != "text_width"
        if found != wanted and reads:
            raise _stranger(path, f": its {name.replace('_', ' ')} is {found} and the model's {wanted}")


def _stranger(path: Path, why: str = "") -> DarkroomError:
    return DarkroomError(
        f"the ControlNet '{path}' was made for another kind of model{why}; take one for this model."
    )
