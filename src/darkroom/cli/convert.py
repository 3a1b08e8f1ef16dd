"""``darkroom convert``: a model's folder as a single file, and a single file as a folder."""

from pathlib import Path

import click

from darkroom.cli.output import json_option, print_json


@click.command(short_help="Folder to file and back.")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--dtype", type=click.Choice(["float32", "float16", "bfloat16"]), help="Convert the numbers too."
)
@click.option(
    "--tokenizers", type=click.Path(path_type=Path), help="A folder with tokenizer/, to lay beside."
)
@click.option("--variant", help="Which weights of a folder, such as fp16.")
@click.option("--allow-pickle", is_flag=True, help="Read PyTorch files too; no code of theirs is run.")
@click.option("--overwrite", is_flag=True, help="Replace what is at the target.")
@json_option
def convert(
    source: Path,
    target: Path,
    dtype: str | None,
    tokenizers: Path | None,
    variant: str | None,
    allow_pickle: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write a diffusers folder as a single file, or a single file as a folder, without loss.

    Tensors stay the same to the bit, unless --dtype asks for another type. Nothing is replaced without
    --overwrite.

    \b
    Examples:
      darkroom convert stable-diffusion-v1-5/ sd15.safetensors
      darkroom convert sd15.safetensors sd15-folder --tokenizers stable-diffusion-v1-5/
      darkroom convert flux-dev/ flux-dev.safetensors --dtype bfloat16
    """
    from darkroom.weights.convert import DTYPES
    from darkroom.weights.convert import convert as run

    made = run(
        source,
        target,
        dtype=DTYPES[dtype] if dtype else None,
        tokenizers=tokenizers,
        overwrite=overwrite,
        allow_pickle=allow_pickle,
        variant=variant,
    )
    if as_json:
        print_json(
            {
                "path": str(made.path),
                "family": made.family,
                "parts": made.parts,
                "tensors": made.tensors,
                "notes": made.notes,
            }
        )
        return
    click.echo(f"{made.path}: {made.family}, {', '.join(made.parts)}, {made.tensors:,} tensors")
    for note in made.notes:
        click.echo(f"note: {note}")
