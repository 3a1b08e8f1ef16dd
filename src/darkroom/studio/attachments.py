"""What a request hangs on a model: LoRAs, ControlNets, picture prompts and embeddings. No torch here."""

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from darkroom.errors import InvalidRequest

NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+))"
AS_TYPED = re.compile(rf"([^:]+)(?::{NUMBER})?(?::{NUMBER})?")
"""A LoRA on a command line: its file, its weight, and the text encoders' weight."""
MAX_WEIGHT = 10.0
"""A LoRA beyond this is a slip of the finger: 1 is what its maker meant."""
MOST_OF_A_KIND = 32
"""LoRAs on one model, and each other kind."""


@dataclass(frozen=True)
class _Attachment:
    """Plain values out and in; the files that it reads."""

    def to_json(self) -> dict[str, Any]:
        """Plain values by field name."""
        return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse. Raises InvalidRequest for fields that are unknown or missing."""
        known = cls.__dataclass_fields__
        try:
            return cls(**{k: Path(v) if v and known[k].type is Path else v for k, v in values.items()})
        except (KeyError, TypeError) as error:
            raise InvalidRequest(f"a {cls.__name__.lower()} cannot be read from {values}: {error}.") from None

    def files(self) -> tuple[Path, ...]:
        """What must be as it was for the same picture."""
        return tuple(value for value in vars(self).values() if isinstance(value, Path))

    def moved(self, names: Mapping[Path, Path]) -> Self:
        """The same with files that lie elsewhere now."""
        paths = {name: value for name, value in vars(self).items() if isinstance(value, Path)}
        return replace(self, **{name: names.get(path, path) for name, path in paths.items()})


@dataclass(frozen=True)
class Lora(_Attachment):
    """Changes to a model's weights, ``weight`` times; to text encoders ``text_weight`` times (None: alike).

    ``blocks`` weighs each block besides, as "lora block weight" lists of 12, 17 or 26 numbers do.
    """

    file: Path
    weight: float = 1.0
    text_weight: float | None = None
    blocks: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        check_weight("the weight of a LoRA", self.weight)
        if self.text_weight is not None:
            check_weight("the text weight of a LoRA", self.text_weight)
        if self.blocks is not None:
            object.__setattr__(self, "blocks", tuple(self.blocks))

    def files(self) -> tuple[Path, ...]:
        """The file or folder, and where PEFT wrote it what says beside it how strongly it acts."""
        config = self.file.parent / "adapter_config.json"
        return (self.file, config) if self.file.stem == "adapter_model" and config.is_file() else (self.file,)

    @staticmethod
    def parse(text: str) -> "Lora":
        """ "FILE", "FILE:WEIGHT" or "FILE:WEIGHT:TEXT_WEIGHT". Raises InvalidRequest."""
        match = AS_TYPED.fullmatch(text)
        if match is None:
            raise InvalidRequest(f"'{text}' is no LoRA; write it as FILE or FILE:0.8.")
        file, weight, text_weight = match.groups()
        return Lora(Path(file), float(weight or 1), None if text_weight is None else float(text_weight))


@dataclass(frozen=True)
class Control(_Attachment):
    """A ControlNet, the picture that it follows, how strongly, and between which shares of the steps.

    ``mode`` is the number of the kind of picture, for a ControlNet that knows several ("union").
    """

    model: Path
    picture: Path
    scale: float = 1.0
    start: float = 0.0
    end: float = 1.0
    mode: int | None = None

    def __post_init__(self) -> None:
        check_weight("the strength of a ControlNet", self.scale)
        if not 0 <= self.start < self.end <= 1:
            raise InvalidRequest(
                f"a ControlNet from {self.start:g} to {self.end:g} never acts; give two shares from 0 to 1."
            )
        if self.mode is not None and (isinstance(self.mode, bool) or self.mode < 0):
            raise InvalidRequest(f"the mode of a ControlNet is {self.mode!r}; give a whole number from 0.")


@dataclass(frozen=True)
class ImagePrompt(_Attachment):
    """An IP-Adapter, the CLIP image encoder that it listens to, a picture, and how strongly."""

    model: Path
    encoder: Path
    picture: Path
    scale: float = 1.0

    def __post_init__(self) -> None:
        check_weight("the strength of an IP-Adapter", self.scale)


@dataclass(frozen=True)
class Attachments:
    """All that a request hangs on its model. ``embeddings`` are files of textual inversion, named by stem.

    Raises InvalidRequest for more than `MOST_OF_A_KIND` of a kind.
    """

    loras: tuple[Lora, ...] = ()
    controls: tuple[Control, ...] = ()
    image_prompts: tuple[ImagePrompt, ...] = ()
    embeddings: tuple[Path, ...] = field(default=())

    def __post_init__(self) -> None:
        for name, some in vars(self).items():
            check_how_many(name.replace("_", " "), len(some))

    def __bool__(self) -> bool:
        return bool(self.loras or self.controls or self.image_prompts or self.embeddings)

    @property
    def weights(self) -> tuple[tuple[object, ...], ...]:
        """What changes the model itself; the rest is told, and may differ among pictures made together."""
        controls, prompts = (tuple(one.model for one in some) for some in (self.controls, self.image_prompts))
        return self.loras, controls, prompts

    def files(self) -> tuple[Path, ...]:
        """Every file that they read."""
        parts = (*self.loras, *self.controls, *self.image_prompts)
        return (*(file for part in parts for file in part.files()), *self.embeddings)

    def moved(self, names: Mapping[Path, Path]) -> "Attachments":
        """The same with files that lie elsewhere now."""
        parts = {
            name: tuple(one.moved(names) for one in getattr(self, name))
            for name in ("loras", "controls", "image_prompts")
        }
        return Attachments(**parts, embeddings=tuple(names.get(path, path) for path in self.embeddings))

    def to_json(self) -> dict[str, Any]:
        """Plain values; nothing of what is not there."""
        told = {
            "loras": [one.to_json() for one in self.loras],
            "controls": [one.to_json() for one in self.controls],
            "image_prompts": [one.to_json() for one in self.image_prompts],
            "embeddings": [str(one) for one in self.embeddings],
        }
        return {name: value for name, value in told.items() if value}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "Attachments":
        """The inverse. Raises InvalidRequest."""
        return Attachments(
            tuple(map(Lora.from_json, values.get("loras", ()))),
            tuple(map(Control.from_json, values.get("controls", ()))),
            tuple(map(ImagePrompt.from_json, values.get("image_prompts", ()))),
            tuple(map(Path, values.get("embeddings", ()))),
        )


def check_how_many(name: str, count: int) -> None:
    """Raise InvalidRequest for more of a kind than one model takes."""
    if count > MOST_OF_A_KIND:
        raise InvalidRequest(f"these are {count} {name}; a model takes {MOST_OF_A_KIND} at most.")


def check_weight(name: str, value: object) -> None:
    """Raise InvalidRequest unless it is a number that can be meant."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidRequest(f"{name} must be a number, not {value!r}.")
    if abs(value) > MAX_WEIGHT:
        raise InvalidRequest(f"{name} is {value:g}; give a number from {-MAX_WEIGHT:g} to {MAX_WEIGHT:g}.")
