"""The settings that A1111's clients read and write, of each token's holder."""

from dataclasses import dataclass, field
from typing import Any

from darkroom.errors import InvalidRequest, UnknownName
from darkroom.server import names
from darkroom.server.errors import Refused

NOISES = {"Philox": "philox", "Brownian": "brownian", "CPU": "torch", "GPU": "torch-gpu", "NV": "torch-gpu"}
"""Who draws the noise: ours, afresh or along a path, or as torch does on a processor or on an NVIDIA GPU."""
FIXED: dict[str, Any] = {
    "samples_format": "png",
    "samples_save": True,
    "grid_save": False,
    "return_grid": False,
    "enable_pnginfo": True,
    "live_previews_enable": True,
    "show_progress_every_n_steps": 4,
    "sd_vae": "Automatic",
}
"""What is as it is; to set it to what it is already is fine."""


@dataclass(frozen=True)
class Options:
    """What can be chosen: the model by name, CLIP's layer, the noise."""

    model: str
    clip_skip: int = 1
    noise: str = "Philox"

    def told(self) -> dict[str, Any]:
        """By A1111's names."""
        chosen = {"sd_model_checkpoint": self.model, "sd_checkpoint_hash": ""}
        layers = {"CLIP_stop_at_last_layers": self.clip_skip, "randn_source": self.noise}
        return chosen | layers | FIXED

    def changed(self, values: dict[str, Any]) -> "Options":
        """With other values. Raises DarkroomError for what cannot be had."""
        known = self.told()
        for name, value in values.items():
            if name not in known:
                raise Refused(f"the setting '{name}' cannot be had here; leave it out.", param=name)
            if name in (*FIXED, "sd_checkpoint_hash") and value != known[name]:
                raise Refused(f"the setting '{name}' is {known[name]!r} here, always.", param=name)
        told = known | values
        return Options(
            model_named(str(told["sd_model_checkpoint"])),
            _layer(told["CLIP_stop_at_last_layers"]),
            _noise(str(told["randn_source"])),
        )

    def asked(self) -> dict[str, Any]:
        """The fields of a Request."""
        clip_skip = None if self.clip_skip == 1 else self.clip_skip
        return {"model": self.model, "clip_skip": clip_skip, "noise": NOISES[self.noise]}


@dataclass
class Chosen:
    """The options of every owner."""

    default: Options
    by_owner: dict[str, Options] = field(default_factory=dict)

    def of(self, owner: str) -> Options:
        """Theirs, or those of all who have chosen nothing."""
        return self.by_owner.get(owner, self.default)


def model_named(title: str) -> str:
    """The model of a title, however it is cased. Raises UnknownName."""
    known = {name.lower(): name for name in names.models()}
    return names.model(known.get(title.lower(), title))


def _layer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 12 or value % 1:
        raise InvalidRequest(f"CLIP_stop_at_last_layers {value!r} is out of range; give 1 to 12.")
    return int(value)


def _noise(value: str) -> str:
    if value not in NOISES:
        raise UnknownName("randn_source", value, NOISES)
    return value
