"""What the shapes of a network say, and what published families have there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from darkroom.weights.keymap import Shapes
from darkroom.weights.layouts.unet import count

Facts = Mapping[str, int]

UNETS: Mapping[str, Facts] = {
    "sd1": {"text width": 768, "channels": 320, "levels": 4, "layers": 2},
    "sd2": {"text width": 1024, "channels": 320, "levels": 4, "layers": 2},
    "sdxl": {"text width": 2048, "channels": 320, "levels": 3, "layers": 2, "vector width": 2816},
    "sdxl-refiner": {"text width": 1280, "channels": 384, "levels": 4, "layers": 2, "vector width": 2560},
}
MMDITS: Mapping[str, Facts] = {
    "sd3": {"text width": 4096, "width": 1536, "blocks": 24, "latent channels": 16, "vector width": 2048},
    "sd3.5-medium": {
        "text width": 4096,
        "width": 1536,
        "blocks": 24,
        "latent channels": 16,
        "vector width": 2048,
    },
    "sd3.5-large": {
        "text width": 4096,
        "width": 2432,
        "blocks": 38,
        "latent channels": 16,
        "vector width": 2048,
    },
}
FLUX: Facts = {
    "text width": 4096,
    "width": 3072,
    "double blocks": 19,
    "single blocks": 38,
    "vector width": 768,
}
PIXART: Facts = {"text width": 4096, "width": 1152, "blocks": 28, "latent channels": 4}

UNET_INPUTS = {4: "", 9: "inpaint", 8: "instruct-pix2pix", 7: "upscaler", 5: "depth"}
FLUX_INPUTS = {64: "", 384: "fill", 128: "control"}


@dataclass(frozen=True)
class Found:
    """The family that a network is of by its structure; ``differences`` is where its sizes are not those."""

    family: str
    variant: str
    differences: tuple[str, ...]
    notes: tuple[str, ...] = ()


def of_unet(shapes: Shapes) -> Found:
    """Family and variant of a U-Net, or of a ControlNet, with our names."""
    facts = unet_facts(shapes)
    family = _unet_family(facts, shapes)
    variant, more = _variant(shapes["conv_in.weight"][1], UNET_INPUTS)
    if "time_embedding.cond_proj.weight" in shapes:
        variant = f"{variant} lcm".strip()
    if "class_embedding.linear_1.weight" in shapes:
        variant = f"{variant} unclip".strip()
    return Found(family, variant, (*differences(facts, UNETS[family], family), *more))


def unet_facts(shapes: Shapes) -> Facts:
    """Sizes of a U-Net."""
    text = _first(shapes, ".attn2.to_k.weight")
    facts = {
        "text width": text[1] if text else 0,
        "channels": shapes["conv_in.weight"][0],
        "levels": count(shapes, "down_blocks."),
        "layers": count(shapes, "down_blocks.0.resnets."),
    }
    vector = shapes.get("add_embedding.linear_1.weight")
    return {**facts, "vector width": vector[1]} if vector else facts


def _unet_family(facts: Facts, shapes: Shapes) -> str:
    """By what is there and only then by how wide it is."""
    if "vector width" in facts:
        return "sdxl-refiner" if facts["levels"] == 4 else "sdxl"
    widths = {768: "sd1", 1024: "sd2"}
    linear = len(_first(shapes, ".attentions.0.proj_in.weight") or (0,) * 4) == 2
    return widths.get(facts["text width"], "sd2" if linear else "sd1")


def of_mmdit(shapes: Shapes) -> Found:
    """Family of a transformer of Stable Diffusion 3 with our names."""
    facts = {
        "text width": shapes["context_embedder.weight"][1],
        "width": shapes["pos_embed.proj.weight"][0],
        "blocks": count(shapes, "transformer_blocks."),
        "latent channels": shapes["pos_embed.proj.weight"][1],
        "vector width": shapes["time_text_embed.text_embedder.linear_1.weight"][1],
    }
    dual = "transformer_blocks.0.attn2.to_q.weight" in shapes
    normed = "transformer_blocks.0.attn.norm_q.weight" in shapes
    family = "sd3.5-medium" if dual else "sd3.5-large" if normed else "sd3"
    return Found(family, "", differences(facts, MMDITS[family], family))


def of_flux(shapes: Shapes) -> Found:
    """Variant of a FLUX.1 transformer with our names."""
    facts = {
        "text width": shapes["context_embedder.weight"][1],
        "width": shapes["x_embedder.weight"][0],
        "double blocks": count(shapes, "transformer_blocks."),
        "single blocks": count(shapes, "single_transformer_blocks."),
        "vector width": shapes["time_text_embed.text_embedder.linear_1.weight"][1],
    }
    guided = "time_text_embed.guidance_embedder.linear_1.weight" in shapes
    variant, more = _variant(shapes["x_embedder.weight"][1], FLUX_INPUTS)
    alike = "FLUX.1 dev, Kontext and Krea have the same header" if guided and not variant else ""
    name = f"{'dev' if guided else 'schnell'} {variant}".strip()
    return Found("flux", name, (*differences(facts, FLUX, "flux"), *more), (alike,) if alike else ())


def of_pixart(shapes: Shapes) -> Found:
    """Variant of PixArt with diffusers' names."""
    facts = {
        "text width": shapes["caption_projection.linear_1.weight"][1],
        "width": shapes["pos_embed.proj.weight"][0],
        "blocks": count(shapes, "transformer_blocks."),
        "latent channels": shapes["pos_embed.proj.weight"][1],
    }
    sized = "adaln_single.emb.resolution_embedder.linear_1.weight" in shapes
    notes = () if sized else ("PixArt-Sigma and the smaller PixArt-alpha have the same header",)
    return Found("pixart", "alpha" if sized else "sigma", differences(facts, PIXART, "pixart"), notes)


READERS: Mapping[str, Callable[[Shapes], Found]] = {
    "unet": of_unet,
    "controlnet": of_unet,
    "mmdit": of_mmdit,
    "flux": of_flux,
    "pixart": of_pixart,
}


def differences(found: Facts, published: Facts, family: str) -> tuple[str, ...]:
    """Where a network's sizes are not those of its family, in words."""
    return tuple(
        f"its {name} is {found.get(name, 0)} where {family} has {value}"
        for name, value in published.items()
        if found.get(name, 0) != value
    )


def text_width(shapes: Shapes) -> int:
    """The width of a text encoder."""
    for name, side in (
        ("text_model.embeddings.token_embedding.weight", 1),
        ("embeddings.token_embedding.weight", 1),
        ("token_embedding.weight", 1),
        ("encoder.block.0.layer.0.SelfAttention.q.weight", 1),
    ):
        if name in shapes:
            return shapes[name][side]
    return 0


def _variant(channels: int, known: Mapping[int, str]) -> tuple[str, tuple[str, ...]]:
    """What the number of input channels makes of a network."""
    if channels in known:
        return known[channels], ()
    usual = next(iter(known))
    return "", (f"it takes {channels} channels where {usual} are usual",)


def _first(shapes: Shapes, end: str) -> tuple[int, ...] | None:
    return next((shape for name, shape in shapes.items() if name.endswith(end)), None)
