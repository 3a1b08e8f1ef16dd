"""``darkroom models``: the models that ship, and those in the user's own folder."""

import click

from darkroom.cli.output import json_option, named, print_json, print_table


@click.command(short_help="List models.")
@json_option
def models(as_json: bool) -> None:
    """List the models that ship with Darkroom and those in your own folder.

    That is models/ in $DARKROOM_HOME, or in ~/.darkroom. --model takes a name from here, any model file or
    folder, and a name on the hub.

    \b
    Examples:
      darkroom models
      darkroom generate "a red apple" -m runs/starter-cpu/starter.safetensors
      darkroom generate "a red apple" -m models/sd15.safetensors
      darkroom generate "a red apple" -m owner/name
    """
    from darkroom.studio.models import listed

    columns = ("name", "family", "MiB", "hash", "file")
    rows = [(one.name, one.family, one.mebibytes, one.digest[:10], str(one.path)) for one in listed()]
    if as_json:
        print_json(named(columns, rows))
        return
    print_table(columns, rows)
