"""The networks that files hold, each known by a few names that all of its kind have and no other kind has."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from darkroom.weights.header import Header
from darkroom.weights.keymap import KeyMap, Shapes, View
from darkroom.weights.layouts import autoencoder, clip, controlnet, flux, mmdit, taesd, unet
from darkroom.weights.store import Part as Behind
from darkroom.weights.store import Store

DIFFUSERS, LDM, TRANSFORMERS = "diffusers", "latent-diffusion", "transformers"


@dataclass(frozen=True)
class Kind:
    """A kind of network under one naming. ``keymap`` leads to our names; None where they are ours."""

    network: str
    naming: str
    signs: tuple[str, ...]
    keymap: Callable[[Shapes], KeyMap] | None = None


KINDS = (
    Kind(
        "unet",
        LDM,
        ("input_blocks.0.0.weight", "time_embed.0.weight", "output_blocks.0.0.in_layers.0.weight"),
        unet.from_original,
    ),
    Kind(
        "unet",
        DIFFUSERS,
        ("conv_in.weight", "time_embedding.linear_1.weight", "up_blocks.0.resnets.0.norm1.weight"),
    ),
    Kind("controlnet", LDM, ("input_blocks.0.0.weight", "zero_convs.0.0.weight"), controlnet.from_original),
    Kind("controlnet", DIFFUSERS, ("conv_in.weight", "controlnet_cond_embedding.conv_in.weight")),
    Kind(
        "flux controlnet",
        "XLabs",
        ("controlnet_blocks.0.weight", "input_hint_block.0.weight", "double_blocks.0.img_attn.qkv.weight"),
        controlnet.flux_from_original,
    ),
    Kind("flux controlnet", DIFFUSERS, ("controlnet_blocks.0.weight", "controlnet_x_embedder.weight")),
    Kind("mmdit controlnet", DIFFUSERS, ("controlnet_blocks.0.weight", "pos_embed_input.proj.weight")),
    Kind(
        "flux",
        "Black Forest Labs",
        (
            "img_in.weight",
            "vector_in.in_layer.weight",
            "double_blocks.0.img_attn.qkv.weight",
            "final_layer.linear.weight",
        ),
        flux.from_original,
    ),
    Kind(
        "flux",
        DIFFUSERS,
        (
            "x_embedder.weight",
            "time_text_embed.text_embedder.linear_1.weight",
            "transformer_blocks.0.attn.add_q_proj.weight",
            "single_transformer_blocks.0.proj_mlp.weight",
            "norm_out.linear.weight",
        ),
    ),
    Kind(
        "mmdit",
        "Stability",
        ("x_embedder.proj.weight", "joint_blocks.0.x_block.attn.qkv.weight", "final_layer.linear.weight"),
        mmdit.from_original,
    ),
    Kind(
        "mmdit",
        DIFFUSERS,
        ("pos_embed.proj.weight", "time_text_embed.text_embedder.linear_1.weight", "norm_out.linear.weight"),
    ),
    Kind("pixart", DIFFUSERS, ("adaln_single.linear.weight", "caption_projection.linear_1.weight")),
    Kind("pixart", "PixArt", ("t_block.1.weight", "y_embedder.y_proj.fc1.weight", "x_embedder.proj.weight")),
    Kind(
        "vae",
        "diffusers, old",
        ("decoder.conv_in.weight", "decoder.mid_block.attentions.0.query.weight"),
        autoencoder.from_old_native,
    ),
    Kind("vae", DIFFUSERS, ("decoder.conv_in.weight", "decoder.mid_block.resnets.0.norm1.weight")),
    Kind(
        "vae", LDM, ("decoder.conv_in.weight", "decoder.mid.block_1.norm1.weight"), autoencoder.from_original
    ),
    Kind(
        "taesd",
        DIFFUSERS,
        ("encoder.layers.0.weight", "decoder.layers.1.weight", "decoder.layers.3.conv.0.weight"),
    ),
    Kind(
        "taesd",
        DIFFUSERS,
        ("encoder.layers.0.weight", "decoder.layers.0.weight", "decoder.layers.2.conv.0.weight"),
    ),
    Kind("taesd decoder", "TAESD", ("1.weight", "3.conv.0.weight"), taesd.from_release),
    Kind("taesd encoder", "TAESD", ("0.weight", "1.conv.0.weight"), taesd.from_release),
    Kind(
        "clip",
        TRANSFORMERS,
        ("text_model.embeddings.token_embedding.weight", "text_model.encoder.layers.0.mlp.fc1.weight"),
    ),
    Kind(
        "clip",
        "transformers, in memory",
        ("embeddings.token_embedding.weight", "encoder.layers.0.mlp.fc1.weight"),
        clip.flat_clip,
    ),
    Kind(
        "clip",
        "OpenCLIP",
        ("token_embedding.weight", "transformer.resblocks.0.attn.in_proj_weight"),
        clip.open_clip,
    ),
    Kind("t5", TRANSFORMERS, ("encoder.block.0.layer.0.SelfAttention.q.weight",)),
    Kind("image encoder", TRANSFORMERS, ("vision_model.embeddings.patch_embedding.weight",)),
)
"""The first whose signs are all there counts."""

PREFIXES = {
    "model.diffusion_model.": "",
    "control_model.": "controlnet",
    "first_stage_model.": "vae",
    "vae.": "vae",
    "cond_stage_model.transformer.": "text_encoder",
    "cond_stage_model.model.": "text_encoder",
    "conditioner.embedders.0.transformer.": "text_encoder",
    "conditioner.embedders.0.model.": "text_encoder_2",
    "conditioner.embedders.1.model.": "text_encoder_2",
    "text_encoders.clip_l.transformer.": "text_encoder",
    "text_encoders.clip_g.transformer.": "text_encoder_2",
    "text_encoders.t5xxl.transformer.": "",
    "unet.": "unet",
    "transformer.": "transformer",
    "text_encoder.": "text_encoder",
    "text_encoder_2.": "text_encoder_2",
    "text_encoder_3.": "text_encoder_3",
    "controlnet.": "controlnet",
    "image_encoder.": "image_encoder",
    "": "",
}
"""What stands before the names of a part, and the part's name where that says it."""

PARTS = {
    "flux": "transformer",
    "mmdit": "transformer",
    "pixart": "transformer",
    "flux controlnet": "controlnet",
    "mmdit controlnet": "controlnet",
    "clip": "text_encoder",
    "taesd": "vae",
    "taesd decoder": "vae",
    "taesd encoder": "vae",
    "image encoder": "image_encoder",
}
"""What a folder of diffusers calls a network; the others are called as they are."""


@dataclass(frozen=True)
class Part:
    """A network within a file: what diffusers calls it, its kind, and what stands before its names."""

    name: str
    kind: Kind
    prefix: str
    shapes: Shapes

    @property
    def keymap(self) -> KeyMap | None:
        """How its names become ours, or None where nothing but the prefix falls off."""
        return self.kind.keymap(self.shapes).under(self.prefix) if self.kind.keymap else None

    def native(self, store: Store) -> Store:
        """The part of the store that it is, under our names."""
        if self.kind.keymap:
            return self.view(store)
        return Behind(store, self.prefix) if self.prefix else store

    def view(self, store: Store) -> View:
        """The same with account of what no rule knows; for namings that need a key map."""
        keymap = self.keymap
        assert keymap is not None
        return keymap.native(store)


def kind_of(names: Mapping[str, object]) -> Kind | None:
    """The kind of a network by its names, without prefix."""
    return next((kind for kind in KINDS if all(sign in names for sign in kind.signs)), None)


def parts_of(header: Header) -> tuple[Part, ...]:
    """All networks in a file, in the order of :data:`PREFIXES`."""
    found: list[Part] = []
    rest = header.shapes
    for prefix, name in PREFIXES.items():
        shapes = {one.removeprefix(prefix): shape for one, shape in rest.items() if one.startswith(prefix)}
        if kind := kind_of(shapes):
            found.append(Part(name or PARTS.get(kind.network, kind.network), kind, prefix, shapes))
            rest = {one: shape for one, shape in rest.items() if not one.startswith(prefix)}
    return tuple(_numbered(found))


def _numbered(parts: Iterable[Part]) -> Iterator[Part]:
    """T5 has the number that its pipeline gives it: the last of the text encoders."""
    parts = list(parts)
    encoders = sum(part.kind.network == "clip" for part in parts)
    for part in parts:
        if part.kind.network == "t5":
            number = f"_{encoders + 1}" if encoders else _t5_number(parts)
            yield Part(f"text_encoder{number}", part.kind, part.prefix, part.shapes)
        else:
            yield part


def _t5_number(parts: Iterable[Part]) -> str:
    """Where no CLIP is in the file, the network says how many there should be."""
    beside = {part.kind.network for part in parts}
    return "_3" if "mmdit" in beside else "_2" if "flux" in beside else ""
