"""What was read of files is kept until they are replaced."""

import os
from pathlib import Path

import pytest

from darkroom.adapters.stamps import read_once, stamp_of


@pytest.fixture
def folder(tmp_path):
    part = tmp_path / "model" / "unet"
    part.mkdir(parents=True)
    (part / "weights.safetensors").write_bytes(b"old")
    (part.parent / "model_index.json").write_text("{}")
    return part.parent


def replaced(path: Path, content: bytes = b"new") -> None:
    """Another file of the same name and size, written at a time of its own."""
    state, other = path.stat(), path.with_name("other")
    other.write_bytes(content)
    os.utime(other, ns=(state.st_atime_ns, state.st_mtime_ns + 10**6))
    other.replace(path)


def test_a_folder_is_another_when_any_file_in_it_is(folder):
    before = stamp_of(folder)
    assert stamp_of(folder) == before
    replaced(folder / "unet" / "weights.safetensors")
    after = stamp_of(folder)
    assert after != before
    (folder / "unet" / "more.json").write_text("{}")
    assert stamp_of(folder) != after


def test_what_is_not_there_is_another_once_it_is(tmp_path):
    path = tmp_path / "lora.safetensors"
    assert stamp_of(path) == ()
    path.write_bytes(b"x")
    assert stamp_of(path) != ()


def test_a_file_is_read_once_and_anew_when_it_was_replaced(folder):
    reads = []

    @read_once(1)
    def read(path: Path, times: int) -> bytes:
        reads.append(path)
        return path.read_bytes() * times

    path = folder / "unet" / "weights.safetensors"
    assert [read(path, 2), read(path, 2)] == [b"oldold"] * 2 and len(reads) == 1
    replaced(path)
    assert [read(path, 2), read(path, 2)] == [b"newnew"] * 2 and len(reads) == 2
