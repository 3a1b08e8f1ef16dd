"""Libraries built on the user's machine: once, whole or not at all, and a sentence where they cannot be."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from darkroom.errors import DarkroomError
from darkroom.networks.kernels.library import COMPILERS, compiler, library

try:
    compiler()
except DarkroomError as error:
    pytest.skip(str(error), allow_module_level=True)


@pytest.fixture
def source(tmp_path) -> Path:
    path = tmp_path / "answer.cpp"
    path.write_text('extern "C" int answer() { return ANSWER; }\n')
    return path


@pytest.fixture
def wrapped(tmp_path, monkeypatch):
    """Make $CXX a script that runs these lines, $REAL being the true compiler; counts its calls in a file."""
    monkeypatch.setenv("REAL", compiler()[0])

    def wrap(lines: str) -> Path:
        script, calls = tmp_path / "cxx", tmp_path / "calls"
        script.write_text(f'#!/bin/sh\necho called >> "{calls}"\n{lines}\n')
        script.chmod(0o755)
        monkeypatch.setenv("CXX", str(script))
        return calls

    return wrap


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_what_has_been_built_is_loaded(tmp_path, source, wrapped):
    calls, folder = wrapped('exec "$REAL" "$@"'), tmp_path / "deep" / "kernels"
    for _ in range(2):
        assert library(source, ("-DANSWER=42",), folder).answer() == 42
    assert calls.read_text() == "called\n" and len(files(folder)) == 1
    assert folder.stat().st_mode & 0o077 == 0


def test_another_flag_or_another_source_is_another_library(tmp_path, source):
    folder = tmp_path / "kernels"
    assert library(source, ("-DANSWER=42",), folder).answer() == 42
    assert library(source, ("-DANSWER=43",), folder).answer() == 43
    source.write_text(source.read_text().replace("ANSWER", "-ANSWER"))
    assert library(source, ("-DANSWER=42",), folder).answer() == -42
    assert len(files(folder)) == 3


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("echo 'x.cpp:3: error: no such instruction' >&2; exit 1", "x.cpp:3: error: no such instruction"),
        ("exit 1", "it did not say why"),
        ("exit 0", "it did not say why"),  # and has made nothing
        ('for last; do :; done; "$REAL" "$@"; kill -9 $$', "it did not say why"),  # has made it, and died
        ("exec /nowhere/compiler", "not found"),
        ("printf 'error: \\377' >&2; exit 1", "error: \ufffd"),
    ],
)
def test_a_compiler_that_fails_leaves_nothing(tmp_path, source, wrapped, lines, reason):
    wrapped(lines)
    with pytest.raises(DarkroomError, match=rf"cannot build answer\.cpp: .*{reason}; try another"):
        library(source, ("-DANSWER=42",), tmp_path / "kernels")
    assert files(tmp_path / "kernels") == []


def test_a_compiler_that_hangs_is_left(tmp_path, source, wrapped, monkeypatch):
    monkeypatch.setattr("darkroom.networks.kernels.library.PATIENCE", 0.2)
    wrapped("exec sleep 30")
    with pytest.raises(DarkroomError, match=r"took over 0\.2 s"):
        library(source, ("-DANSWER=42",), tmp_path / "kernels")


def test_a_compiler_may_come_with_options(tmp_path, source, monkeypatch):
    monkeypatch.setenv("CXX", f"{compiler()[0]} -DANSWER=7")
    assert library(source, (), tmp_path / "kernels").answer() == 7


def test_without_a_compiler_it_says_so(tmp_path, source, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        DarkroomError, match=r"there is no C\+\+ compiler \(" + COMPILERS[0].replace("+", r"\+")
    ):
        library(source, (), tmp_path / "kernels")


def test_what_is_there_needs_a_folder_that_can_be_read_alone(tmp_path, source, wrapped):
    """A folder that nothing can be written to any more still gives what it has."""
    wrapped('exec "$REAL" "$@"')
    folder = tmp_path / "kernels"
    library(source, ("-DANSWER=42",), folder)
    folder.chmod(0o500)
    try:
        assert library(source, ("-DANSWER=42",), folder).answer() == 42
    finally:
        folder.chmod(0o700)


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path, source):
    (tmp_path / "file").touch()
    with pytest.raises(DarkroomError, match=r"file/kernels/answer-\w+\.so': .*; give it another folder"):
        library(source, ("-DANSWER=42",), tmp_path / "file" / "kernels")


def test_no_code_is_run_from_a_folder_that_everyone_may_write_to(tmp_path, source):
    folder = tmp_path / "kernels"
    library(source, ("-DANSWER=42",), folder)
    folder.chmod(0o777)
    with pytest.raises(DarkroomError, match="everyone may write"):
        library(source, ("-DANSWER=42",), folder)


BUILD = """
import sys
from pathlib import Path
from darkroom.networks.kernels.library import library
print(library(Path(sys.argv[1]), ("-DANSWER=42",), Path(sys.argv[2])).answer())
"""


def build(source: Path, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BUILD, str(source), str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def wait_for(calls: Path, count: int) -> None:
    until = time.monotonic() + 60
    while not calls.exists() or len(calls.read_text().splitlines()) < count:
        assert time.monotonic() < until, "the compiler was not called"
        time.sleep(0.01)


def test_processes_that_build_at_once_all_get_it(tmp_path, source, wrapped):
    go, folder = tmp_path / "go", tmp_path / "kernels"
    calls = wrapped(f'until [ -e "{go}" ]; do sleep 0.01; done; exec "$REAL" "$@"')
    racing = [build(source, folder) for _ in range(3)]
    wait_for(calls, 3)
    go.touch()
    assert [process.communicate(timeout=60)[0] for process in racing] == ["42\n"] * 3
    assert len(files(folder)) == 1


def test_a_kill_while_it_is_built_spoils_nothing(tmp_path, source, wrapped):
    folder = tmp_path / "kernels"
    calls = wrapped('[ -e "$0.go" ] || exec sleep 60; exec "$REAL" "$@"')
    process = build(source, folder)
    wait_for(calls, 1)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not list(folder.glob("answer-*.so"))
    (tmp_path / "cxx.go").touch()
    assert library(source, ("-DANSWER=42",), folder).answer() == 42
