"""Checkpoints against kills at every system call, flipped bytes and a full disk."""

import errno
import os
import random
import sys
from pathlib import Path

import pytest
import torch

from darkroom.errors import DarkroomError
from darkroom.training import checkpoint as checkpoints
from darkroom.training.checkpoint import Damaged, load, newest, save, sweep

WRITES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}


def write(folder: Path, step: int, keep: int = 2) -> Path:
    tensors = {"a": torch.full((3,), float(step)), "counter": torch.tensor(step)}
    return save(folder, step, {"network": tensors, "optimizer": {"m": torch.arange(4.0)}}, {"n": step}, keep)


def whole(folder: Path) -> int:
    """The step of the newest checkpoint, whose content is checked; none may be damaged."""
    assert all(load(path) for path in folder.glob("step-*"))
    found, damaged = newest(folder)
    assert found is not None and not damaged
    assert found.parts["network"]["a"].tolist() == [float(found.step)] * 3
    assert found.facts == {"n": found.step}
    return found.step


def killed_before_write(number: int, folder: Path) -> bool:
    """Save step 3 in a process that dies just before its ``number``-th write; False if it lived."""
    child = os.fork()
    if child == 0:
        left = [number]

        def count(event: str, _: tuple[object, ...]) -> None:
            left[0] -= event in WRITES
            if left[0] == 0:
                os._exit(9)

        sys.addaudithook(count)
        write(folder, 3)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_killed_at_any_write_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    seen = []
    for number in range(1, 100):
        folder = tmp_path / str(number)
        write(folder, 1)
        write(folder, 2)
        dead = killed_before_write(number, folder)
        seen.append(whole(folder))
        sweep(folder)
        assert {path.name for path in folder.iterdir()} <= {f"step-0000000{n}" for n in (1, 2, 3)}
        write(folder, 4)
        assert whole(folder) == 4
        if not dead:
            break
    assert not dead and len(seen) > 10
    assert seen == sorted(seen) and set(seen) == {2, 3}, (
        "the old one until the rename, the new one from then on"
    )


def test_a_flipped_bit_is_found_in_any_file(tmp_path: Path) -> None:
    path, rng = write(tmp_path, 5), random.Random(0)
    for file in path.iterdir():
        good = file.read_bytes()
        for place in rng.sample(range(len(good)), 40):
            bad = bytearray(good)
            bad[place] ^= 1 << rng.randrange(8)
            file.write_bytes(bad)
            try:
                found = load(path)
            except Damaged:
                continue
            assert file.name == "manifest.json" and good[place : place + 1].isspace(), (
                "only white space may change"
            )
            assert found.facts == {"n": 5}
        file.write_bytes(good)
    assert load(path).parts["optimizer"]["m"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["manifest.json", "network.safetensors"])
def test_missing_and_cut_files_are_named(tmp_path: Path, name: str) -> None:
    write(tmp_path, 1)
    file = write(tmp_path, 2) / name
    file.write_bytes(file.read_bytes()[:-20])
    assert "has changed" in newest(tmp_path)[1][0].why
    file.unlink()
    found, damaged = newest(tmp_path)
    assert found is not None and found.step == 1
    assert [(error.path, error.why) for error in damaged] == [
        (file.parent, f"{name}: No such file or directory")
    ]


def test_a_full_disk_harms_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk runs full at each of the waits in turn."""
    write(tmp_path, 1)
    sync, left = os.fsync, 0

    def fsync(file: int) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(file)

    monkeypatch.setattr(os, "fsync", fsync)
    for number in (1, 2, 3, 4):
        left = number
        with pytest.raises(
            DarkroomError, match=r"the disk is full; free some space and run the same command"
        ):
            write(tmp_path, 2)
        assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"] and whole(tmp_path) == 1
    left = 0
    write(tmp_path, 2)
    assert whole(tmp_path) == 2


def test_the_last_few_stay(tmp_path: Path) -> None:
    for step in (1, 5, 10, 100_000_000):
        write(tmp_path, step)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000010", "step-100000000"]


def test_a_save_outlives_damaged_ones_of_later_steps(tmp_path: Path) -> None:
    """Resumed from step 1 past damaged steps 8 and 9, the new step 2 must not be what is pruned."""
    for step in (1, 8, 9):
        write(tmp_path, step, keep=9)
    for step in (8, 9):
        (tmp_path / f"step-0000000{step}" / "manifest.json").unlink()
    write(tmp_path, 2)
    write(tmp_path, 3)
    found, damaged = newest(tmp_path)
    assert found is not None and found.step == 3 and len(damaged) == 2
    write(tmp_path, 8)
    assert [at for at, _ in checkpoints._all(tmp_path)] == [3, 8, 9]


def test_views_and_other_layouts_are_written_as_they_read(tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(1, 2, 3, 4)
    parts = {
        "network": {
            "view": base.mT,
            "tied": base,
            "again": base,
            "last": base.to(memory_format=torch.channels_last),
        }
    }
    loaded = load(save(tmp_path, 1, parts, {})).parts["network"]
    for name, value in parts["network"].items():
        assert torch.equal(loaded[name], value)
