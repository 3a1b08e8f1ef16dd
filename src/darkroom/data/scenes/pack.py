"""Draw the catalogue's emoji and the letters of signs once, from fonts, into the pack that ships.

    python -m darkroom.data.scenes.pack NotoColorEmoji.ttf DejaVuSansMono-Bold.ttf

Only someone who changes the catalogue needs this, and the fonts; everyone else draws from the pack.
"""

import argparse
import hashlib
import json
import string
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ...errors import InvalidRequest
from .catalogue import CATALOGUE

EMOJI_SIZE = 109  # the one size at which the font's bitmaps are stored
LETTER_SIZE = 96
FAINT = 64  # alpha below which a pixel at a drawing's edge is glow that makes no box wider
ATLAS_WIDTH = 2048
GAP = 1
SOURCES: dict[str, dict[str, str]] = {
    "noto-color-emoji": {
        "title": "Noto Color Emoji",
        "version": "2.042",
        "author": "Google Inc. and the noto-emoji contributors",
        "url": "https://github.com/googlefonts/noto-emoji",
        "licence": "OFL-1.1 (font), Apache-2.0 (artwork)",
        "licence_files": "OFL-1.1.txt, Apache-2.0.txt",
    },
    "dejavu-sans-mono-bold": {
        "title": "DejaVu Sans Mono Bold",
        "version": "2.37",
        "author": "Bitstream Inc., Tavmjong Bah and the DejaVu contributors",
        "url": "https://dejavu-fonts.github.io",
        "licence": "Bitstream-Vera (DejaVu changes in the public domain)",
        "licence_files": "DejaVu.txt",
    },
    "darkroom": {
        "title": "Drawn in code",
        "version": "1",
        "author": "the Darkroom contributors",
        "url": "src/darkroom/data/scenes",
        "licence": "Apache-2.0",
        "licence_files": "Apache-2.0.txt",
    },
}


def draw_emoji(emoji: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """One emoji as RGBA, cropped to what shows; InvalidRequest if the font lacks it."""
    canvas = Image.new("RGBA", (2 * EMOJI_SIZE, 2 * EMOJI_SIZE))
    ImageDraw.Draw(canvas).text((16, 16), emoji, font=font, embedded_color=True)
    box = canvas.getchannel("A").point(lambda alpha: 255 * (alpha >= FAINT)).getbbox()
    if box is None:
        raise InvalidRequest(f"the font has no drawing of {emoji!r}; give it Noto Color Emoji 2.042")
    return _straight(canvas.crop(box))


def _straight(image: Image.Image) -> Image.Image:
    # Pillow draws onto clear black, which leaves the colours multiplied by alpha
    pixels = np.asarray(image).astype(np.float32)
    alpha = pixels[..., 3:]
    pixels[..., :3] = np.where(alpha > 0, pixels[..., :3] * 255 / np.maximum(alpha, 1), 0)
    return Image.fromarray(np.clip(pixels.round(), 0, 255).astype(np.uint8), "RGBA")


def draw_letter(letter: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """One capital's coverage: all are as tall and as wide, as the letters of a font of one width are."""
    _, top, _, bottom = font.getbbox(string.ascii_uppercase)  # Q reaches below the line
    image = Image.new("L", (round(font.getlength(letter)) + 2 * GAP, int(bottom - top)))
    ImageDraw.Draw(image).text((GAP, -top), letter, fill=255, font=font)  # W and R fill the width
    return image


def lay_out(images: dict[str, Image.Image]) -> tuple[Image.Image, dict[str, list[int]]]:
    """Shelves of images in one atlas, tallest first; the box (left, top, right, bottom) of each."""
    boxes: dict[str, list[int]] = {}
    x = y = shelf = 0
    for name, image in sorted(images.items(), key=lambda item: (-item[1].height, item[0])):
        if x + image.width > ATLAS_WIDTH:
            x, y, shelf = 0, y + shelf + GAP, 0
        boxes[name] = [x, y, x + image.width, y + image.height]
        x, shelf = x + image.width + GAP, max(shelf, image.height)
    mode = next(iter(images.values())).mode
    atlas = Image.new(mode, (max(b[2] for b in boxes.values()), max(b[3] for b in boxes.values())))
    for name, image in images.items():
        atlas.paste(image, (boxes[name][0], boxes[name][1]))
    return atlas, boxes


def digest(image: Image.Image) -> str:
    """SHA-256 of a drawing's size and pixels, which does not depend on how a file stores them."""
    return hashlib.sha256(f"{image.mode} {image.size}".encode() + image.tobytes()).hexdigest()


def pack(emoji_font: Path, letter_font: Path, folder: Path) -> None:
    """Write ``emoji.webp``, ``letters.png`` and ``manifest.json`` into ``folder``."""
    emoji = ImageFont.truetype(emoji_font, EMOJI_SIZE)
    sprites = {look: draw_emoji(look, emoji) for k in CATALOGUE.values() for look in k.looks}
    capitals = ImageFont.truetype(letter_font, LETTER_SIZE)
    letters = {c: draw_letter(c, capitals) for c in string.ascii_uppercase}
    packed = _write(folder / "emoji.webp", sprites, "noto-color-emoji")
    drawings = {k.name: [{"emoji": look, **packed[look]} for look in k.looks] for k in CATALOGUE.values()}
    for kind in CATALOGUE.values():
        drawings[kind.name] = drawings[kind.name] or [{"source": "darkroom"}]
    sources = {name: dict(source) for name, source in SOURCES.items()}
    sources["noto-color-emoji"]["sha256"] = _hash(emoji_font)
    sources["dejavu-sans-mono-bold"]["sha256"] = _hash(letter_font)
    manifest = {
        "sources": sources,
        "letters": _write(folder / "letters.png", letters, "dejavu-sans-mono-bold"),
        "drawings": dict(sorted(drawings.items())),
        "files": {name: _hash(folder / name) for name in ("emoji.webp", "letters.png")},
    }
    (folder / "manifest.json").write_text(_one_line_each(manifest), encoding="utf-8")


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write(path: Path, images: dict[str, Image.Image], source: str) -> dict[str, dict[str, Any]]:
    atlas, boxes = lay_out(images)
    atlas.save(path, lossless=True, quality=100, method=6, exact=True, optimize=True)
    return {
        name: {"source": source, "file": path.name, "box": boxes[name], "sha256": digest(image)}
        for name, image in images.items()
    }


def _one_line_each(manifest: dict[str, Any]) -> str:
    sections = []
    for title, entries in manifest.items():
        lines = [f"  {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in entries.items()]
        sections.append(f'"{title}": {{\n' + ",\n".join(lines) + "\n}")
    return "{\n" + ",\n".join(sections) + "\n}\n"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser("python -m darkroom.data.scenes.pack", description=__doc__)
    parser.add_argument("emoji_font", type=Path, help="NotoColorEmoji.ttf 2.042")
    parser.add_argument("letter_font", type=Path, help="DejaVuSansMono-Bold.ttf 2.37")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent / "assets")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    pack(arguments.emoji_font, arguments.letter_font, arguments.folder)


if __name__ == "__main__":
    main()
