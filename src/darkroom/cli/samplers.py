"""``darkroom samplers``: the ways from noise to a picture."""

import click

from darkroom.cli.output import json_option, named, print_json, print_table


@click.command(short_help="List samplers, schedulers and guides.")
@json_option
def samplers(as_json: bool) -> None:
    """List samplers (--sampler), the schedulers that spread their steps (--scheduler) and guides (--guide).

    ORDER says how fast the error falls with more steps (0: the method is for networks distilled for it, and
    as good as they are), CALLS how often a step asks the network.

    \b
    Examples:
      darkroom samplers
      darkroom samplers --json
    """
    import darkroom.families.grids  # noqa: F401  they join the registry
    from darkroom.diffusion.grids import GRIDS
    from darkroom.diffusion.samplers import SAMPLERS
    from darkroom.studio.guides import GUIDES

    methods = [(s.name, s.label, s.order, s.calls, s.stochastic, s.when) for s in SAMPLERS.values()]
    grids = [(g.name, g.label, g.when) for g in GRIDS.values()]
    guides = [(g.name, g.calls, g.when) for g in GUIDES.values()]
    method_columns = ("name", "label", "order", "calls", "stochastic", "when")
    grid_columns = ("name", "label", "when")
    guide_columns = ("name", "calls", "when")
    if as_json:
        told = {"samplers": named(method_columns, methods), "schedulers": named(grid_columns, grids)}
        print_json(told | {"guides": named(guide_columns, guides)})
        return
    print_table(("sampler", *method_columns[1:]), methods)
    click.echo()
    print_table(("scheduler", *grid_columns[1:]), grids)
    click.echo()
    print_table(("guide", *guide_columns[1:]), guides)
