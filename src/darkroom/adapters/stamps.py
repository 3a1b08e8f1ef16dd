"""Whether files are as they were when they were read; what was read of them is kept only as long."""

import os
from collections.abc import Callable, Iterator
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, TypeVar, cast

Stamp = tuple[tuple[str, int, int, int], ...]
Read = TypeVar("Read", bound=Callable[..., Any])


def stamp_of(*paths: Path) -> Stamp:
    """What is another when a file was replaced, or one in a folder: names, sizes and times.

    A path where nothing is adds nothing.
    """
    return tuple(stamped for path in paths for file in _files(path) for stamped in _stamped(file))


def read_once(most: int) -> Callable[[Read], Read]:
    """Keep what a function makes of a path, the last ``most``; of one that was replaced it is made anew."""

    def keeping(read: Read) -> Read:
        @lru_cache(maxsize=most)
        def kept(stamp: Stamp, *args: Any) -> Any:
            return read(*args)

        @wraps(read)
        def asked(path: Path, *args: Any) -> Any:
            return kept(stamp_of(path), path, *args)

        return cast(Read, asked)

    return keeping


def _files(path: Path) -> Iterator[str]:
    """The file itself, or all in the folder."""
    if not path.is_dir():
        yield os.fspath(path)
    for folder, _, names in sorted(os.walk(path)):
        yield from (os.path.join(folder, name) for name in sorted(names))


def _stamped(file: str) -> Stamp:
    try:
        state = os.stat(file)
    except OSError:  # whoever reads it says so
        return ()
    return ((file, state.st_size, state.st_mtime_ns, state.st_ctime_ns),)
