"""The starter: our own small text-to-image model, trained on the procedural world, shipped in the package."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from darkroom.diffusion.levels import Flow
from darkroom.diffusion.prediction import predict_x0
from darkroom.diffusion.process import Process
from darkroom.disk import whole
from darkroom.errors import InvalidRequest
from darkroom.families.family import Reading
from darkroom.networks.autoencoder import Autoencoder, AutoencoderConfig
from darkroom.networks.conditioning import Conditioning
from darkroom.networks.dit import DiT, DiTConfig
from darkroom.networks.text_encoder import TextEncoder, TextEncoderConfig
from darkroom.text.tokenizer import Tokenizer
from darkroom.weights.header import Header
from darkroom.weights.loading import hollow

FORMAT = "darkroom.starter.1"
"""The one metadata key, holding the configuration. Several would be shuffled, and bytes should repeat."""
DEFAULTS: dict[str, Any] = {"steps": 16, "cfg_scale": 2.0, "sampler": "dpmpp_2m", "scheduler": "trailing"}
SHIPPED = Path(__file__).parent / "assets" / "starter.safetensors"


@dataclass(frozen=True)
class StarterConfig:
    """Everything that a file must tell to build the modules again; ``vocabulary`` is the tokenizer's."""

    text: TextEncoderConfig
    network: DiTConfig
    autoencoder: AutoencoderConfig
    vocabulary: tuple[str, ...]
    side: int = 128
    about: dict[str, str] = field(default_factory=dict)


class Painter(nn.Module):
    """What is trained together: the text encoder and the diffusion transformer."""

    def __init__(self, text: TextEncoderConfig, network: DiTConfig) -> None:
        super().__init__()
        self.text = TextEncoder(text)
        self.network = DiT(network)

    def forward(self, words: Tensor, letters: Tensor, x: Tensor, time: Tensor) -> Tensor:
        """Tokenized prompts, noisy latents and times to the prediction of x0, for training."""
        return self.network(x, time, self.text(words, letters))


class Starter:
    """A :class:`~darkroom.families.family.Model`: rectified flow with a network that predicts x0.

    The flow is shifted towards noise, where its latents, strong in their coarse structure, are decided.
    """

    name = "starter"
    process = Process(Flow(shift=2.0), predict_x0)

    def __init__(self, config: StarterConfig, painter: Painter, autoencoder: Autoencoder) -> None:
        self.config = config
        self.tokenizer = Tokenizer(config.vocabulary, config.text.slots)
        self.painter = painter.eval().requires_grad_(False)
        self.autoencoder = autoencoder.eval().requires_grad_(False)
        self.network: nn.Module = painter.network
        self.parts = {"painter": painter, "autoencoder": autoencoder}
        self.accepts: frozenset[str] = frozenset()
        self.sees_mask = False
        self.downscale = config.autoencoder.downscale
        self.defaults = DEFAULTS | {"width": config.side, "height": config.side}

    @property
    def device(self) -> torch.device:
        """Where the weights live."""
        return self.painter.network.embed.weight.device

    def process_at(self, width: int, height: int) -> Process:
        return self.process

    def encode_prompts(self, prompts: Sequence[str], reading: Reading | None = None) -> Conditioning:
        tokens = self.tokenizer.encode(prompts)
        words, letters = (torch.from_numpy(part).to(self.device) for part in (tokens.words, tokens.letters))
        with torch.inference_mode():
            return self.painter.text(words, letters)

    def latent_shape(self, width: int, height: int) -> tuple[int, int, int]:
        cell = self.config.autoencoder.downscale
        if width % cell or height % cell:
            raise ValueError(
                f"the starter draws pictures whose sides are multiples of {cell}, not {width}x{height}"
            )
        return self.config.autoencoder.channels, height // cell, width // cell

    def encode_pictures(self, pictures: Tensor) -> tuple[Tensor, None]:
        with torch.inference_mode():
            return self.autoencoder.encode(pictures.to(self.device)), None

    def decode_latents(self, latents: Tensor) -> Tensor:
        with torch.inference_mode():
            return self.autoencoder.decode(latents).to(latents)

    def tiled(self, side: int) -> "Starter":
        raise InvalidRequest("the starter's autoencoder is small and takes no tiles; leave the vae tile out.")

    def mask_condition(self, mask: Tensor, masked: Tensor) -> Tensor:
        raise NotImplementedError("the starter's network sees no mask")

    def save(self, path: Path) -> None:
        """Write one safetensors file: weights in half precision, the configuration in its metadata.

        Raises OSError; then what was there before is still there.
        """
        state = {f"painter.{k}": v for k, v in self.painter.state_dict().items()}
        state |= {f"autoencoder.{k}": v for k, v in self.autoencoder.state_dict().items()}
        half = {
            k: v.to(torch.float16 if v.is_floating_point() else v.dtype).contiguous()
            for k, v in state.items()
        }
        with whole(path) as file:
            file.write(save(half, {FORMAT: json.dumps(asdict(self.config), sort_keys=True)}))


def config_from_json(text: str) -> StarterConfig:
    """The inverse of what :meth:`Starter.save` writes."""
    raw = json.loads(text)
    shape: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw["autoencoder"].items()}
    return StarterConfig(
        text=TextEncoderConfig(**raw["text"]),
        network=DiTConfig(**raw["network"]),
        autoencoder=AutoencoderConfig(**shape),
        vocabulary=tuple(raw["vocabulary"]),
        side=raw["side"],
        about=raw["about"],
    )


def load(path: Path = SHIPPED) -> Starter:
    """Read a starter file into single precision.

    Raises ValueError when the file is of another format or a tensor is missing, unknown or of another shape.
    """
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        if FORMAT not in metadata:
            raise ValueError(f"{path}: not a starter file, whose metadata has the key '{FORMAT}'")
        names = file.keys()
        tensors = {name: file.get_tensor(name) for name in names}
    try:
        config = config_from_json(metadata[FORMAT])
        with hollow():
            painter, decoder = Painter(config.text, config.network), Autoencoder(config.autoencoder)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        raise ValueError(f"{path}: its configuration is damaged ({error!r})") from error
    parts = nn.ModuleDict({"painter": painter, "autoencoder": decoder})
    full = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
    try:
        parts.load_state_dict(full, assign=True)
    except RuntimeError as error:
        raise ValueError(f"{path}: {error}") from None
    return Starter(config, parts["painter"], parts["autoencoder"])  # type: ignore[arg-type]


def detect(header: Header) -> bool:
    """A starter file says so in its metadata."""
    return FORMAT in header.metadata
