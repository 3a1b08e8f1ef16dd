"""The packed drawings are those that the manifest names, and everything in it has a licence."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

from darkroom.data.scenes import assets, pack
from darkroom.data.scenes.catalogue import CATALOGUE, COLOURS, kind
from darkroom.data.scenes.faces import FACES, HANDS
from darkroom.data.scenes.proportions import DRAWN
from darkroom.errors import InvalidRequest, UnknownName

FOLDER = Path(str(assets.FOLDER))
MANIFEST = assets.manifest()
EMOJI_FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")


def test_files_are_as_they_were_packed() -> None:
    assert MANIFEST["files"].keys() == {"emoji.webp", "letters.png"}
    for name, digest in MANIFEST["files"].items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 1.5 * 2**20


def test_every_drawing_is_as_it_was_packed() -> None:
    for name, looks in MANIFEST["drawings"].items():
        for number, entry in enumerate(looks):
            if entry["source"] == "noto-color-emoji":
                assert pack.digest(Image.fromarray(assets.sprite(name, number))) == entry["sha256"]
    for character, entry in MANIFEST["letters"].items():
        assert pack.digest(Image.fromarray(assets.letter(character))) == entry["sha256"]


def test_every_kind_has_a_source_and_every_source_a_licence() -> None:
    assert MANIFEST["drawings"].keys() == CATALOGUE.keys()
    for name, looks in MANIFEST["drawings"].items():
        assert [entry.get("emoji") for entry in looks] == list(CATALOGUE[name].looks or (None,))
    used = {entry["source"] for looks in MANIFEST["drawings"].values() for entry in looks}
    assert used | {"dejavu-sans-mono-bold"} == MANIFEST["sources"].keys()
    for source in MANIFEST["sources"].values():
        assert source["version"] and source["licence"] and source["url"]
        for file in source["licence_files"].split(", "):
            assert len((FOLDER / file).read_text()) > 1000


def test_looks_of_a_kind_have_one_silhouette() -> None:
    for entry in CATALOGUE.values():
        shapes = {assets.sprite(entry.name, i).shape[:2] for i in range(len(entry.looks))}
        heights, widths = zip(*shapes, strict=True) if shapes else ((0,), (0,))
        assert max(heights) - min(heights) <= 3 and max(widths) - min(widths) <= 3


@pytest.mark.skipif(not EMOJI_FONT.exists(), reason="the font that the pack was drawn from is not installed")
def test_the_packer_draws_what_is_packed() -> None:
    if (
        hashlib.sha256(EMOJI_FONT.read_bytes()).hexdigest()
        != MANIFEST["sources"]["noto-color-emoji"]["sha256"]
    ):
        pytest.skip("another version of the font is installed")
    font = ImageFont.truetype(EMOJI_FONT, pack.EMOJI_SIZE)
    for name in ("cat", "umbrella", "comet"):
        drawn = pack.draw_emoji(CATALOGUE[name].looks[0], font)
        assert pack.digest(drawn) == MANIFEST["drawings"][name][0]["sha256"]
    with pytest.raises(InvalidRequest, match="no drawing of"):
        pack.draw_emoji(" ", font)


def test_the_atlas_keeps_drawings_apart() -> None:
    rng = np.random.default_rng(1)
    sizes = rng.integers(5, 140, (200, 2))
    images = {str(i): Image.new("L", (int(w), int(h)), 1) for i, (w, h) in enumerate(sizes)}
    atlas, boxes = pack.lay_out(images)
    assert np.asarray(atlas).sum() == (sizes[:, 0] * sizes[:, 1]).sum()
    for name, (left, top, right, bottom) in boxes.items():
        assert (right - left, bottom - top) == images[name].size


def test_enough_of_everything() -> None:
    emoji = [k for k in CATALOGUE.values() if k.source == "emoji"]
    assert len(emoji) >= 200 and len(COLOURS) == 11
    assert {"cube", "sphere", "cylinder", "cone", "pyramid"} <= CATALOGUE.keys()
    named = "apple umbrella car book heart flower balloon cat dog hat shirt dress cup bus house fish bird bag"
    assert all(CATALOGUE[name].recolour for name in named.split())


def test_names_are_nobody_elses() -> None:
    names = [name for k in CATALOGUE.values() for name in (k.name, *k.synonyms)]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[A-Za-z0-9ô,'\- ]+", name) for name in names)
    assert kind("book").plural == "books" and kind("wolf").plural == "wolves"
    with pytest.raises(UnknownName, match="did you mean 'umbrella'"):
        kind("umbrela")


def test_marks_have_what_they_need() -> None:
    assert {k.name for k in CATALOGUE.values() if k.wears} == FACES.keys()
    assert HANDS.keys() <= {k.name for k in CATALOGUE.values() if k.holds} <= HANDS.keys() | FACES.keys()
    assert {k.name for k in CATALOGUE.values() if not k.emoji} == DRAWN.keys()


def test_the_manifest_is_plain_json() -> None:
    text = (FOLDER / "manifest.json").read_text(encoding="utf-8")
    assert json.loads(text) == MANIFEST and all(len(line) < 4000 for line in text.splitlines())
