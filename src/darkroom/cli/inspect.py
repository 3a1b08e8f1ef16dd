"""``darkroom inspect``: what a model file or folder is."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from darkroom.cli.output import json_option, print_json, print_table

if TYPE_CHECKING:
    from darkroom.weights.inspect import Description


@click.command(short_help="Say what a model file is.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--variant", help="Which weights of a folder, such as fp16.")
@click.option("--allow-pickle", is_flag=True, help="Read PyTorch files too; no code of theirs is run.")
@json_option
def inspect(file: Path, variant: str | None, allow_pickle: bool, as_json: bool) -> None:
    """Say what a model file or folder is: family, parts, sizes, and what an adapter fits.

    Reads names, shapes and metadata alone, so it is quick for files of any size. The file's name does not
    count.

    \b
    Examples:
      darkroom inspect sd_xl_base_1.0.safetensors
      darkroom inspect my-lora.safetensors
      darkroom inspect stable-diffusion-v1-5/ --json
    """
    from darkroom.weights.inspect import describe

    found = describe(file, allow_pickle, variant)
    if as_json:
        print_json(asdict(found))
        return
    _print(found)


def _print(found: "Description") -> None:
    """Facts, then parts, then metadata."""
    _print_pairs(_facts(found))
    if found.parts:
        click.echo()
        columns = ("part", "network", "names", "parameters", "type", "size")
        print_table(
            columns,
            (
                (
                    one.name,
                    one.network,
                    one.naming,
                    counted(one.parameters),
                    ", ".join(one.types),
                    sized(one.size),
                )
                for one in found.parts
            ),
        )
    if found.metadata:
        click.echo("\nMETADATA")
        _print_pairs(list(found.metadata.items()))


def _facts(found: "Description") -> list[tuple[str, str]]:
    """Name and value of each line, those without a value left out."""
    adapter = found.adapter
    layers = adapter.get("layers") or adapter.get("tokens") or {}
    what = " ".join(filter(None, (found.family, found.variant))) or adapter.get("method") or found.kind
    pairs = [
        ("file", found.path),
        ("is", f"{what}, {found.layout}"),
        ("fits", ", ".join(found.fits) if found.kind in ("part", "adapter") else ""),
        ("predicts", found.prediction or ""),
        (
            "layers" if "layers" in adapter else "tokens",
            ", ".join(f"{name} {n}" for name, n in layers.items()),
        ),
        ("rank", ", ".join(map(str, adapter.get("ranks", ())))),
        ("triggers", ", ".join(found.triggers)),
        ("captions", ", ".join(f"{word} ({n})" for word, n in found.tags.items())),
        ("size", f"{sized(found.size)}, {counted(found.parameters)} numbers in {found.tensors:,} tensors"),
        ("licence", found.licence or ""),
        ("besides", ", ".join(found.besides)),
        ("unknown", f"{found.left:,} tensors" if found.left else ""),
        *(("note", note) for note in found.notes),
    ]
    return [(name, value) for name, value in pairs if value]


def _print_pairs(pairs: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        click.echo(f"{name:{width}}  {value}")


def counted(number: int) -> str:
    """A count in thousands, millions or billions: 859.5 M."""
    for unit, name in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if number >= unit:
            return f"{number / unit:.2f} {name}" if unit == 10**9 else f"{number / unit:.1f} {name}"
    return str(number)


def sized(number: int) -> str:
    """Bytes as people say them: 6.94 GB."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "KB")):
        if number >= unit:
            return f"{number / unit:.2f} {name}"
    return f"{number} B"
