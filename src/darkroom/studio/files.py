"""Pictures on disk: whole or not at all, and never over another."""

import os
import re
from contextlib import suppress
from hashlib import file_digest
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from darkroom.disk import explaining, whole
from darkroom.errors import DarkroomError

if TYPE_CHECKING:
    from darkroom.studio.request import Picture

FOLDER = Path("pictures")
"""Where pictures go when nothing else is said."""

ELSEWHERE = "choose another place with -o"
"""How a user of the command line names another place."""
NUMBERED = re.compile(r"(\d{4,})-")
LONGEST_SLUG = 40
"""Characters of the prompt in a file name: four bytes each stay far below the 255 that file systems allow."""


class NameTaken(DarkroomError):
    """A file of that name is there already."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"'{path}' is there already; choose another name or say --overwrite (in Python, overwrite=True)."
        )


def save(picture: "Picture", path: Path, overwrite: bool = False) -> Path:
    """Write a picture with its record to ``path`` as its ending says, making folders as needed.

    Returns the path. The name appears only once the whole file is on disk. Raises DarkroomError for an
    unknown ending, a name that is taken (unless ``overwrite``), an unwritable folder and a full disk.
    """
    from darkroom.studio.pictures import encode, format_of

    write(path, encode(picture, format_of(path)), overwrite)
    return path


def save_numbered(picture: "Picture", folder: Path = FOLDER, tail: str = "") -> Path:
    """Write a PNG under the next free number in ``folder``, as "0007-a-red-apple.png"; returns the path."""
    from darkroom.studio.pictures import encode

    data, name = encode(picture, "PNG"), slug(picture.record.request.prompt) + tail
    while True:
        path = folder / f"{last_number(folder) + 1:04d}-{name}.png"
        with suppress(NameTaken):  # another process came first
            write(path, data)
            return path


def write(path: Path, data: bytes, overwrite: bool = False) -> None:
    """Put ``data`` at ``path``: a reader, or a kill at any moment, finds all of it or nothing."""
    with explaining(path, ELSEWHERE), whole(path, Path.replace if overwrite else _claim) as file:
        file.write(data)


def check_free(path: Path) -> None:
    """Raise NameTaken now rather than when the picture is made."""
    if os.path.lexists(path):
        raise NameTaken(path)


def check_folder(folder: Path) -> None:
    """Make the folder; raises DarkroomError where it cannot be made or written."""
    with explaining(folder, ELSEWHERE):
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()


def slug(prompt: str) -> str:
    """The prompt as a part of a file name."""
    words = re.sub(r"[\W_]+", "-", prompt.lower())
    return words[:LONGEST_SLUG].strip("-") or "picture"


def last_number(folder: Path) -> int:
    """The highest number of a picture in the folder, 0 where there is none."""
    names = (NUMBERED.match(path.name) for path in folder.glob("*-*"))
    return max((int(match[1]) for match in names if match), default=0)


def sha256(path: Path) -> str:
    """The SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _claim(part: Path, path: Path) -> None:
    """Give a finished file its name unless that is taken; a link does both at once."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise NameTaken(path) from None
    except OSError:  # a file system without links
        _claim_without_links(part, path)


def _claim_without_links(part: Path, path: Path) -> None:
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        raise NameTaken(path) from None
    part.replace(path)
