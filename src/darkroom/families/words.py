"""Text encoders out of a model's folder or file, and prompts as they read them."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from darkroom.errors import DarkroomError
from darkroom.families.family import Options, Reading
from darkroom.families.source import Source
from darkroom.text.clip import ClipEncoder, Pooled
from darkroom.text.emphasis import weighted
from darkroom.text.encoded import Emphasis, Encoded, Text
from darkroom.text.models import Loaded, load_clip, load_t5
from darkroom.text.t5 import T5Encoder, t5_vocabulary
from darkroom.text.vocabulary import clip_vocabulary
from darkroom.weights.loading import defer


def clip_encoder(
    source: Source,
    part: str,
    options: Options,
    *,
    layer: int = 1,
    final_norm: bool = True,
    pooled: Pooled = "none",
    pad: int | None = None,
    cut: int = 0,
) -> ClipEncoder:
    """A CLIP text encoder; ``pad`` fills up a prompt where no folder of a tokenizer says with what.

    The others are as :class:`~darkroom.text.clip.ClipEncoder` has them. Raises DarkroomError for a part that
    is missing or damaged.
    """
    told = source.configs.get(part) or None
    tensors = source.tensors(part, options.later)
    loaded = load_clip(tensors, told, options.dtype, projection=pooled == "projected")
    settle(loaded, source, part, options)
    folder = tokenizer_folder(source, part)
    vocabulary = clip_vocabulary(folder)
    if folder is None and pad is not None:
        vocabulary = vocabulary.padded_with(pad)
    return ClipEncoder(loaded.model, vocabulary, layer, final_norm, pooled, cut)


def t5_encoder(source: Source, part: str, options: Options, length: int) -> T5Encoder:
    """A T5 encoder and its vocabulary. Raises DarkroomError where one of them is missing or damaged."""
    vocabulary = t5_vocabulary(tokenizer_folder(source, part))
    tensors = source.tensors(part, options.later)
    loaded = load_t5(tensors, source.configs.get(part) or None, options.dtype)
    settle(loaded, source, part, options)
    return T5Encoder(loaded.model, vocabulary, length)


def settle(loaded: Loaded, source: Source, part: str, options: Options) -> None:
    """Look at the encoder's weights, or let them come from the file later: then they are looked at there."""
    if options.later:
        defer(loaded.model, source.store(part), loaded.names)
    else:
        check_finite(loaded.model, source, part)


def check_finite(encoder: nn.Module, source: Source, part: str) -> None:
    """Raise DarkroomError where a weight is NaN or infinite: every picture would come out black."""
    for name, weight in encoder.named_parameters():
        low, high = weight.detach().aminmax()
        if not low.isfinite() & high.isfinite():
            raise DarkroomError(
                f"'{source.store(part).header.source}': '{name}' of the {part} has numbers that are NaN or "
                "infinite; the file is damaged, get it again from where it came."
            )


def tokenizer_folder(source: Source, part: str) -> Path | None:
    """The folder of a text encoder's tokenizer, in the model's folder or beside its files."""
    name = part.replace("text_encoder", "tokenizer")
    return next((folder / name for folder in source.folders if (folder / name).is_dir()), None)


def read_by(clip: ClipEncoder, part: str, prompts: Sequence[str], reading: Reading) -> Encoded:
    """Prompts as one of a model's CLIP encoders reads them."""
    texts, how = texts_of(prompts, reading)
    return clip.encode(texts, reading.clip_skip, reading.embeddings_of(part), how)


def texts_of(prompts: Sequence[str], reading: Reading) -> tuple[Sequence[Text], Emphasis]:
    """Prompts taken apart as the reading wants it, and how their weights count."""
    match reading.emphasis:
        case "none":
            return list(prompts), "plain"
        case "comfy":
            return [weighted(prompt, "comfy") for prompt in prompts], "comfy"
        case how:
            return [weighted(prompt) for prompt in prompts], "plain" if how == "plain" else "a1111"
