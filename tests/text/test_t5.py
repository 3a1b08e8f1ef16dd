"""T5 reads prompts as diffusers' pipelines let it, and nothing of a prompt is cut."""

import io
import json
from types import SimpleNamespace

import pytest
import torch

from darkroom.errors import DarkroomError
from darkroom.text.prompt import weighted

pytest.importorskip("tokenizers")
pytest.importorskip("transformers")
pytest.importorskip("sentencepiece")

import sentencepiece
import transformers

from darkroom.text.models import load_t5
from darkroom.text.t5 import T5Encoder, t5_vocabulary

EXACT = {"rtol": 1e-5, "atol": 1e-5}
CORPUS = ["a photo of a cat", "two red dogs on a hill", "an old man's hat, and rain", "a cat in a red hat"]
PROMPTS = ["a photo of a red hat", "", "an old dog,  \u00e9t\u00e9"]


@pytest.fixture(scope="module")
def spiece(tmp_path_factory):
    """A folder with a tiny vocabulary of T5's form in spiece.model."""
    folder = tmp_path_factory.mktemp("spiece")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS), model_writer=model, vocab_size=60, hard_vocab_limit=False,
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2,
    )  # fmt: skip
    (folder / "spiece.model").write_bytes(model.getvalue())
    return folder


@pytest.fixture(scope="module")
def folder(spiece, tmp_path_factory):
    """The same vocabulary in tokenizer.json, with a habit of cutting."""
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(spiece / "spiece.model"))
    scores = [(pieces.id_to_piece(i), pieces.get_score(i)) for i in range(len(pieces))]
    tokenizer = transformers.T5Tokenizer(vocab=scores, extra_ids=0).backend_tokenizer
    tokenizer.enable_truncation(4)
    folder = tmp_path_factory.mktemp("whole")
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def tiny(**options) -> torch.nn.Module:
    torch.manual_seed(0)
    sizes = {
        "vocab_size": 100,
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 48,
        "num_layers": 2,
        "num_heads": 4,
    } | options
    config = transformers.T5Config(feed_forward_proj="gated-gelu", **sizes)
    return transformers.T5EncoderModel(config).eval().requires_grad_(False)


def as_pipelines_have_it(folder):
    whole = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), pad_token="<pad>", eos_token="</s>"
    )
    return whole


# ---- parity


def test_both_forms_of_the_vocabulary_give_the_same_pieces(spiece, folder):
    first, second = t5_vocabulary(spiece), t5_vocabulary(folder)
    assert (first.end, first.pad) == (second.end, second.pad) == (1, 0)
    for text in [*CORPUS, "", "hat, cat", "a" * 50]:
        assert first.pieces(text) == second.pieces(text)
        assert bool(text) == bool(first.pieces(text))
    assert len(first.pieces(CORPUS[2])) > 4


def test_flux(folder):
    pipelines = pytest.importorskip("diffusers.pipelines.flux.pipeline_flux")
    model, tokenizer = tiny(), as_pipelines_have_it(folder)
    pipe = pipelines.FluxPipeline(None, None, None, None, model, tokenizer, None)
    expected = pipe._get_t5_prompt_embeds(PROMPTS, 1, 24, "cpu", torch.float32)
    ours = T5Encoder(model, t5_vocabulary(folder), 24).encode(PROMPTS)
    torch.testing.assert_close(ours.tokens, expected, **EXACT)
    assert ours.mask is None and ours.pooled is None


def test_sd3(folder):
    pipelines = pytest.importorskip("diffusers.pipelines.stable_diffusion_3.pipeline_stable_diffusion_3")
    model, tokenizer = tiny(), as_pipelines_have_it(folder)
    transformer = torch.nn.Identity()
    transformer.config = SimpleNamespace(joint_attention_dim=32, sample_size=8, patch_size=2)
    pipe = pipelines.StableDiffusion3Pipeline(
        transformer, None, None, None, None, None, None, model, tokenizer
    )
    expected = pipe._get_t5_prompt_embeds(PROMPTS, 1, 20, "cpu", torch.float32)
    ours = T5Encoder(model, t5_vocabulary(folder)).encode(PROMPTS, length=20)
    torch.testing.assert_close(ours.tokens, expected, **EXACT)


# ---- length, weights


def test_a_longer_prompt_is_read_to_its_end(folder):
    part = T5Encoder(tiny(), t5_vocabulary(folder), 8)
    long, short = "a red hat " * 9, "a cat"
    both = part.encode([long, short])
    count = len(part.vocabulary.pieces(long)) + 1
    assert both.tokens.shape[1] == count > 8
    assert both.mask is not None and both.mask.sum(1).tolist() == [count, 8]
    torch.testing.assert_close(both.tokens[1, :8], part.encode([short]).tokens[0], **EXACT)
    assert not torch.allclose(part.encode([long + "dog"]).tokens[0, :count], both.tokens[0])


def test_weights_and_breaks(folder):
    part = T5Encoder(tiny(), t5_vocabulary(folder), 12)
    plain, empty = part.encode(["a cat", ""]).tokens
    assert torch.equal(part.encode([weighted("a BREAK cat")]).tokens[0], plain)
    cat = slice(len(part.vocabulary.pieces("a")), len(part.vocabulary.pieces("a cat")))
    comfy = part.encode([weighted("a (cat:1.4)")], emphasis="comfy").tokens[0]
    expected = plain.clone()
    expected[cat] = empty[cat] + 1.4 * (plain[cat] - empty[cat])
    torch.testing.assert_close(comfy, expected, **EXACT)
    a1111 = part.encode([weighted("a (cat:1.4)")]).tokens[0]
    torch.testing.assert_close(a1111.mean(), plain.mean(), **EXACT)
    assert not torch.allclose(a1111, plain)


# ---- loading


@pytest.mark.parametrize("leave_out", ["shared.weight", "encoder.embed_tokens.weight", None])
def test_a_model_is_built_from_its_shapes_or_its_config(folder, leave_out):
    model = tiny()
    expected = T5Encoder(model, t5_vocabulary(folder), 12).encode(PROMPTS).tokens
    stored = {name: weight for name, weight in model.state_dict().items() if name != leave_out}
    stored["decoder.final_layer_norm.weight"] = torch.ones(32)
    for config in (None, model.config.to_dict()):
        loaded = load_t5(stored, config)
        assert loaded.unused == ("decoder.final_layer_norm.weight",)
        assert torch.equal(
            T5Encoder(loaded.model, t5_vocabulary(folder), 12).encode(PROMPTS).tokens, expected
        )
        assert loaded.model.encoder.embed_tokens.weight is loaded.model.shared.weight


def test_half_precision_keeps_the_sums_that_overflow(folder):
    stored = tiny().state_dict()
    model = load_t5(stored, None, torch.float16).model
    precisions = {name: weight.dtype for name, weight in model.named_parameters()}
    assert {name for name, dtype in precisions.items() if dtype == torch.float32} == {
        f"encoder.block.{i}.layer.1.DenseReluDense.wo.weight" for i in range(2)
    }
    assert T5Encoder(model, t5_vocabulary(folder), 12).encode(["a cat"]).tokens.isfinite().all()


def test_a_missing_tensor_is_named():
    stored = tiny().state_dict()
    del stored["encoder.block.1.layer.0.SelfAttention.k.weight"]
    with pytest.raises(DarkroomError, match=r"lacks encoder\.block\.1"):
        load_t5(stored)


def test_a_single_file_needs_a_vocabulary_beside_it(tmp_path):
    with pytest.raises(DarkroomError, match=r"spiece\.model of T5 v1\.1.* tokenizer_2"):
        t5_vocabulary(None)
    with pytest.raises(DarkroomError, match=str(tmp_path)):
        t5_vocabulary(tmp_path)
    (tmp_path / "spiece.model").write_bytes(b"nothing of the kind")
    with pytest.raises(DarkroomError, match="no vocabulary"):
        t5_vocabulary(tmp_path)
    (tmp_path / "tokenizer.json").write_text(json.dumps({"version": "1.0"}))
    with pytest.raises(DarkroomError, match="no tokenizer"):
        t5_vocabulary(tmp_path)
