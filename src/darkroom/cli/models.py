"""``darkroom models``: the models that ship."""

import click

from darkroom.cli.output import json_option, named, print_json, print_table


@click.command(short_help="List models.")
@json_option
def models(as_json: bool) -> None:
    """List the models that ship with Darkroom; --model takes a name from here, or any model file.

    \b
    Examples:
      darkroom models
      darkroom generate "a red apple" -m runs/starter-cpu/starter.safetensors
    """
    from darkroom.studio.files import sha256
    from darkroom.studio.models import SHIPPED, family_of, read_header

    rows = []
    for name, path in SHIPPED.items():
        if path.is_file():
            family = family_of(read_header(path), path).name
            rows.append((name, family, round(path.stat().st_size / 2**20, 1), sha256(path)[:10], str(path)))
    columns = ("name", "family", "MiB", "hash", "file")
    if as_json:
        print_json(named(columns, rows))
        return
    print_table(columns, rows)
