"""Textual inversion: words that a text encoder did not learn, as vectors that take the place of its tokens'.

Gal et al. 2022 (arXiv 2208.01618). Here files are read and checked; the text encoders of ``darkroom.text``
take the vectors by name and lay them where a prompt has the name. No tokenizer and no weight is changed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from darkroom.errors import DarkroomError
from darkroom.weights.header import shown
from darkroom.weights.store import Store

PARTS = {768: "text_encoder", 1024: "text_encoder", 1280: "text_encoder_2"}
"""By its width, the text encoder that vectors are for: CLIP L, OpenCLIP H, OpenCLIP G."""
ENCODERS = {"clip_l": "text_encoder", "clip_g": "text_encoder_2"}
"""How files for models with two text encoders call them."""
PARAM = "string_to_param."
"""Where A1111's pickles keep their vectors, behind it the name of the token."""


@dataclass(frozen=True)
class Embedding:
    """A word: ``vectors`` (n, D) by the part of a model that reads them; it takes the place of n tokens."""

    name: str
    vectors: Mapping[str, Tensor]

    def check(self, widths: Mapping[str, int]) -> None:
        """Raise DarkroomError unless each CLIP of a model finds vectors of its width, told by its part."""
        for part, width in widths.items():
            found = self.vectors[part].shape[1] if part in self.vectors else None
            if found != width:
                has = "none" if found is None else f"vectors of width {found}"
                raise DarkroomError(
                    f"the embedding '{self.name}' was made for another kind of model: the {part} takes "
                    f"vectors of width {width} and it has {has}; take one for this model."
                )


def read_embedding(store: Store, name: str) -> Embedding:
    """The word in a file as A1111 writes it (``emb_params``), for SDXL (``clip_l``), or as diffusers does.

    ``name`` is what prompts call it, and chooses where a file of diffusers has several words. Raises
    DarkroomError for a file that holds no embedding, several of which none has that name, or vectors that
    cannot be any.
    """
    keys = [key for key in store.header.tensors if key in ENCODERS]
    chosen = {ENCODERS[key]: key for key in keys} or {"": _single(store, name)}
    vectors = {}
    for part, key in chosen.items():
        tensor = _checked(store, key)
        vectors[part or PARTS[tensor.shape[1]]] = tensor
    return Embedding(name, vectors)


def _single(store: Store, name: str) -> str:
    """The key of the vectors in a file that has them for one text encoder."""
    keys = list(store.header.tensors)
    if "emb_params" in keys:
        return "emb_params"
    found = [key for key in keys if key.startswith(PARAM)] or _words(store)
    if len(found) > 1:
        found = [key for key in found if key.removeprefix(PARAM).strip("<>") == name.strip("<>")]
        if not found:
            raise DarkroomError(
                f"{store.header.source} holds {len(keys)} embeddings ({_listed(keys)}); name one of them."
            )
    if not found:
        raise DarkroomError(
            f"{store.header.source} is not an embedding: it holds {_listed(keys) or 'nothing'}; "
            "name a file of textual inversion."
        )
    return found[0]


def _words(store: Store) -> list[str]:
    """The keys of a file of diffusers, which has a tensor for each word and nothing else."""
    shapes = store.header.shapes
    return (
        list(shapes) if all(len(shape) in (1, 2) and shape[-1] in PARTS for shape in shapes.values()) else []
    )


def _checked(store: Store, key: str) -> Tensor:
    """The vectors (n, D)."""
    tensor = store.tensor(key)
    vectors = tensor[None] if tensor.ndim == 1 else tensor
    if vectors.ndim != 2 or not len(vectors) or vectors.shape[1] not in PARTS:
        raise DarkroomError(
            f"'{key}' in {store.header.source} has the shape {tuple(tensor.shape)}; vectors of an embedding "
            f"are {', '.join(map(str, PARTS))} wide: get the file again, or take another."
        )
    if not vectors.is_floating_point() or not bool(torch.isfinite(vectors).all()):
        raise DarkroomError(
            f"'{key}' in {store.header.source} has vectors that are no numbers; get it again."
        )
    return vectors


def _listed(keys: Iterable[str]) -> str:
    names = [shown(key) for key in keys]
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
