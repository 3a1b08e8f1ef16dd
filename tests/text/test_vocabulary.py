"""The vocabulary that ships is CLIP's, and a model's own folder is read as it says."""

import gzip
import hashlib
import json

import pytest

from darkroom.errors import DarkroomError

pytest.importorskip("tokenizers")

from darkroom.text.vocabulary import ASSETS, MERGES, clip_vocabulary, shipped

KNOWN = {
    "": [],
    "a photo of a cat": [320, 1125, 539, 320, 2368],
    "A  PHOTO\n of\ta Cat": [320, 1125, 539, 320, 2368],
    "a photo of a dog": [320, 1125, 539, 320, 1929],
    "Hello, World!": [3306, 267, 1002, 256],
    "it's the cat's": [585, 568, 518, 2368, 568],
    "don't we'll I'D": [847, 713, 649, 1342, 328, 1896],
    "2024": [273, 271, 273, 275],
    "caf\u00e9": [15304],
    "na\u00efve": [1097, 35689, 563],
    "cafe\u0301": [15304],  # composed first
    "\U0001f600": [7334],
    "\u65e5\u672c": [39121, 19277, 361],
    "!!!???": [11194, 3824],
    "(x:1.2), 8k": [263, 343, 281, 272, 269, 273, 2361, 279, 330],
    "<|endoftext|>": [27, 347, 40786, 4160, 91, 285],  # text like any other
}


@pytest.mark.parametrize(("text", "ids"), KNOWN.items())
def test_known_ids(text, ids):
    assert shipped().ids(text) == ids


def test_it_frames_prompts_as_clip_does():
    vocabulary = shipped()
    assert (vocabulary.start, vocabulary.end, vocabulary.pad, vocabulary.comma) == (49406, 49407, 49407, 267)
    assert vocabulary.tokenizer.get_vocab_size() == 49408
    assert vocabulary.padded_with(0).pad == 0


def test_every_byte_has_a_token():
    vocabulary = shipped()
    text = "".join(map(chr, range(0x20, 0x500))) + "\U0001f9d1\u200d\U0001f680"
    assert all(0 <= token < 49406 for token in vocabulary.ids(text))


def test_what_ships_is_what_the_manifest_says():
    manifest = json.loads((ASSETS / "manifest.json").read_text())
    for name, entry in manifest["files"].items():
        assert hashlib.sha256((ASSETS / name).read_bytes()).hexdigest() == entry["sha256"]
        licences = manifest["sources"][entry["source"]]["licence_files"].split(", ")
        assert all((ASSETS / licence).is_file() for licence in licences)


def merges() -> str:
    with (ASSETS / MERGES).open("rb") as file:
        lines = gzip.decompress(file.read()).decode().split("\n")
    return "\n".join(["#version: 0.2", *lines[1 : 49152 - 256 - 2 + 1]]) + "\n"


def test_a_folder_of_the_old_form(tmp_path):
    (tmp_path / "vocab.json").write_text(json.dumps(shipped().tokenizer.get_vocab()))
    (tmp_path / "merges.txt").write_text(merges())
    vocabulary = clip_vocabulary(tmp_path)
    assert all(vocabulary.ids(text) == ids for text, ids in KNOWN.items())
    assert vocabulary.pad == 49407
    (tmp_path / "tokenizer_config.json").write_text('{"pad_token": {"content": "!"}}')
    assert clip_vocabulary(tmp_path).pad == 0


def test_a_folder_of_the_new_form_neither_cuts_nor_hides_special_tokens(tmp_path):
    tokenizer = shipped().tokenizer
    tokenizer = type(tokenizer).from_str(tokenizer.to_str())
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=3)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "special_tokens_map.json").write_text('{"pad_token": "!"}')
    vocabulary = clip_vocabulary(tmp_path)
    assert all(vocabulary.ids(text) == ids for text, ids in KNOWN.items())
    assert vocabulary.pad == 0


@pytest.mark.parametrize("name", ["tokenizer.json", "vocab.json", None])
def test_a_folder_without_a_tokenizer_is_named(tmp_path, name):
    if name:
        (tmp_path / name).write_text("{")
        (tmp_path / "merges.txt").write_text("")
    with pytest.raises(DarkroomError, match=str(tmp_path)):
        clip_vocabulary(tmp_path)
