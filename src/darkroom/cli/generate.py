"""``darkroom generate``: pictures from prompts."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darkroom.cli.attached import attachment_options, take_attachments
from darkroom.cli.grouped import Grouped
from darkroom.cli.output import json_option
from darkroom.errors import InvalidRequest

if TYPE_CHECKING:
    from darkroom.studio.request import Request


HEADINGS = {
    "styles_named": "Prompts",
    "init_image": "From a picture",
    "sampler": "On the way from noise",
    "others": "The model",
    "loras": "Hung on the model",
    "overwrite": "Files",
    "server": "Elsewhere",
}
"""Which option each part of the help begins with."""


@click.command(cls=Grouped, headings=HEADINGS, short_help="Make pictures from prompts.")
@click.argument("prompts", metavar="PROMPT...", nargs=-1)
@click.option("-p", "--prompt", "more", metavar="PROMPT", multiple=True, help="A prompt; may come again.")
@click.option("-n", "--negative-prompt", "negative", metavar="TEXT", default="", help="What to keep out.")
@click.option("-m", "--model", default="starter", show_default=True, help="A model's name, file or folder.")
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    help="A .png, .jpg or .webp file, or a folder; with a dot in its name, v1.0/.",
)
@click.option("-s", "--seed", type=int, help="The same seed makes the same picture.  [default: random]")
@click.option("-b", "--batch-count", "count", type=int, default=1, help="Pictures of each prompt.")
@click.option("-W", "--width", type=int, help="In pixels.  [default: the model's]")
@click.option("-H", "--height", type=int, help="In pixels.  [default: the model's]")
@click.option("--steps", type=int, help="Sampling steps.  [default: the model's]")
@click.option(
    "--cfg-scale", "--cfg", "--guidance-scale", type=float, help="How closely to follow the prompt."
)
@click.option("--grid", is_flag=True, help="Save all pictures of a prompt on one sheet too.")
@click.option("--watch", is_flag=True, help="Save how each picture developed too, as a GIF.")
@click.option(
    "--style",
    "styles_named",
    metavar="NAME",
    multiple=True,
    help="Words to lay around the prompt; may come again.",
)
@click.option(
    "--styles",
    "styles_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Where styles are.  [default: ~/.darkroom/styles.csv]",
)
@click.option(
    "--emphasis", metavar="NAME", default="a1111", help="How (weights:1.2) count: a1111, comfy, plain, none."
)
@click.option("--clip-skip", type=int, help="Read CLIP this many layers from its end; 1 is the last.")
@click.option("-i", "--init-image", type=click.Path(path_type=Path), help="A picture to start from.")
@click.option("--strength", type=float, default=0.75, show_default=True, help="How much of it to make anew.")
@click.option(
    "--mask", type=click.Path(path_type=Path), help="Paint only where this, of the same shape, is white."
)
@click.option("--sampling-method", "--sampler", "sampler", metavar="NAME", help="One of 'darkroom samplers'.")
@click.option("--scheduler", metavar="NAME", help="How the steps are spread; see 'darkroom samplers'.")
@click.option("--guidance", type=float, help="The scale that distilled models such as FLUX.1 dev are told.")
@click.option("--guide", metavar="NAME", default="cfg", help="How to follow it; see 'darkroom samplers'.")
@click.option("--cfg-rescale", type=float, default=0.0, help="Pull contrast back, up to 1, at high scales.")
@click.option(
    "--cfg-interval",
    type=(float, float),
    metavar="LOW HIGH",
    help="Guide only between these noise / signal.",
)
@click.option("--pag-scale", type=float, default=0.0, help="Push structure by perturbed attention, as 3.")
@click.option(
    "--noise",
    metavar="NAME",
    default="philox",
    help="philox; brownian: more steps, the same picture; torch, torch-gpu or comfy: their seeds.",
)
@click.option("--variation-seed", "--subseed", type=int, help="Vary the picture towards that of this seed.")
@click.option("--variation-strength", "--subseed-strength", type=float, default=0.0, help="How far, up to 1.")
@click.option(
    "--seed-size", "--seed-resize-from", type=(int, int), metavar="W H", help="The size whose seed it is."
)
@click.option(
    "--with", "others", metavar="FILE", multiple=True, help="A part the model lacks: an encoder, a VAE."
)
@click.option("--variant", metavar="NAME", help="What the file does not say: eps, v, lcm, turbo, lightning.")
@click.option(
    "--precision",
    metavar="float32|bfloat16|int8",
    help="Left out, bfloat16 where the processor has it.",
)
@click.option(
    "--memory", metavar="low|auto|high", default="auto", help="How much of a model is in memory at once."
)
@click.option(
    "--reuse", type=int, default=1, help="Run the network's inner blocks every so many steps alone: faster."
)
@click.option("--vae-tile", type=int, help="Decode in tiles of this many pixels; for very large pictures.")
@click.option("--allow-pickle", is_flag=True, help="Read .ckpt and .pt files too; no code of theirs is run.")
@attachment_options
@click.option("--overwrite", is_flag=True, help="Replace the output file where there is one.")
@json_option
@click.option("--server", metavar="URL", help="Let a Darkroom server make them; see 'darkroom serve'.")
@click.option("--token", envvar="DARKROOM_TOKEN", help="What the server wants; $DARKROOM_TOKEN is safer.")
def generate(
    prompts: Sequence[str],
    more: Sequence[str],
    seed: int | None,
    output: str | None,
    overwrite: bool,
    grid: bool,
    watch: bool,
    as_json: bool,
    styles_named: Sequence[str],
    styles_file: Path | None,
    memory: str,
    server: str | None,
    token: str | None,
    **settings: Any,
) -> None:
    """Make pictures from one prompt or several.

    Prints where each picture lies, and its seed. Pictures go to ./pictures under the next free number, unless
    -o names a file or another folder. Picture i of a batch has seed s+i, and comes out as if made alone.

    \b
    Examples:
      darkroom generate "three apples, two red and one green"
      darkroom generate "a cat wearing sunglasses on a beach" -b 8 --grid
      darkroom generate "a sign that says OPEN" -s 7 --steps 30 --sampler dpmpp_2m -o open.png
      darkroom generate "a blue cube" "a green cone" -o shapes/
    """
    from darkroom.cli.fitting import check_together
    from darkroom.cli.run import elsewhere, here, make_all
    from darkroom.cli.target import Target
    from darkroom.studio.placement.memory import check_setting
    from darkroom.studio.request import Request, random_seed

    check_setting(memory)
    seed = random_seed() if seed is None else seed
    settings["attached"] = take_attachments(settings, elsewhere=server is not None)
    settings["others"] = tuple(map(Path, settings["others"]))
    requests = [Request(prompt=prompt, seed=seed, **settings) for prompt in (*prompts, *more)]
    _check_prompts(len(requests), output)
    check_together(requests[0])
    target = Target(output, requests[0].count, overwrite, sheet=grid, films=watch)
    if server is None:
        wanted = recorded = [_told(request, styles_named, styles_file) for request in requests]
        room = partial(here, memory)
    else:
        wanted = [[request] for request in requests]
        recorded = [[request.single(i) for i in range(request.count)] for request in requests]
        room = partial(elsewhere, server, token, styles_named, styles_file, watch)
    for pictures in recorded:
        target.check(pictures)
    make_all(wanted, target, room, as_json)


def _told(request: "Request", styles: Sequence[str], styles_file: Path | None) -> "list[Request]":
    """The requests that one stands for, with the LoRAs that they name: all that is known before the work.

    Raises DarkroomError for a style, a file of wildcards or a LoRA that there is not.
    """
    from darkroom.studio.expanding import expanded
    from darkroom.text.prompt import TAG

    told = expanded(request, styles, styles_file)
    if not any(TAG.search(one.prompt + one.negative) for one in told):
        return told
    from darkroom.studio.prompts import with_named_loras  # this imports torch

    return [with_named_loras(one) for one in told]


def _check_prompts(count: int, output: str | None) -> None:
    """Raise InvalidRequest for no prompt, and for many that are to share one file."""
    if not count:
        raise InvalidRequest("there is no prompt; say what to make, as in: darkroom generate 'a red apple'")
    from darkroom.cli.target import names_folder

    if count > 1 and output is not None and not names_folder(output):
        raise InvalidRequest(
            f"{count} prompts cannot share '{output}'; quote a prompt, or name a folder with -o."
        )
