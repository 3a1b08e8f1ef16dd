"""Files: names that nobody else has, whole or not at all, and errors that say what to do."""

import errno
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE, Popen, run

import numpy as np
import pytest

from darkroom.errors import DarkroomError
from darkroom.studio import files
from darkroom.studio.pictures import read
from darkroom.studio.request import Picture, Record, Request

PIXELS = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)


def picture(prompt: str = "a red apple") -> Picture:
    return Picture(
        PIXELS, Record(request=Request(prompt=prompt, seed=1), model_hash="ab", version="1", torch="2")
    )


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(".part")]


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.jpeg", "x.webp", "deep/er/x.PNG"])
def test_a_picture_is_saved_as_its_name_says(tmp_path, name):
    path = picture().save(tmp_path / name)
    assert read(path).texts.record is not None
    assert not leftovers(tmp_path)


def test_nothing_is_overwritten_unless_asked(tmp_path):
    path = tmp_path / "x.png"
    path.write_text("mine")
    with pytest.raises(files.NameTaken, match="--overwrite"):
        files.save(picture(), path)
    assert path.read_text() == "mine" and not leftovers(tmp_path)
    files.save(picture(), path, overwrite=True)
    assert read(path).pixels.shape == (64, 64, 3)


def test_numbers_go_on_from_the_highest(tmp_path):
    (tmp_path / "0007-old.jpg").touch()
    (tmp_path / "notes-12.txt").touch()
    assert files.save_numbered(picture(), tmp_path).name == "0008-a-red-apple.png"
    assert files.save_numbered(picture(), tmp_path, "-grid").name == "0009-a-red-apple-grid.png"
    (tmp_path / "9999-old.png").touch()
    assert files.save_numbered(picture(), tmp_path).name == "10000-a-red-apple.png"
    assert files.save_numbered(picture(), tmp_path).name == "10001-a-red-apple.png"


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("A sign: 'OPEN'!", "a-sign-open"),
        ("../../etc/passwd", "etc-passwd"),
        ("🍎🍎", "picture"),
        ("ein Löwe, 漢字", "ein-löwe-漢字"),
        ("x" * 300, "x" * 40),
        ("line\nbreak\0nul", "line-break-nul"),
    ],
)
def test_a_name_is_made_of_the_prompt(tmp_path, prompt, name):
    assert files.slug(prompt) == name
    assert files.save_numbered(picture(prompt), tmp_path).parent == tmp_path


def test_savers_side_by_side_never_share_a_name(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: files.save_numbered(picture(), tmp_path), range(24)))
    assert len(set(paths)) == 24 == len(list(tmp_path.iterdir()))


def test_a_file_system_without_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    path = files.save(picture(), tmp_path / "x.png")
    assert read(path).pixels.shape == (64, 64, 3)
    with pytest.raises(files.NameTaken):
        files.save(picture(), path)


def test_new_files_have_the_permissions_that_the_user_chose(tmp_path):
    before = os.umask(0o027)
    try:
        path = picture().save(tmp_path / "x.png")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_full_disk_leaves_nothing_and_says_so(tmp_path):
    """The kernel itself refuses the bytes after the first 4096."""
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "from pathlib import Path; from darkroom.studio import files\n"
        "try: files.write(Path(sys.argv[1]), bytes(10_000))\n"
        "except files.DarkroomError as error: print(error)"
    )
    said = run([sys.executable, "-c", code, str(tmp_path / "x.png")], capture_output=True, text=True).stdout
    assert "the disk is full" in said and "free some space" in said
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_while_the_file_settles(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DarkroomError, match="the disk is full"):
        files.write(tmp_path / "x.png", b"data")
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DarkroomError, match=r"cannot write .*choose another place with -o"):
        files.check_folder(tmp_path / "file" / "folder")
    with pytest.raises(DarkroomError, match="cannot write"):
        picture().save(tmp_path / "file" / "x.png")
    with pytest.raises(DarkroomError, match="file name too long"):
        picture().save(tmp_path / f"{'x' * 300}.png")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DarkroomError, match="permission denied"):
        files.check_folder(tmp_path)


KILLED = """
import sys
from pathlib import Path
from darkroom.studio import files
for i in range(10**6):
    files.write(Path(sys.argv[1]) / f"{i}.bin", i.to_bytes(4) * 100_000)
    if not i: print("ready", flush=True)
"""


def test_a_kill_at_any_moment_leaves_no_half_file(tmp_path):
    wait = np.random.default_rng(0).uniform(0, 0.03, 8)
    for i, seconds in enumerate(wait):
        folder = tmp_path / str(i)
        with Popen([sys.executable, "-c", KILLED, str(folder)], stdout=PIPE) as process:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            time.sleep(seconds)
            process.send_signal(signal.SIGKILL)
        for path in folder.glob("*.bin"):
            assert path.read_bytes() == int(path.stem).to_bytes(4) * 100_000
