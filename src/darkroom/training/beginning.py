"""What a run begins with: its folder keeps a copy, by which it is carried on, and takes no other."""

from collections.abc import Sequence
from pathlib import Path

from darkroom.disk import whole
from darkroom.errors import DarkroomError
from darkroom.training.disk import explaining

BEGUN_WITH = "start.safetensors"
"""What a run's folder calls its copy of the file that it begins with, by which it can be carried on."""


def begun_with(out: Path, start: Path | None, what: str, begun: Sequence[str]) -> Path | None:
    """The file that a run in ``out`` begins with, or has begun with; None where it begins with nothing.

    ``what`` is in it ("starter"), and one of the names ``begun`` is in the folder of a run that has begun.
    Raises DarkroomError where the run has begun otherwise, and for a ``start`` that cannot be read.
    """
    kept = out / BEGUN_WITH
    if start is None:
        return kept if kept.exists() else None
    if kept.exists() and kept.read_bytes() != _read(start, what):
        raise DarkroomError(f"'{out}' has begun with another {what}; choose another folder with --out.")
    if not kept.exists() and any((out / name).exists() for name in begun):
        raise DarkroomError(f"'{out}' has begun without a start; choose another folder with --out.")
    return start


def keep_start(start: Path | None, out: Path) -> None:
    """Copy the file that a run begins with into its folder, where it has one and it is not there yet."""
    kept = out / BEGUN_WITH
    if start and not kept.exists():
        with explaining(kept), whole(kept) as file:
            file.write(start.read_bytes())


def _read(start: Path, what: str) -> bytes:
    try:
        return start.read_bytes()
    except OSError as error:
        raise DarkroomError(f"cannot begin with '{start}': {error}; name the {what}'s file.") from None
