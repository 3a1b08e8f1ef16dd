"""C++ that ships as source: built once on the machine that runs it, kept in a folder for later starts."""

import os
import shlex
import shutil
import subprocess
from ctypes import CDLL
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from darkroom.disk import whole
from darkroom.errors import DarkroomError

COMPILERS = ("c++", "g++", "clang++")
SHARED = ("-std=c++17", "-O3", "-w", "-fPIC", "-shared")
PATIENCE = 120
"""Seconds that a build may take; one that is on its way takes two."""


def library(source: Path, flags: tuple[str, ...], folder: Path) -> CDLL:
    """The library built from the file ``source``, from ``folder`` if it has been built before.

    Its name there holds a digest of the source, the compiler and its flags, and the file is whole or not
    there: several processes may build at once. Raises DarkroomError where it can neither be built nor loaded.
    """
    command = (*compiler(), *SHARED, *flags)
    digest = sha256("\0".join(command).encode() + source.read_bytes()).hexdigest()
    path = folder / f"{source.stem}-{digest[:16]}.so"
    try:
        own(folder)
        if not path.is_file():
            with whole(path) as file:
                file.write(built(source, command))
        return CDLL(str(path))
    except OSError as error:
        reason = error.strerror or str(error)
        raise DarkroomError(f"cannot keep the kernel '{path}': {reason}; give it another folder.") from error


def compiler() -> tuple[str, ...]:
    """The user's C++ compiler, $CXX or the first of those that systems have: its path, and options behind.

    Raises DarkroomError where there is none.
    """
    wanted = (os.environ["CXX"],) if os.environ.get("CXX", "").strip() else COMPILERS
    for command in wanted:
        name, *options = shlex.split(command)
        if path := shutil.which(name):
            return (path, *options)
    raise DarkroomError(f"there is no C++ compiler ({', '.join(wanted)}); install one, such as g++.")


def own(folder: Path) -> None:
    """Make the folder, or see that nobody else can lay a library in it for us to run."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o002:
        raise DarkroomError(f"everyone may write to '{folder}', so no code is run from it; chmod o-w it.")


def built(source: Path, command: tuple[str, ...]) -> bytes:
    """The library. Raises DarkroomError, with what the compiler said first, where it fails."""
    with TemporaryDirectory() as room:
        out = Path(room) / "built.so"
        try:
            done = subprocess.run(
                [*command, "-o", str(out), str(source)],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=PATIENCE,
            )
        except subprocess.TimeoutExpired:
            raise DarkroomError(f"'{command[0]}' took over {PATIENCE} s; try another compiler.") from None
        if done.returncode == 0 and out.is_file():
            return out.read_bytes()
    raise DarkroomError(
        f"'{command[0]}' cannot build {source.name}: {complaint(done.stderr)}; try another, by $CXX."
    )


def complaint(said: str) -> str:
    """The line of what a compiler said that tells most."""
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["it did not say why"]
    return next((line for line in lines if "error" in line), lines[-1])
