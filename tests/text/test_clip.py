"""CLIP's encoders answer what diffusers' pipelines feed their networks; weights change what they should."""

import json
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from darkroom.errors import DarkroomError, InvalidRequest, UnknownName
from darkroom.text.encoded import Encoded, emphasised
from darkroom.text.prompt import Fragment, weighted

pytest.importorskip("tokenizers")
pytest.importorskip("transformers")

import transformers

from darkroom.text.clip import ClipEncoder
from darkroom.text.models import load_clip
from darkroom.text.vocabulary import shipped

PROMPTS = [
    "a photo of a cat",
    "",
    "an old man's red hat, 2 dogs \u00e9t\u00e9 \U0001f600, " + "so very long " * 25,
]
EXACT = {"rtol": 1e-5, "atol": 1e-5}


def tiny(projection: bool = False, seed: int = 0, width: int = 64, **options) -> torch.nn.Module:
    """A random text encoder as transformers builds it, with weights that make its layers differ."""
    torch.manual_seed(seed)
    config = transformers.CLIPTextConfig(
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=width // 2,
        num_hidden_layers=4,
        num_attention_heads=2,
        **options,
    )
    kind = transformers.CLIPTextModelWithProjection if projection else transformers.CLIPTextModel
    model = kind(config).eval().requires_grad_(False)
    for weight in model.parameters():
        weight.add_(0.1 * torch.randn_like(weight))
    return model


@pytest.fixture(scope="module")
def tokenizers():
    """The vocabulary as transformers' tokenizer, padded with the end and with 0."""
    state = json.loads(shipped().tokenizer.to_str())["model"]
    merges = [tuple(pair) for pair in state["merges"]]
    return [
        transformers.CLIPTokenizer(vocab=state["vocab"], merges=merges, pad_token=pad, model_max_length=77)
        for pad in ("<|endoftext|>", "!")
    ]


def on_disk(model: torch.nn.Module) -> dict[str, Tensor]:
    """Weights by the names that published checkpoints have."""
    return {
        name if name.startswith(("text_model.", "text_projection.")) else f"text_model.{name}": weight
        for name, weight in model.state_dict().items()
    }


def encoder(model: torch.nn.Module, pad: int = 49407, **options) -> ClipEncoder:
    return ClipEncoder(model, shipped().padded_with(pad), **options)


# ---- parity with diffusers


@pytest.mark.parametrize("clip_skip", [None, 1, 2])
def test_sd1_and_sd2(tokenizers, clip_skip):
    pipelines = pytest.importorskip("diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion")
    for tokenizer, pad in zip(tokenizers, (49407, 0), strict=True):
        model = tiny()
        model.__dict__["text_model"] = (
            model  # diffusers looks for the last norm there, as in older transformers
        )
        pipe = pipelines.StableDiffusionPipeline(None, model, tokenizer, None, None, None, None, None, False)
        expected = torch.cat(
            pipe.encode_prompt(PROMPTS[0], "cpu", 1, True, PROMPTS[1], clip_skip=clip_skip), dim=0
        )
        ours = encoder(model, pad).encode(PROMPTS[:2], clip_skip=clip_skip and clip_skip + 1)
        assert ours.pooled is None and ours.mask is None
        # diffusers skips no layer of a negative prompt
        plain = encoder(model, pad).encode(PROMPTS[:2])
        torch.testing.assert_close(ours.tokens[0], expected[0], **EXACT)
        torch.testing.assert_close(plain.tokens[1], expected[1], **EXACT)


@pytest.mark.parametrize("clip_skip", [None, 1])
def test_sdxl(tokenizers, clip_skip):
    pipelines = pytest.importorskip("diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl")
    first, second = tiny(), tiny(True, 1, 32, hidden_act="gelu")
    pipe = pipelines.StableDiffusionXLPipeline(
        None, first, second, *tokenizers, None, None, force_zeros_for_empty_prompt=False
    )
    tokens, _, pooled, _ = pipe.encode_prompt(PROMPTS[:2], device="cpu", clip_skip=clip_skip)
    options = {"layer": 2, "final_norm": False}
    parts = [encoder(first, **options), encoder(second, 0, pooled="projected", **options)]
    one, two = (part.encode(PROMPTS[:2], clip_skip=clip_skip and clip_skip + 2) for part in parts)
    both = one.beside(two)
    torch.testing.assert_close(both.tokens, tokens, **EXACT)
    torch.testing.assert_close(both.pooled, pooled, **EXACT)


def test_sd3_without_t5(tokenizers):
    pipelines = pytest.importorskip("diffusers.pipelines.stable_diffusion_3.pipeline_stable_diffusion_3")
    first, second = tiny(True), tiny(True, 1, 32, hidden_act="gelu")
    transformer = torch.nn.Identity()
    transformer.config = SimpleNamespace(joint_attention_dim=128, sample_size=8, patch_size=2)
    pipe = pipelines.StableDiffusion3Pipeline(
        transformer, None, None, first, tokenizers[0], second, tokenizers[1], None, None
    )
    tokens, _, pooled, _ = pipe.encode_prompt(PROMPTS[:2], None, None, device="cpu")
    options = {"layer": 2, "final_norm": False, "pooled": "projected"}
    one, two = encoder(first, **options), encoder(second, 0, **options)
    clips = one.encode(PROMPTS[:2]).beside(two.encode(PROMPTS[:2])).widened(128)
    ours = clips.then(Encoded(torch.zeros(2, 256, 128)))
    torch.testing.assert_close(ours.tokens, tokens, **EXACT)
    torch.testing.assert_close(ours.pooled, pooled, **EXACT)


def test_flux_pools_without_projection(tokenizers):
    model = tiny()
    inputs = tokenizers[0](PROMPTS[:2], padding="max_length", max_length=77, return_tensors="pt")
    expected = model(inputs.input_ids).pooler_output
    ours = encoder(model, pooled="plain").encode(PROMPTS[:2])
    torch.testing.assert_close(ours.pooled, expected, **EXACT)


def test_the_old_mark_of_the_end_pools_the_same(tokenizers):
    """Published configs say eos_token_id 2, whereupon transformers pools the highest id."""
    model = tiny(True, eos_token_id=2)
    inputs = tokenizers[1](PROMPTS[:2], padding="max_length", max_length=77, return_tensors="pt")
    ours = encoder(model, 0, pooled="projected").encode(PROMPTS[:2])
    torch.testing.assert_close(ours.pooled, model(inputs.input_ids).text_embeds, **EXACT)


# ---- chunks, layers


def test_long_prompts_are_chunked_and_their_first_chunk_is_pooled():
    part = encoder(tiny(), pooled="plain")
    long, short = part.encode([PROMPTS[2]]), part.encode([PROMPTS[0]])
    assert long.tokens.shape == (1, 154, 64) and short.tokens.shape == (1, 77, 64)
    both = part.encode([PROMPTS[2], PROMPTS[0]])
    assert both.mask is not None and both.mask.sum(1).tolist() == [154, 77]
    torch.testing.assert_close(both.tokens[:1], long.tokens, **EXACT)
    torch.testing.assert_close(both.tokens[1:, :77], short.tokens, **EXACT)
    assert not both.tokens[1, 77:].any()
    torch.testing.assert_close(both.pooled, torch.cat([long.pooled, short.pooled]), **EXACT)


def test_chunks_do_not_see_each_other():
    part = encoder(tiny())
    both = part.encode([weighted("cat BREAK a dog")])
    apart = part.encode(["cat", "a dog"])
    torch.testing.assert_close(both.tokens[0], apart.tokens.flatten(0, 1), **EXACT)


def test_a_file_that_lacks_the_last_layer_answers_the_same():
    whole, short = tiny(), tiny()
    del short.encoder.layers[-1]
    one, two = encoder(whole, layer=2), encoder(short, layer=2, cut=1)
    for skip in (None, 2, 3):
        assert torch.equal(one.encode(["a cat"], skip).tokens, two.encode(["a cat"], skip).tokens)


@pytest.mark.parametrize("skip", [0, 5, -1])
def test_a_layer_that_there_is_not_is_refused(skip):
    with pytest.raises(InvalidRequest, match="takes 1 to 4"):
        encoder(tiny()).encode(["a cat"], clip_skip=skip)


# ---- weights


def test_weights_of_a1111_keep_the_mean_of_each_chunk():
    part = encoder(tiny())
    plain = part.encode(["a cat", "a dog"]).tokens
    ours = part.encode([weighted("a (cat:1.5)"), "a dog"]).tokens
    weights = torch.ones(77)
    weights[2] = 1.5
    expected = plain[0] * weights[:, None]
    torch.testing.assert_close(ours[0], expected * (plain[0].mean() / expected.mean()), **EXACT)
    assert torch.equal(ours[1], plain[1])
    plainly = part.encode([weighted("a (cat:1.5)")], emphasis="plain").tokens[0]
    torch.testing.assert_close(plainly, expected, **EXACT)


def test_weights_of_comfy_go_from_the_empty_prompt():
    part = encoder(tiny(), 0)
    plain, empty = part.encode(["a cat", ""]).tokens
    ours = part.encode([weighted("a (cat:1.5) BREAK (a:0) cat", "comfy")], emphasis="comfy").tokens[0]
    moved = [i for i in range(77) if not torch.allclose(ours[i], plain[i], **EXACT)]
    assert moved == [2]
    torch.testing.assert_close(ours[2], empty[2] + 1.5 * (plain[2] - empty[2]), **EXACT)
    torch.testing.assert_close(ours[77 + 1], empty[1], **EXACT)


@pytest.mark.parametrize("emphasis", ["a1111", "comfy", "plain"])
def test_without_weights_every_way_is_the_same(emphasis):
    part = encoder(tiny())
    assert torch.equal(part.encode(["a cat"], emphasis=emphasis).tokens, part.encode(["a cat"]).tokens)
    hidden = torch.randn(2, 5, 3).bfloat16()
    assert torch.equal(emphasised(hidden, torch.ones(2, 5), hidden[0], emphasis), hidden)


def test_an_unknown_way_is_refused():
    with pytest.raises(UnknownName, match="no emphasis named 'a111'"):
        encoder(tiny()).encode(["a cat"], emphasis="a111")


# ---- learned words


def test_a_learned_word_made_of_known_vectors_reads_like_them():
    model = tiny()
    table = model.embeddings.token_embedding.weight
    before = table.clone()
    vectors = table[shipped().ids("red cat")]
    part = encoder(model, pooled="plain")
    ours = part.encode([[Fragment("a moss, hat")]], embeddings={"moss": vectors, "other": vectors})
    expected = part.encode(["a red cat, hat"])
    torch.testing.assert_close(ours.tokens, expected.tokens, **EXACT)
    torch.testing.assert_close(ours.pooled, expected.pooled, **EXACT)
    assert torch.equal(model.embeddings.token_embedding.weight, before)
    assert not torch.allclose(part.encode(["a moss, hat"]).tokens, expected.tokens)


def test_one_vector_may_come_flat_and_in_another_precision():
    model = tiny()
    vector = model.embeddings.token_embedding.weight[320].double()
    ours = encoder(model).encode(["moss cat"], embeddings={"moss": vector})
    torch.testing.assert_close(ours.tokens, encoder(model).encode(["a cat"]).tokens, **EXACT)


def test_a_learned_word_of_another_model_is_refused():
    with pytest.raises(InvalidRequest, match="'moss' is 32 wide and this text encoder takes 64"):
        encoder(tiny()).encode(["moss"], embeddings={"moss": torch.zeros(2, 32)})


# ---- loading


@pytest.mark.parametrize("projection", [False, True])
def test_a_model_is_built_from_its_shapes_or_its_config(projection):
    model = tiny(projection, width=128, hidden_act="gelu")
    expected = encoder(model, pooled="plain").encode(PROMPTS)
    stored = on_disk(model) | {"text_model.embeddings.position_ids": torch.arange(77)[None]}
    for config in (None, model.config.to_dict(), {"text_config": model.config.to_dict()}):
        loaded = load_clip(stored, config, projection=projection)
        ours = encoder(loaded.model, pooled="plain").encode(PROMPTS)
        assert loaded.unused == ()
        assert torch.equal(ours.tokens, expected.tokens) and torch.equal(ours.pooled, expected.pooled)
        assert not any(weight.requires_grad or weight.is_meta for weight in loaded.model.parameters())


def test_precision_and_what_is_left_over():
    stored = on_disk(tiny(True)) | {"logit_scale": torch.ones(())}
    loaded = load_clip(stored, tiny().config.to_dict(), torch.bfloat16)
    assert loaded.unused == ("logit_scale", "text_projection.weight")
    ours = encoder(loaded.model).encode([weighted("a (cat:1.5)")])
    assert ours.tokens.dtype == torch.bfloat16


def test_what_shapes_say_of_openais_encoder():
    with torch.device("meta"):
        model = transformers.CLIPTextModel(
            transformers.CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_attention_heads=12)
        )
    config = load_clip(on_disk(model)).model.config
    assert (config.hidden_act, config.num_attention_heads, config.num_hidden_layers) == ("quick_gelu", 12, 12)


def test_a_missing_or_misshapen_tensor_is_named():
    stored = on_disk(tiny())
    name = "text_model.encoder.layers.1.self_attn.q_proj.weight"
    config = tiny().config.to_dict()
    with pytest.raises(DarkroomError, match=r"lacks .*layers\.1\.self_attn\.q_proj\.weight"):
        load_clip({one: weight for one, weight in stored.items() if one != name}, config)
    with pytest.raises(DarkroomError, match=r"q_proj\.weight has shape .*expected"):
        load_clip(stored | {name: torch.zeros(3, 3)}, config)
    with pytest.raises(DarkroomError, match=r"lacks text_model\.embeddings"):
        load_clip({})
