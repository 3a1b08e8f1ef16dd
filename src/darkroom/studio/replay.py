"""Making a picture again from its own file, and saying how close it came."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from darkroom.errors import DarkroomError
from darkroom.studio import home
from darkroom.studio.digests import digest
from darkroom.studio.expanding import gathered
from darkroom.studio.home import name_of
from darkroom.studio.hub import unasked
from darkroom.studio.metadata import from_json
from darkroom.studio.pictures import decode, encode, read, read_bytes
from darkroom.studio.request import Picture, Progress, Record, Request

WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "*.bin", "model_index.json")
"""By these a folder is known to hold a model."""


@dataclass(frozen=True)
class Likeness:
    """How a picture made again differs from the one in the file.

    ``same_file``: every byte of the file is the same. ``largest`` and ``mean``: differences of pixel values
    of 0 to 255. ``share``: the part of the pixels that differ at all. ``same_model``: by the same weights.
    """

    same_file: bool
    largest: int
    mean: float
    share: float
    same_model: bool

    def __str__(self) -> str:
        if self.same_file:
            return "identical, every byte of the file"
        if not self.largest:
            return "identical, every pixel"
        weights = "" if self.same_model else "; it was made with other weights of this model"
        return (
            f"largest difference {self.largest} of 255, mean {self.mean:.3f}, "
            f"in {self.share:.1%} of the pixels{weights}"
        )


def replay(
    path: Path, progress: Callable[[Progress], None] | None = None, sources: Sequence[Path] = ()
) -> tuple[Picture, Likeness]:
    """The picture in a file made again from its record alone.

    A file that it was made from is looked for where it was, beside the picture, by its name in the user's own
    folder, and among ``sources``; its hash tells that it is the same. Raises DarkroomError when the file is
    no picture, has no record or another size, or was made from a file or by a model that is not here: nothing
    is fetched that only the record names.
    """
    record = read_record(path)
    found = located(record, path.parent, sources)
    from darkroom.studio.develop import develop_many

    with unasked():
        _check_models(found)
        result = gathered(develop_many(found.requests, progress))
    picture = result[0] if len(result) == 1 else result.on_one_sheet()
    return picture, compare(path, record, picture)


def read_record(path: Path) -> Record:
    """What made the picture in a file.

    Raises DarkroomError when the file does not say, or is not of the size that its record tells.
    """
    decoded = read(path)
    if decoded.texts.record is None:
        raise DarkroomError(f"'{path}' carries no Darkroom record; replay a picture that Darkroom saved.")
    record, (height, width, _) = from_json(decoded.texts.record), decoded.pixels.shape
    if record.size != (width, height):
        raise DarkroomError(
            f"'{path}' is {width} x {height}, not as its record says; find the file as it was made."
        )
    return record


def compare(path: Path, record: Record, again: Picture) -> Likeness:
    """The picture in a file against one of its size made again, both as that file's format keeps pixels."""
    data = read_bytes(path)
    before = decode(data, f"'{path}'")
    file = encode(Picture(again.pixels, record), before.format)
    after = decode(file)
    difference = np.abs(before.pixels.astype(np.int16) - after.pixels)
    return Likeness(
        same_file=file == data,
        largest=int(difference.max()),
        mean=float(difference.mean()),
        share=float(difference.any(axis=2).mean()),
        same_model=record.model_hash == again.record.model_hash,
    )


def located(record: Record, beside: Path, sources: Sequence[Path] = ()) -> Record:
    """The record with all that the picture was made from, but the model, where that lies now, as it was.

    The record may be a stranger's, who names whatever lies on this machine: devices and pipes are not opened,
    and of folders only those are read that hold what was asked of them.

    Raises DarkroomError for what is gone.
    """
    folders = {path for request in record.requests for path in _perhaps_folders(request)}
    own = {name: path for kind in home.KINDS for name, path in home.named(kind).items()}
    found = {}
    for path in dict.fromkeys(record.files()):
        known = record.hashes.get(str(path))
        places = (path, beside / path, beside / path.name, *filter(None, [own.get(name_of(path))]), *sources)
        fitting = (place for place in places if _is_file(place) or (path in folders and _holds_model(place)))
        now = next((place for place in fitting if known and digest(place) == known), None)
        if now is None:
            raise DarkroomError(
                f"'{path}', which this picture was made from, is gone or changed; put it back, "
                "or say where it is with --source."
            )
        found[path] = now
    return record.moved(found)


def _check_models(record: Record) -> None:
    """Raise DarkroomError where a model is neither a file nor a folder that holds one."""
    from darkroom.studio.models import locate

    for name in dict.fromkeys(request.model for request in record.requests):
        path = locate(name)
        if not (_is_file(path) or _holds_model(path)):
            raise DarkroomError(f"'{path}' is no model, though this picture names it; do not trust its file.")


def _perhaps_folders(request: Request) -> tuple[Path, ...]:
    """Files of a request that may be folders: parts of models, adapters, what sees picture prompts."""
    attached = request.attached
    loras = (one.file for one in attached.loras)
    controls = (one.model for one in attached.controls)
    prompts = (path for one in attached.image_prompts for path in (one.model, one.encoder))
    return (*request.others, *loras, *controls, *prompts)


def _is_file(path: Path) -> bool:
    """Whether it is a file with something in it; those of /proc say that they have nothing, and never end."""
    try:
        return path.is_file() and path.stat().st_size > 0
    except OSError:
        return False


def _holds_model(path: Path) -> bool:
    try:
        return any(next(path.glob(pattern), None) for pattern in WEIGHTS)
    except OSError:
        return False
