"""``darkroom samplers``: the ways from noise to a picture."""

from collections.abc import Iterable, Sequence

import click

from darkroom.cli.output import json_option, print_json


@click.command(short_help="List samplers and schedulers.")
@json_option
def samplers(as_json: bool) -> None:
    """List samplers (--sampler) and the schedulers that spread their steps (--scheduler).

    ORDER says how fast the error falls with more steps, CALLS how often a step asks the network.

    \b
    Examples:
      darkroom samplers
      darkroom samplers --json
    """
    from darkroom.diffusion.grids import GRIDS
    from darkroom.diffusion.samplers import SAMPLERS

    methods = [(s.name, s.label, s.order, s.calls, s.stochastic, s.when) for s in SAMPLERS.values()]
    grids = [(g.name, g.label, g.when) for g in GRIDS.values()]
    method_columns = ("name", "label", "order", "calls", "stochastic", "when")
    grid_columns = ("name", "label", "when")
    if as_json:
        print_json({"samplers": _named(method_columns, methods), "schedulers": _named(grid_columns, grids)})
        return
    _print_table(("sampler", *method_columns[1:]), methods)
    click.echo()
    _print_table(("scheduler", *grid_columns[1:]), grids)


def _named(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[dict[str, object]]:
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns as wide as their longest entry; yes and no for true and false."""
    texts = [[name.upper() for name in columns], *([_text(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _text(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
