"""Something likely under a mask: colours of what lies around it, as A1111's "fill" has it."""

import numpy as np
from PIL import Image, ImageFilter

RADII = (256, 64, 16, 4, 1)
"""In pixels: from far away where nothing is near, up to the very edge."""


def filled(picture: Image.Image, mask: Image.Image) -> Image.Image:
    """The picture with what the mask (L, white inside) covers blurred in from around it."""
    if mask.size != picture.size:
        mask = mask.resize(picture.size, Image.Resampling.NEAREST)
    known = Image.composite(Image.new("L", picture.size, 0), Image.new("L", picture.size, 255), mask)
    plain = picture.convert("RGB")
    if known.getextrema()[1] == 0:
        return plain
    below = np.zeros((picture.height, picture.width, 3), np.float32)
    for radius in RADII:
        below = _over(below, plain, known, radius)
    under = Image.fromarray(below.round().clip(0, 255).astype(np.uint8))
    return Image.composite(under, plain, mask)


def _over(below: np.ndarray, plain: Image.Image, known: Image.Image, radius: int) -> np.ndarray:
    """What is known, blurred, over what was found with wider blurs; as thick as much of it is near."""
    blur = ImageFilter.GaussianBlur(radius)
    weight = np.asarray(known.filter(blur), np.float32)[..., None] / 255
    lit = Image.composite(plain, Image.new("RGB", plain.size), known).filter(blur)
    colour = np.asarray(lit, np.float32) / np.maximum(weight, 1 / 255)
    return np.where(weight > 0, colour * weight + below * (1 - weight), below)
