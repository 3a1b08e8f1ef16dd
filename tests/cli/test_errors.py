"""Whatever goes wrong, the user reads one sentence that says what to do."""

import errno
import os
import signal
import sys
from pathlib import Path
from shutil import which
from subprocess import PIPE, Popen, run

import pytest
from click.testing import CliRunner
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from darkroom.cli.main import explained, main
from darkroom.errors import UnknownName

BAD = [
    (["generate"], "there is no prompt"),
    (["generate", ""], "the prompt is empty"),
    (["generate", "word " * 10_000], "shorten it"),
    (["generate", "a cone", "-s", "-1"], "leave it out for a random one"),
    (["generate", "a cone", "-s", "one"], "not a valid integer"),
    (["generate", "a cone", "--steps", "0"], "steps 0"),
    (["generate", "a cone", "--steps", "99999"], "steps 99999"),
    (["generate", "a cone", "-W", "-8"], "width -8"),
    (["generate", "a cone", "-b", "0"], "count 0"),
    (["generate", "a cone", "--cfg", "nan"], "cfg scale nan"),
    (["generate", "a cone", "--strength", "2"], "strength 2"),
    (["generate", "a cone", "-o", "x.bmp"], "end its name with"),
    (["generate", "a cone", "-o", "taken/x.png"], "choose another place with -o"),
    (["generate", "a cone", "-o", "n" * 260 + ".png"], "file name too long; choose another place with -o"),
    (["generate", "a cone", "a cup", "-o", "n" * 260 + ".png"], "file name too long"),
    (["generate", "\N{RED APPLE}" * 6000, "-o", "x.jpg"], "save it as PNG"),
    (["generate", "a cone", "--stepz", "3"], "--steps"),
    (["replay", "gone.png"], "cannot read 'gone.png'"),
    (["replay", "taken"], "not a PNG, JPEG or WebP"),
    (["replay"], "Missing argument"),
    (["show", "taken"], "not a PNG, JPEG or WebP"),
    (["sampler"], "No such command 'sampler'"),
    (["train", "nobody"], "no training named 'nobody'"),
    (["train", "starter", "--steps", "0"], "--steps"),
]


@pytest.mark.parametrize(("words", "sentence"), BAD)
def test_bad_input_is_answered_in_one_line(darkroom, tmp_path, words, sentence):
    (tmp_path / "taken").write_text("not a folder, not a picture")
    done = darkroom(*words)
    assert done.exit_code == 2
    assert done.stdout == "" and sentence in done.stderr
    assert done.stderr.startswith("darkroom: ") and done.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.rglob("*.p*")) == []


def test_an_error_of_the_studio_is_passed_on(darkroom, developing):
    def refuse(*_):
        raise UnknownName("sampler", "eulr", ["euler", "heun"])

    developing.develop = refuse
    done = darkroom("generate", "a cone", "--sampler", "eulr")
    assert done.exit_code == 2
    assert done.stderr == "darkroom: there is no sampler named 'eulr'; did you mean 'euler'?\n"


def test_a_fault_of_ours_asks_for_a_report(darkroom, developing):
    def break_down(*_):
        raise ZeroDivisionError("division by\nzero")

    developing.develop = break_down
    done = darkroom("generate", "a cone")
    assert done.exit_code == 1 and done.stderr.count("\n") == 1
    assert "ZeroDivisionError: division by zero" in done.stderr and "--debug" in done.stderr


@pytest.mark.parametrize("words", [["--debug", "generate", "a cone"], ["generate", "a cone", "--debug"]])
def test_debug_lets_the_traceback_through(darkroom, developing, words):
    def break_down(*_):
        raise ZeroDivisionError

    developing.develop = break_down
    assert isinstance(darkroom(*words).exception, ZeroDivisionError)


STOPPED = """
import signal, sys, time, types
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
module = types.ModuleType("darkroom.studio.develop")
def develop_many(requests, progress, memory):
    print("developing", flush=True)
    time.sleep(60)
module.develop_many = develop_many
sys.modules[module.__name__] = module
from darkroom.cli.main import main
main(["generate", "a cone"])
"""


def test_control_c_ends_in_one_line_and_leaves_nothing(tmp_path: Path):
    with Popen([sys.executable, "-c", STOPPED], cwd=tmp_path, stdout=PIPE, stderr=PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "developing\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.read().strip() == "darkroom: stopped."
        assert process.wait() == 130
    assert list((tmp_path / "pictures").iterdir()) == []


def test_a_reader_that_goes_away_is_no_fault():
    command = f"'{sys.executable}' -m darkroom samplers | true"
    done = run(
        ["bash", "-c", command], capture_output=True, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    assert done.stderr == ""


TOO_LONG = "a" * 300
PLACES = [
    ["generate", "a cone", "-m", TOO_LONG],
    ["generate", "a cone", "--lora", TOO_LONG],
    ["generate", "a cone", "--with", TOO_LONG],
    ["generate", "a cone", "--styles", TOO_LONG, "--style", "ink"],
    ["inspect", TOO_LONG],
    ["convert", TOO_LONG, "x"],
    ["evaluate", TOO_LONG],
    ["train", "starter", "--out", TOO_LONG],
    ["train", "starter", "--from", TOO_LONG],
]


@pytest.mark.parametrize("words", PLACES)
def test_a_name_that_no_system_takes_is_no_fault_of_ours(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert done.stderr.startswith("darkroom: cannot use 'aaa") and "file name too long; " in done.stderr


AS_A_USER = [] if os.geteuid() else ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


@pytest.mark.skipif(bool(AS_A_USER) and which("setpriv") is None, reason="root may read anything")
@pytest.mark.parametrize(
    "words",
    [["inspect", "locked/x.safetensors"], ["generate", "a", "--styles", "locked/x.csv", "--style", "ink"]],
)
def test_a_folder_that_may_not_be_read_is_no_fault_of_ours(tmp_path, words):
    (tmp_path / "locked").mkdir(mode=0)
    command = [*AS_A_USER, sys.executable, "-m", "darkroom", *words]
    done = run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.count("\n") == 1
    assert done.stderr.startswith("darkroom: cannot use 'locked/x.") and "permission denied; " in done.stderr


def test_a_full_disk_under_what_is_printed_is_no_fault_of_ours():
    command = ["bash", "-c", f"'{sys.executable}' -m darkroom samplers > /dev/full"]
    done = run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        "darkroom: cannot write: no space left on device; free some space, or choose another place.\n"
    )


def test_what_the_system_says_of_no_file_may_be_a_fault_of_ours():
    assert explained(OSError(errno.EACCES, "Permission denied"))[1] == 1
    assert explained(OSError(errno.EMFILE, "Too many open files", "x.png"))[1] == 1
    assert explained(OSError("libtorch.so is no library"))[1] == 1


def test_a_training_that_was_stopped_ends_as_after_ctrl_c():
    from darkroom.training.loop import Stopped

    sentence, code = explained(Stopped("SIGTERM", 7, Path("runs/it/step-00000007")))
    assert code == 130 and "carries on" in sentence


def test_a_graph_that_tells_nothing_is_no_answer(darkroom, tmp_path):
    info = PngInfo()
    info.add_text("prompt", '{"1": {"class_type": "KSampler", "inputs": {}}}')
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png", pnginfo=info)
    done = darkroom("show", "x.png")
    assert done.exit_code == 2 and "does not say what made it" in done.stderr


def test_stopping_while_it_begins_is_clean(tmp_path):
    """Ctrl-C in the middle of the imports, which come before anything that could catch it."""
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "darkroom", "samplers"]
    done = run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "darkroom: stopped.\n")
