"""Errors that their reader can put right."""

from collections.abc import Iterable
from difflib import get_close_matches


class DarkroomError(Exception):
    """Bad input, a bad file or a bad place to write; not a fault in Darkroom.

    The message is one sentence that names the thing, what was expected and what to do next. Command lines and
    servers print it as it is, without a traceback. ``exit_code`` is what a command line ends with.
    """

    exit_code = 2


class InvalidRequest(DarkroomError, ValueError):
    """A value that was asked for cannot be had."""


class UnknownName(InvalidRequest):
    """A name that is not in a registry; the message offers the nearest one, or all of a few.

    ``kind`` says what the name should have been ("sampler"), ``known`` lists what there is.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        super().__init__(f"there is no {kind} named '{name}'; {_advice(name, names)}")
        self.kind, self.name, self.known = kind, name, names


def _advice(name: str, known: list[str]) -> str:
    """What to type instead of ``name``."""
    lowered = {one.lower(): one for one in known}
    if near := get_close_matches(name.lower(), lowered, n=1, cutoff=0.5):
        return f"did you mean '{lowered[near[0]]}'?"
    return f"choose from {', '.join(known)}." if known else "there are none yet."
