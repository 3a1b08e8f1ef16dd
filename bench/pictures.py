"""The README's pictures, the first seeds as they come: ``python -m bench.pictures``."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from darkroom.evaluation.told import hard
from darkroom.studio.develop import develop
from darkroom.studio.pictures import sheet
from darkroom.studio.request import Request

EXAMPLES = {
    "book": "a green book to the left of a yellow cup",
    "cat": "a cat wearing sunglasses on a beach",
    "umbrella": "a man holding a red umbrella in the rain",
}
TITLE = 24


def rows(prompts: Sequence[str], count: int) -> np.ndarray:
    """A row of pictures for each prompt, seeds 0 and on, the prompt above it: uint8 (H, W, 3)."""
    strips = [
        titled(prompt, np.hstack(develop(Request(prompt=prompt, seed=0, count=count)).images))
        for prompt in prompts
    ]
    return np.vstack(strips)


def titled(prompt: str, strip: np.ndarray) -> np.ndarray:
    """A strip of pictures with its prompt above."""
    canvas = Image.new("RGB", (strip.shape[1], strip.shape[0] + TITLE), "white")
    ImageDraw.Draw(canvas).text((2, 3), prompt, fill="black", font=ImageFont.load_default(15))
    canvas.paste(Image.fromarray(strip), (0, TITLE))
    return np.asarray(canvas)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, prompt in EXAMPLES.items():
        Image.fromarray(sheet(develop(Request(prompt=prompt, seed=0, count=4)).images)).save(
            out / f"{name}.png"
        )
    Image.fromarray(rows(list(hard()), 8)).save(out / "hard.png")


if __name__ == "__main__":
    main()
