"""From what a user writes to prompts for a model: with styles around them, choices made by each seed.

Whoever takes words from people calls :func:`expanded` before developing; a record holds what came out of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from darkroom.errors import DarkroomError
from darkroom.studio import home
from darkroom.studio.request import Request, Result
from darkroom.text.styles import Style, read_styles, styled
from darkroom.text.wildcards import expand

POSITIVE, NEGATIVE = 0, 1
"""The prompt and the negative prompt choose independently of each other."""


def expanded(request: Request, styles: Sequence[str] = (), file: Path | None = None) -> list[Request]:
    """The requests that one stands for: itself where all pictures share a prompt, else one a picture.

    Styles come first, by their names in ``file`` or in the user's own styles.csv; then each picture makes its
    choices by its own seed, with files of the user's own wildcards. Raises DarkroomError for a style or a
    file of wildcards that there is not.
    """
    if styles:
        prompt, negative = styled(request.prompt, request.negative, styles, known_styles(file))
        request = replace(request, prompt=prompt, negative=negative)
    words = [_chosen(request, request.single(i).seed) for i in range(request.count)]
    if len(set(words)) == 1:
        return [_told(request, words[0])]
    return [_told(request.single(i), told) for i, told in enumerate(words)]


def known_styles(file: Path | None = None) -> Mapping[str, Style]:
    """The styles by their names. Raises DarkroomError where there is no such file.

    The message tells no path that was not asked for: clients far away read it too.
    """
    path = file or home.styles()
    if not path.is_file():
        asked = f"'{path}'" if file else f"{path.name} in Darkroom's folder"
        raise DarkroomError(f"there is no file of styles {asked}; write one, or name another with --styles.")
    return read_styles(path)


def gathered(results: Sequence[Result]) -> Result:
    """Results of requests for a picture each as one, whose record tells of each; a single one as it is."""
    if len(results) == 1:
        return results[0]
    records = [result.record for result in results]
    hashes = {name: value for record in records for name, value in record.hashes.items()}
    further = tuple(record.request for record in records[1:])
    return Result(
        tuple(image for result in results for image in result.images),
        replace(records[0], further=further, hashes=hashes),
        results[-1].seconds,
        tuple(dict.fromkeys(notice for result in results for notice in result.notices)),
    )


def _chosen(request: Request, seed: int) -> tuple[str, str]:
    """The prompt and the negative prompt that a seed reads."""
    folder = home.folder("wildcards")
    return expand(request.prompt, seed, POSITIVE, folder), expand(request.negative, seed, NEGATIVE, folder)


def _told(request: Request, words: tuple[str, str]) -> Request:
    prompt, negative = words
    return replace(request, prompt=prompt, negative=negative)
