"""``darkroom replay``: a picture made again from its own record."""

from dataclasses import asdict
from pathlib import Path

import click

from darkroom.cli.output import json_option, print_json
from darkroom.errors import InvalidRequest


@click.command(short_help="Make a picture again from its own file.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-o", "--output", metavar="PATH", help="Save the new picture here.")
@click.option("--overwrite", is_flag=True, help="Replace the file that is there.")
@click.option(
    "--source",
    "sources",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A picture, mask or other file that it was made from, where that has moved; may come again.",
)
@json_option
def replay(file: Path, output: str | None, overwrite: bool, sources: tuple[Path, ...], as_json: bool) -> None:
    """Make a picture again from its file, and say how close it came.

    What else it was made from, such as the picture of -i, is found by its hash where it was, beside the file,
    or among --source.

    The same machine and version give the same bytes. Another processor may round differently: expect a
    largest difference of a few steps of 255 there.

    \b
    Examples:
      darkroom replay pictures/0001-a-red-apple.png
      darkroom replay sent-by-a-friend.webp -o mine.webp
      darkroom replay edited.png --source holidays/photo.jpg
    """
    from darkroom.cli.progress import bar
    from darkroom.cli.target import Target
    from darkroom.studio.replay import located, read_record, replay

    record = read_record(file)  # complain about a wrong file before about a wrong place
    if overwrite and output is None:
        raise InvalidRequest("--overwrite needs the file to replace; name it with -o.")
    target = Target(output, 1, overwrite, sheet=False, films=False) if output else None
    if target:
        target.check(located(record, file.parent, sources).requests)
    with bar() as advance:
        picture, likeness = replay(file, advance, sources)
    saved = target.save(picture) if target else None
    if as_json:
        print_json({"file": str(file), "saved": str(saved) if saved else None, **asdict(likeness)})
        return
    click.echo(f"{file}: {likeness}")
    if saved:
        click.echo(saved)
