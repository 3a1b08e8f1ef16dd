"""The examiner at work: pictures in, findings out; read from and written to one file."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as pack
from torch import Tensor

from darkroom.disk import whole
from darkroom.errors import DarkroomError

from .decoding import decode
from .examiner import SIDE, Examiner, ExaminerConfig, Maps, as_images
from .findings import Finding, Findings
from .reader import Reader, boards, spell

FORMAT = "darkroom.examiner.1"
SHIPPED = Path(__file__).parent / "assets" / "examiner.safetensors"
TUTOR = SHIPPED.with_name("tutor.safetensors")
"""An examiner of another seed: a painter that is tuned by one judge must be measured by another."""
READER = "reader."  # what the names of the reader's tensors begin with in a file
AT_ONCE = 32
THRESHOLD = 0.35


class Judge:
    """An examiner with the thresholds, one a kind, over which it believes its eyes, and a reader of signs."""

    def __init__(
        self, network: Examiner, reader: Reader | None = None, thresholds: Sequence[float] | None = None
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.reader = (reader or Reader()).eval().requires_grad_(False)
        self.config = network.config
        self.thresholds = list(thresholds or [THRESHOLD] * len(self.config.kinds))
        if len(self.thresholds) != len(self.config.kinds):
            raise ValueError(
                f"{len(self.config.kinds)} kinds need as many thresholds, not {len(self.thresholds)}"
            )

    @property
    def device(self) -> torch.device:
        """Where the weights live."""
        return self.network.heat.weight.device

    def to(self, device: str | torch.device) -> "Judge":
        """This judge, moved to a device."""
        self.network.to(device)
        self.reader.to(device)
        return self

    def look(self, pictures: np.ndarray) -> list[Findings]:
        """What is in each of pictures, uint8 (N, H, W, 3); other sizes than 128 are scaled to it."""
        return [seen for batch in _batches(pictures) for seen in self._look(batch)]

    @torch.inference_mode()
    def _look(self, pictures: np.ndarray) -> Iterator[Findings]:
        images = as_images(torch.from_numpy(pictures).to(self.device))
        maps: Maps = self.network(images)
        found = decode(
            self.config, maps.heat.sigmoid(), lambda spots: self.network.ask(maps, spots), self.thresholds
        )
        found = self._read(images, found)
        around = zip(maps.ground.argmax(1).tolist(), maps.light.argmax(1).tolist(), strict=True)
        for things, (ground, light) in zip(found, around, strict=True):
            yield Findings(tuple(things), self.config.grounds[ground], self.config.lights[light])

    def _read(self, images: Tensor, found: list[list[Finding]]) -> list[list[Finding]]:
        """The findings with the words of their signs."""
        signs = [(i, thing) for i, things in enumerate(found) for thing in things if thing.kind == "sign"]
        if not signs:
            return found
        picture = torch.tensor([i for i, _ in signs], device=self.device)
        boxes = torch.tensor([sign.box for _, sign in signs], device=self.device)
        words = spell(self.reader(boards(images, picture, boxes)))
        said = {id(sign): word for (_, sign), word in zip(signs, words, strict=True)}
        return [[replace(t, word=said[id(t)]) if id(t) in said else t for t in things] for things in found]


def _batches(pictures: np.ndarray) -> Iterator[np.ndarray]:
    for first in range(0, len(pictures), AT_ONCE):
        yield np.stack([_sized(picture) for picture in pictures[first : first + AT_ONCE]])


def _sized(picture: np.ndarray) -> np.ndarray:
    if picture.shape[:2] == (SIDE, SIDE):
        return picture
    return np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def save(judge: Judge, path: Path) -> None:
    """Write one safetensors file: weights in half precision; configuration and thresholds in the metadata."""
    read = {READER + name: tensor for name, tensor in judge.reader.state_dict().items()}
    state = judge.network.state_dict() | read
    half = {
        k: v.to(torch.float16 if v.is_floating_point() else v.dtype).contiguous() for k, v in state.items()
    }
    facts = {"config": asdict(judge.config), "thresholds": [round(float(t), 4) for t in judge.thresholds]}
    with whole(path) as file:
        file.write(pack(half, {"format": FORMAT, "examiner": json.dumps(facts, sort_keys=True)}))


def load(path: Path = SHIPPED) -> Judge:
    """The examiner in a file, in single precision.

    Raises DarkroomError for a file that is missing, damaged or of another format.
    """
    if not path.is_file():
        raise DarkroomError(f"there is no examiner at '{path}'; train one with 'darkroom train examiner'.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - safe_open is no mapping
    except SafetensorError as error:
        raise DarkroomError(f"'{path}' is damaged ({error}); install Darkroom again.") from error
    if metadata.get("format") != FORMAT:
        raise DarkroomError(f"'{path}' is no examiner of the format {FORMAT}; name the file of an examiner.")
    try:
        facts = json.loads(metadata["examiner"])
        network, reader, thresholds = Examiner(_config(facts["config"])), Reader(), facts["thresholds"]
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise DarkroomError(f"'{path}' is damaged ({error!r}); install Darkroom again.") from error
    read = {k.removeprefix(READER): tensors.pop(k) for k in list(tensors) if k.startswith(READER)}
    try:
        network.load_state_dict(tensors)
        reader.load_state_dict(read)
    except RuntimeError as error:
        raise DarkroomError(f"'{path}' does not fit its own description: {error}") from error
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Judge(network, reader, thresholds)


def _config(facts: dict[str, object]) -> ExaminerConfig:
    return ExaminerConfig(**{k: tuple(v) if isinstance(v, list) else v for k, v in facts.items()})  # type: ignore[arg-type]
