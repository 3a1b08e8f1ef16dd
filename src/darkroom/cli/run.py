"""Runs of ``darkroom generate``: the pictures of each prompt made, saved, and told of as soon as they are."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click

from darkroom.cli.fitting import idle, typed
from darkroom.cli.output import print_json

if TYPE_CHECKING:
    import numpy as np

    from darkroom.cli.progress import Advance
    from darkroom.cli.target import Target
    from darkroom.studio.request import Picture, Progress, Request, Result

Make = Callable[["Sequence[Request]", "Advance"], "list[Result]"]
"""Makes the pictures of requests, telling of each step."""


@dataclass
class Run:
    """What is saved of one prompt so far: its pictures and their paths, what lies beside them, how long each
    part took, and what its user should know.
    """

    pictures: "list[tuple[Path, Picture]]" = field(default_factory=list)
    beside: list[Path] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    def print(self) -> None:
        """A line a file on standard output, notices on standard error; the time is for people alone."""
        for path, picture in self.pictures:
            click.echo(f"{path}  seed {picture.record.request.seed}")
        for path in self.beside:
            click.echo(path)
        for notice in self.notices:
            click.echo(notice, err=True)
        if self.pictures and sys.stderr.isatty():
            parts = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in self.seconds.items())
            click.secho(parts, dim=True, err=True)

    def to_json(self) -> dict[str, Any]:
        """All of it in plain values."""
        from darkroom.studio.metadata import plain

        pictures = [{"path": str(path), **plain(picture.record)} for path, picture in self.pictures]
        beside = [str(path) for path in self.beside]
        told = {"seconds": self.seconds, "notices": list(self.notices)}
        return {"pictures": pictures, "beside": beside, **told}


def make_all(
    wanted: "Sequence[Sequence[Request]]", target: "Target", room: Callable[[], Make], as_json: bool
) -> None:
    """Make, save and print the pictures of each prompt; where one fails, what was saved is printed too."""
    runs: list[Run] = []
    try:
        for requests in wanted:
            runs.append(Run())
            _make(runs[-1], requests, target, room, as_json)
    finally:
        saved = [run.to_json() for run in runs if run.pictures]
        if as_json and saved:
            print_json({"runs": saved})


def here(memory: str) -> Make:
    """In this process, with all that this imports."""
    from darkroom.studio.develop import develop_many

    return partial(develop_many, memory=memory)


def elsewhere(
    url: str, token: str | None, styles: Sequence[str], styles_file: Path | None, watch: bool
) -> Make:
    """On a server, which knows styles and wildcards of its own; its own model where none is named."""
    from darkroom.studio.remote import RemoteRoom

    room = RemoteRoom(url, token, click.get_current_context().params["model"] if typed("model") else None)

    def make(requests: "Sequence[Request]", advance: "Advance") -> "list[Result]":
        return [
            room.develop(one, advance, styles=styles, styles_file=styles_file, previews=int(watch))
            for one in requests
        ]

    return make


def _make(
    run: Run, requests: "Sequence[Request]", target: "Target", room: Callable[[], Make], as_json: bool
) -> None:
    """Develop and save the pictures of one prompt, each noted in ``run``; print it unless JSON is wanted."""
    try:
        result, films = _developed(run, requests, target.films, room)
        run.notices = (*result.notices, *idle(result.record.requests))
        _save(run, result, films, target)
    finally:
        if not as_json:
            run.print()


def _developed(
    run: Run, requests: "Sequence[Request]", watch: bool, room: Callable[[], Make]
) -> "tuple[Result, list[tuple[np.ndarray, ...]]]":
    """The pictures of one prompt; those that are watched by one request after the other, with their films."""
    from darkroom.cli.progress import bar

    results: list[Result] = []
    films: list[tuple[np.ndarray, ...]] = []
    with bar() as advance:
        start = perf_counter()
        from darkroom.studio.expanding import gathered

        make = room()
        run.seconds["import"] = perf_counter() - start
        for batch in [[request] for request in requests] if watch else [requests]:
            previews: list[list[np.ndarray]] = []
            made = make(batch, _watched(advance, previews) if watch else advance)
            results += made
            films += zip(*previews, strict=True)
            for name, more in made[-1].seconds.items():
                run.seconds[name] = run.seconds.get(name, 0.0) + more
    return gathered(results), films


def _save(run: Run, result: "Result", films: "Sequence[tuple[np.ndarray, ...]]", target: "Target") -> None:
    for saved in target.save_all(result):
        run.pictures.append(saved)
    if target.sheet:
        run.beside.append(target.save_sheet(result))
    for (path, picture), film in zip(run.pictures, films, strict=target.films):
        run.beside.append(target.save_film(path, [*film, picture.pixels]))


def _watched(advance: "Advance", previews: "list[list[np.ndarray]]") -> "Advance":
    """Hears of each step and keeps what the pictures look like."""

    def progress(step: "Progress") -> None:
        advance(step)
        previews.append(step.preview())

    return progress
