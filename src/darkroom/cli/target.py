"""Where pictures go: the next free numbers in a folder, or a file by its name."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from darkroom.disk import explaining
from darkroom.errors import InvalidRequest
from darkroom.studio import files, pictures

if TYPE_CHECKING:
    import numpy as np

    from darkroom.studio.request import Picture, Request, Result

SHEET = "-grid"


def names_folder(output: str | Path) -> bool:
    """Whether -o means a folder: one that is there, or a name with a slash behind it or without an ending."""
    path = Path(output)
    with explaining(path, files.ELSEWHERE):
        return os.path.basename(output) in ("", ".") or path.is_dir() or not _ending(path)


class Target:
    """The place that -o names, or ./pictures. ``count`` pictures of x.png become x-1.png, x-2.png, ...

    ``sheet`` and ``films`` say what is saved besides. Raises DarkroomError at once, before any work, where a
    name is taken or a folder cannot be written.
    """

    def __init__(
        self, output: str | Path | None, count: int, overwrite: bool, sheet: bool, films: bool
    ) -> None:
        self.path = files.FOLDER if output is None else Path(output)
        self.overwrite, self.sheet, self.films = overwrite, sheet, films
        self.is_folder = output is None or names_folder(output)
        self.tails = [""] if count == 1 else [f"-{i + 1}" for i in range(count)]
        self._check_names()
        files.check_folder(self.path if self.is_folder else self.path.parent)

    def check(self, requests: "Sequence[Request]") -> None:
        """Raise DarkroomError now rather than when the pictures of a prompt are made, where one would take
        the place of a file that it is made from, or the file's format has no room for what made them.
        """
        if self.is_folder:
            return
        for path in dict.fromkeys(path for request in requests for path in request.files()):
            self._check_spares(path)
        format = pictures.format_of(self.path)
        for request in requests:
            pictures.check_holds([request], format)
        if self.sheet:
            pictures.check_holds(requests, format)

    def save(self, picture: "Picture", tail: str = "") -> Path:
        """Write one picture; returns its path."""
        if self.is_folder:  # its pictures have numbers already
            return files.save_numbered(picture, self.path, tail if tail == SHEET else "")
        return files.save(picture, self._named(tail), self.overwrite)

    def save_all(self, result: "Result") -> "Iterator[tuple[Path, Picture]]":
        """Write every picture of a run; gives each with its path once it is on the disk."""
        for picture, tail in zip(result, self.tails, strict=True):
            yield self.save(picture, tail), picture

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

    def _names(self) -> list[Path]:
        """Every file that is to be, where the target is one."""
        names = [self._named(tail) for tail in self.tails]
        names += [name.with_suffix(".gif") for name in names] if self.films else []
        return [*names, self._named(SHEET)] if self.sheet else names

    def _check_names(self) -> None:
        if self.is_folder and self.overwrite:
            raise InvalidRequest(
                f"--overwrite replaces a file, and pictures in '{self.path}' get free numbers; "
                "leave it out, or name a file with -o."
            )
        if self.is_folder:
            return
        if not self.path.suffix:
            raise InvalidRequest(f"'{self.path}' is an ending without a name; write one before it.")
        pictures.format_of(self.path)
        for name in () if self.overwrite else self._names():
            files.check_free(name)

    def _check_spares(self, path: Path) -> None:
        """Raise InvalidRequest where a picture would lie in the place of ``path``: it would never replay."""
        for name in self._names():
            if _same(name, path):
                raise InvalidRequest(
                    f"'{name}' is what the picture is made from; choose another name with -o."
                )


def _ending(path: Path) -> str:
    """The ending of a name, also of one that is nothing but an ending."""
    return path.name if path.name.lower() in pictures.FORMATS else path.suffix


def _same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file, by whatever links."""
    with suppress(OSError):  # one is not there
        return one.samefile(other)
    return False
