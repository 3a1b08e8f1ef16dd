"""Signs of models that are not known here, and tensors that no network needs."""

import re
from collections.abc import Iterable

OTHERS = (
    ("distilled_guidance_layer.in_proj.weight", "Chroma"),
    ("single_stream_modulation.lin.weight", "FLUX.2"),
    ("txt_in.individual_token_refiner.blocks.0.adaLN_modulation.1.bias", "HunyuanVideo"),
    ("cap_embedder.0.weight", "Lumina 2 or Z-Image"),
    ("double_layers.0.attn.w1q.weight", "AuraFlow"),
    ("patchify_proj.weight", "LTX-Video"),
    ("head.modulation", "Wan"),
    ("txt_norm.weight", "Qwen-Image"),
    ("clip_txt_mapper.weight", "Stable Cascade, stage C"),
    ("down_blocks.1.0.channelwise.0.weight", "Stable Cascade, stage B"),
    ("blocks.0.cross_attn.q_linear.weight", "PixArt or Sana, in its authors' naming"),
    ("encoder_hid_proj.weight", "Kolors, or a U-Net with a projection of its text"),
    ("double_stream_blocks.0.block.adaLN_modulation.1.bias", "HiDream"),
    ("net.x_embedder.proj.1.weight", "Cosmos"),
    ("conv_first.weight", "an upscaler (ESRGAN or its kin)"),
    ("model.0.weight", "an upscaler (ESRGAN, early naming)"),
    ("lora_controlnet", "a ControlNet-LoRA"),
    ("body.0.block1.weight", "a T2I-Adapter"),
    ("adapter.body.0.resnets.0.block1.weight", "a T2I-Adapter"),
    ("down_blocks.0.motion_modules.0.temporal_transformer.norm.weight", "an AnimateDiff motion module"),
    ("mid_block.motion_modules.0.temporal_transformer.norm.weight", "an AnimateDiff motion module"),
    ("model.embed_tokens.weight", "a language model"),
    ("time_embed.0.weight", "a diffusion model of another kind"),
)
"""A name that tells, bare or behind ``model.diffusion_model.``, and what it tells of."""

BALLAST = re.compile(
    r"model_ema\..*|betas|logvar|lvlb_weights|scale_factor|denoiser\.(log_)?sigmas"  # of training
    r"|(sqrt_|log_)?(recip_|recipm1_|one_minus_)?alphas_cumprod(_prev)?|posterior_\w+"  # schedules
    r"|v_pred|ztsnr|edm_mean|edm_std|edm_vpred\.sigma_(max|min)|(.*\.)?scaled_fp8"  # marks
    r"|(.*\.)?logit_scale|first_stage_model\.loss\..*|embedding_manager\..*"
)
"""Schedules, moving averages of the weights and marks: nothing that a network needs."""


def guess(names: Iterable[str]) -> str | None:
    """What a file of an unknown kind probably is."""
    bare = {name.removeprefix("model.diffusion_model.") for name in names}
    return next((what for sign, what in OTHERS if sign in bare), None)


def is_ballast(name: str) -> bool:
    """Whether no network needs the tensor of this name."""
    return BALLAST.fullmatch(name) is not None
