"""``darkroom show``: what made a picture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from darkroom.cli.output import json_option, print_json
from darkroom.errors import DarkroomError


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def show(file: Path, as_json: bool) -> None:
    """Print what made a picture.

    Reads the record of Darkroom's own pictures, the text that AUTOMATIC1111's web UI and many other tools
    write, and workflows of ComfyUI.

    \b
    Example:
      darkroom show pictures/0001-a-red-apple.png
    """
    facts = _facts(file)
    if not facts:
        raise _silent(file)
    if as_json:
        print_json(facts)
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        click.echo(f"{name:{width}}  {value}")


def _facts(file: Path) -> Mapping[str, Any]:
    """Names and values, from our record where there is one and from infotext otherwise."""
    from darkroom.studio.comfyui import read_workflow
    from darkroom.studio.metadata import from_json, plain, read_infotext
    from darkroom.studio.pictures import read

    texts = read(file).texts
    if texts.record is not None:
        values = plain(from_json(texts.record))
        flat = {**values.pop("request"), **values}
        return {name: value for name, value in flat.items() if value not in (None, "")}
    if texts.parameters is not None:
        info = read_infotext(texts.parameters)
        return {"prompt": info.prompt, "negative": info.negative, **info.settings}
    if texts.workflow is not None:
        return read_workflow(texts.workflow)
    raise _silent(file)


def _silent(file: Path) -> DarkroomError:
    return DarkroomError(
        f"'{file}' does not say what made it; choose a picture that Darkroom or a like tool saved."
    )
