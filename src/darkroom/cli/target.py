"""Where pictures go: the next free numbers in a folder, or a file by its name."""

from pathlib import Path
from typing import TYPE_CHECKING

from darkroom.disk import explaining
from darkroom.studio import files, pictures

if TYPE_CHECKING:
    import numpy as np

    from darkroom.studio.request import Picture, Request, Result

SHEET = "-grid"


def names_folder(path: Path) -> bool:
    """Whether -o means a folder: one that is there, or a name without an ending."""
    with explaining(path, files.ELSEWHERE):
        return path.is_dir() or not path.suffix


class Target:
    """The place that -o names, or ./pictures. ``count`` pictures of x.png become x-1.png, x-2.png, ...

    Raises DarkroomError at once, before any work, where a name is taken or a folder cannot be written.
    """

    def __init__(self, output: Path | None, count: int, overwrite: bool, sheet: bool, films: bool) -> None:
        self.path, self.overwrite = output or files.FOLDER, overwrite
        self.is_folder = output is None or names_folder(output)
        self.tails = [""] if count == 1 else [f"-{i + 1}" for i in range(count)]
        if not self.is_folder:
            self._check_names(sheet, films)
        files.check_folder(self.path if self.is_folder else self.path.parent)

    def check_holds(self, request: "Request") -> None:
        """Raise DarkroomError now rather than when the pictures are made, where the file's format has no room
        for what made them.
        """
        if not self.is_folder:
            pictures.check_holds(request, pictures.format_of(self.path))

    def save(self, picture: "Picture", tail: str = "") -> Path:
        """Write one picture; returns its path."""
        if self.is_folder:  # its pictures have numbers already
            return files.save_numbered(picture, self.path, tail if tail == SHEET else "")
        return files.save(picture, self._named(tail), self.overwrite)

    def save_all(self, result: "Result") -> "list[tuple[Path, Picture]]":
        """Write every picture of a run; returns them with their paths."""
        return [(self.save(picture, tail), picture) for picture, tail in zip(result, self.tails, strict=True)]

    def save_sheet(self, result: "Result") -> Path:
        """Write all pictures of a run on one sheet, which replays as they do; returns its path."""
        return self.save(result.on_one_sheet(), SHEET)

    def save_film(self, beside: Path, frames: "list[np.ndarray]") -> Path:
        """Write how a picture developed as a GIF next to it; returns its path."""
        path = beside.with_suffix(".gif")
        files.write(path, pictures.animation(frames), self.overwrite)
        return path

    def _named(self, tail: str) -> Path:
        return self.path.with_stem(self.path.stem + tail)

    def _check_names(self, sheet: bool, films: bool) -> None:
        pictures.format_of(self.path)
        names = [self._named(tail) for tail in self.tails]
        names += [name.with_suffix(".gif") for name in names] if films else []
        names += [self._named(SHEET)] if sheet else []
        for name in () if self.overwrite else names:
            files.check_free(name)
