"""All families, and the one way to load a model: what it is, its content says, never its name."""

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from darkroom.errors import DarkroomError
from darkroom.families import starter
from darkroom.families.family import Model, Options
from darkroom.families.folder import check_complete, open_folder
from darkroom.families.source import Source
from darkroom.weights.header import opened as opened_file
from darkroom.weights.header import read_layout
from darkroom.weights.kinds import Kind, kind_of

Load = Callable[[Source, Options], Model]

FAMILIES = {
    "sd": "darkroom.families.sd:load",
    "sdxl": "darkroom.families.sdxl:load",
    "sd3": "darkroom.families.sd3:load",
    "flux": "darkroom.families.flux:load",
    "pixart": "darkroom.families.pixart:load",
}
"""Where each family is loaded; imported when one is."""


def load(path: Path, options: Options) -> Model:
    """The model in a file or a folder. Raises DarkroomError where it is of no family, or damaged."""
    if path.is_file() and is_starter(path):
        if options.others:
            raise DarkroomError("a starter has all its parts in its file; leave --with out.")
        return _starter(path)
    family, source = opened(path, options.allow_pickle, options.others)
    module, _, name = FAMILIES[family].partition(":")
    try:
        made: Load = getattr(import_module(module), name)
        return made(source, options)
    except ModuleNotFoundError as error:
        raise DarkroomError(
            f"models of others need the package '{error.name}', which is not installed; "
            "in Darkroom's folder: pip install -c constraints.txt -e '.[models]'."
        ) from None


def _starter(path: Path) -> Model:
    try:
        return starter.load(path)
    except ValueError as error:
        raise DarkroomError(str(error)) from error


def opened(path: Path, allow_pickle: bool = False, others: Sequence[Path] = ()) -> tuple[str, Source]:
    """The family of a model on disk, and its parts, those in ``others`` first; only headers are read."""
    from darkroom.families.single_file import open_single, parts_of

    family, source = open_folder(path, allow_pickle) if path.is_dir() else open_single(path, allow_pickle)
    for other in others:
        source = source.with_parts(parts_of(other, family, allow_pickle))
    check_complete(source)
    return family, source


def family_of(path: Path) -> str:
    """The name of its family. Raises DarkroomError as :func:`load`."""
    return "starter" if path.is_file() and is_starter(path) else opened(path)[0]


def is_starter(path: Path) -> bool:
    """Whether a file is one of our own."""
    with opened_file(path) as file:
        return kind_of(file) is Kind.SAFETENSORS and starter.detect(read_layout(file, path).header)
