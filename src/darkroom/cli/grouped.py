"""A command with many options, shown under headings: those that most people want come first."""

from collections.abc import Mapping
from typing import Any

import click

FIRST = "Options"


class Grouped(click.Command):
    """Shows its options in their order; ``headings`` says which ones, by their names, begin under another."""

    def __init__(self, *args: Any, headings: Mapping[str, str], **more: Any) -> None:
        super().__init__(*args, **more)
        self.headings = headings

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help of every option."""
        groups: dict[str, list[tuple[str, str]]] = {}
        heading = FIRST
        for param in self.get_params(ctx):
            heading = self.headings.get(param.name or "", heading)
            shown = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if shown:
                groups.setdefault(heading, []).append(shown)
        for heading, options in groups.items():
            with formatter.section(heading):
                formatter.write_dl(options)
