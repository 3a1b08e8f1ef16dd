"""``darkroom doctor``: what this machine has, what was chosen for a model, and how fast that is."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from darkroom.cli.output import json_option, print_json, print_table

if TYPE_CHECKING:
    from darkroom.studio.doctor import Checkup
    from darkroom.studio.placement.choices import Placement
    from darkroom.studio.placement.machine import Machine


@click.command(short_help="Say what runs how fast here, and why.")
@click.option("-m", "--model", default="starter", help="The model to look at, as generate takes it.")
@click.option("--precision", metavar="float32|bfloat16|int8", help="Left out, what the machine is best at.")
@json_option
def doctor(model: str, precision: str | None, as_json: bool) -> None:
    """Say what this machine has, what was chosen for a model and why, and how fast it is.

    Nothing needs to be set. $DARKROOM_WITHOUT names what to do without, such as bf16,compiler.

    \b
    Examples:
      darkroom doctor
      darkroom doctor -m sd15.safetensors
      DARKROOM_WITHOUT=bf16 darkroom doctor
    """
    from darkroom.studio.doctor import checkup

    found = checkup(model, precision)
    if as_json:
        print_json(found.to_json())
        return
    print_table(("machine", ""), machine_rows(found.machine))
    click.echo()
    print_table(("matrices of", "GFLOP/s"), [(name, f"{rate:.0f}") for name, rate in found.rates.items()])
    click.echo()
    print_table((f"chosen for {found.model}", "", "because"), placement_rows(found.placement))
    click.echo()
    print_table(("seconds", "", ""), speed_rows(found))


def machine_rows(machine: "Machine") -> list[tuple[str, str]]:
    """What was found."""
    from darkroom.studio.placement.machine import FEATURES

    lacks = [name for name in FEATURES if not machine.has(name)]
    return [
        ("processor", machine.name),
        ("cores", str(machine.cores)),
        ("memory", f"{machine.memory / 2**30:.1f} GiB"),
        (
            "has",
            ", ".join(name for name in FEATURES if machine.has(name)) or "nothing of what was looked for",
        ),
        ("has not", ", ".join(lacks) or "-"),
    ]


def placement_rows(placement: "Placement") -> list[tuple[str, str, str]]:
    """What was chosen, and why."""
    values: Mapping[str, object] = {**placement.__dict__}
    shown = {True: "yes", False: "no"}
    return [
        (name.replace("_", " "), shown.get(values[name], str(values[name])), why)  # type: ignore[call-overload]
        for name, why in placement.why.items()
    ]


def speed_rows(found: "Checkup") -> list[tuple[str, str, str]]:
    """What was measured, and what a picture takes by that."""
    rows = [(name, f"{seconds:.3f}", "") for name, seconds in found.seconds.items()]
    width, height = found.size
    return [*rows, ("picture", f"{found.picture:.2f}", f"{found.steps} guided steps, {width}x{height}")]
