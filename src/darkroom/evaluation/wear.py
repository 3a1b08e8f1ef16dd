"""What a generator's pictures suffer and a renderer's do not, so that the examiner has seen it: blur, blocks,
noise, tints and bent outlines, each of a strength at which a person still sees everything."""

from io import BytesIO

import numpy as np
from PIL import Image

from darkroom.data.scenes.chance import between, chance

MESH = 4


def worn_out(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture, uint8 (side, side, 3), after none, some or all of it; the same size."""
    image = Image.fromarray(picture)
    if chance(rng, 0.35):
        image = bent(image, rng)
    if chance(rng, 0.5):
        image = coarsened(image, rng)
    pixels = np.asarray(image)
    if chance(rng, 0.5):
        pixels = tinted(pixels, rng)
    if chance(rng, 0.4):
        pixels = noisy(pixels, rng)
    return squeezed(pixels, rng) if chance(rng, 0.25) else pixels


def bent(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Pulled at the knots of a net by up to 2% of the side."""
    side, step = image.width, image.width / MESH
    knots = np.stack(np.meshgrid(*[np.arange(MESH + 1) * step] * 2), axis=-1)  # (row, column, x and y)
    knots[1:-1, 1:-1] += rng.uniform(-0.02, 0.02, (MESH - 1, MESH - 1, 2)) * side
    edges = [round(i * step) for i in range(MESH + 1)]
    mesh = [
        (
            (edges[x], edges[y], edges[x + 1], edges[y + 1]),
            (*knots[y, x], *knots[y + 1, x], *knots[y + 1, x + 1], *knots[y, x + 1]),
        )
        for y in range(MESH)
        for x in range(MESH)
    ]
    return image.transform(image.size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)


def coarsened(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Made smaller, to 45% at worst, and large again."""
    side = round(image.width * between(rng, 0.45, 0.95))
    how = Image.Resampling.BICUBIC if chance(rng, 0.5) else Image.Resampling.BILINEAR
    return image.resize((side, side), Image.Resampling.BOX).resize(image.size, how)


def tinted(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each channel up to 7% stronger or weaker, and up to 10 of 255 lighter or darker."""
    gain, lift = rng.uniform(0.93, 1.07, 3), rng.uniform(-10, 10, 3)
    table = np.clip(np.arange(256)[:, None] * gain + lift, 0, 255).astype(np.uint8)
    return np.stack([table[pixels[..., c], c] for c in range(3)], axis=-1)


def noisy(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Grain of a pixel, or blotches of four."""
    side, size = pixels.shape[0], 1 if chance(rng, 0.5) else 4
    grain = rng.standard_normal((side // size, side // size, 3), np.float32) * between(rng, 1.5, 9.0)
    grain = grain.repeat(size, axis=0).repeat(size, axis=1)
    return np.clip(pixels + grain, 0, 255).astype(np.uint8)


def squeezed(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """JPEG at a low quality."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=int(between(rng, 25, 80)))
    return np.asarray(Image.open(file))
