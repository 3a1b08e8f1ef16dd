"""Embeddings in every layout, read and checked; and what a prompt makes of them, against diffusers' way."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from darkroom.adapters.textual_inversion import read_embedding
from darkroom.errors import DarkroomError
from darkroom.weights.store import MemoryStore, open_store

L, G = torch.randn(3, 768), torch.randn(3, 1280)


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({"emb_params": L}, {"text_encoder": L}),
        ({"emb_params": torch.ones(2, 1024)}, {"text_encoder": torch.ones(2, 1024)}),
        ({"clip_l": L, "clip_g": G}, {"text_encoder": L, "text_encoder_2": G}),
        ({"clip_g": G}, {"text_encoder_2": G}),
        ({"<cat>": L[0]}, {"text_encoder": L[:1]}),
        ({"<cat>": L}, {"text_encoder": L}),
        ({"<dog>": L, "<cat>": L[0]}, {"text_encoder": L[:1]}),
        ({"string_to_param.*": L}, {"text_encoder": L}),
        ({"string_to_param.*": L, "string_to_token.*": torch.tensor(265)}, {"text_encoder": L}),
        ({"emb_params": G.half()}, {"text_encoder_2": G.half()}),
    ],
)
def test_every_layout(tensors: dict[str, Tensor], told: dict[str, Tensor]):
    found = read_embedding(MemoryStore(tensors), "cat")
    assert found.name == "cat" and found.vectors.keys() == told.keys()
    assert all(torch.equal(found.vectors[part], vectors) for part, vectors in told.items())


def test_pickles_as_the_tools_write_them(tmp_path: Path):
    """A1111's, with a parameter and numbers beside it, and diffusers' learned_embeds.bin."""
    a1111 = {
        "string_to_token": {"*": 265},
        "string_to_param": torch.nn.ParameterDict({"*": torch.nn.Parameter(L)}),
        "name": "cat",
        "step": 500,
        "sd_checkpoint": None,
    }
    plain = a1111 | {"string_to_param": {"*": L.requires_grad_()}}
    for i, values in enumerate((plain, {"<cat>": L.detach()[0]})):
        path = tmp_path / f"{i}.pt"
        torch.save(values, path)
        found = read_embedding(open_store(path, allow_pickle=True), "cat").vectors["text_encoder"]
        assert torch.equal(found, L.detach() if i == 0 else L.detach()[:1])
        with pytest.raises(DarkroomError, match="--allow-pickle"):
            open_store(path)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        (
            {"lora_unet_conv_in.alpha": torch.tensor(1.0)},
            r"is not an embedding: it holds 'lora_unet_conv_in\.alpha'",
        ),
        ({}, "is not an embedding: it holds nothing"),
        ({"<a>": L, "<b>": L}, "holds 2 embeddings .* name one"),
        ({"emb_params": torch.ones(2, 700)}, r"has the shape \(2, 700\)"),
        ({"emb_params": torch.ones(1, 2, 768)}, r"has the shape \(1, 2, 768\)"),
        ({"emb_params": torch.ones(0, 768)}, r"has the shape \(0, 768\)"),
        ({"emb_params": torch.full((1, 768), torch.nan)}, "no numbers"),
        ({"emb_params": torch.ones(1, 768, dtype=torch.int32)}, "no numbers"),
    ],
)
def test_what_is_none_is_refused(tensors: dict[str, Tensor], said: str):
    with pytest.raises(DarkroomError, match=said):
        read_embedding(MemoryStore(tensors), "cat")


def test_what_fits_a_model():
    """One for SD 1 fits the first text encoder of SDXL, but says nothing to its second."""
    one, two = (
        read_embedding(MemoryStore(t), "cat") for t in ({"emb_params": L}, {"clip_l": L, "clip_g": G})
    )
    one.check({"text_encoder": 768})
    two.check({"text_encoder": 768, "text_encoder_2": 1280})
    with pytest.raises(
        DarkroomError, match=r"the text_encoder takes vectors of width 1024 and it has .* 768"
    ):
        one.check({"text_encoder": 1024})
    with pytest.raises(DarkroomError, match="the text_encoder_2 takes vectors of width 1280 and it has none"):
        one.check({"text_encoder": 768, "text_encoder_2": 1280})


def test_a_prompt_with_it_is_what_the_tokens_of_diffusers_give():
    """diffusers adds tokens and rows to tokenizer and table; ours lays the vectors in their place."""
    pytest.importorskip("transformers")
    from transformers import CLIPTextConfig, CLIPTextModel

    from darkroom.text.clip import ClipEncoder
    from darkroom.text.vocabulary import shipped

    torch.manual_seed(0)
    sizes = {"hidden_size": 768, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1}
    model = CLIPTextModel(CLIPTextConfig(vocab_size=49408, **sizes)).eval()
    vocabulary = shipped()
    found = read_embedding(MemoryStore({"emb_params": L.detach()}), "mycat")
    with torch.no_grad():
        told = {found.name: found.vectors["text_encoder"]}
        encoded = ClipEncoder(model, vocabulary, final_norm=True).encode(
            ["a mycat on grass"], embeddings=told
        )
        model.resize_token_embeddings(49411)
        model.get_input_embeddings().weight[-3:] = L
        ids = [49406, *vocabulary.ids("a"), 49408, 49409, 49410, *vocabulary.ids("on grass")]
        ids += [49407] * (77 - len(ids))
        expected = model(torch.tensor([ids])).last_hidden_state
    torch.testing.assert_close(encoded.tokens, expected, atol=1e-5, rtol=1e-5)
