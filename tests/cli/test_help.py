"""Help answers at once."""

import sys
from statistics import median
from subprocess import run
from time import perf_counter

import pytest

from darkroom.cli.main import main

HELP = "from darkroom.cli.main import main; main(['--help'])"


def seconds(code: str) -> float:
    start = perf_counter()
    run([sys.executable, "-c", code], capture_output=True, check=True)
    return perf_counter() - start


def test_help_takes_hardly_longer_than_click_itself():
    """In pairs, side by side, so that a busy machine slows both; alone it is 0.1 s against 0.06 s."""
    ratios = [seconds(HELP) / seconds("import click") for _ in range(7)]
    assert median(ratios) < 4


@pytest.mark.parametrize("words", [["--help"], ["--version"], *([name, "--help"] for name in main.commands)])
def test_help_loads_nothing_heavy(words):
    code = (
        "import sys; from darkroom.cli.main import main\n"
        f"try: main({words})\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'numpy', 'PIL', 'rich', 'safetensors'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", main.commands)
def test_every_command_shows_an_example_and_explains_every_option(darkroom, name):
    shown = darkroom(name, "--help").stdout
    assert f"darkroom {name}" in shown.split("Options:")[0]
    assert all(
        getattr(option, "help", None)
        for option in main.commands[name].params
        if option.param_type_name == "option"
    )


def test_no_words_at_all_shows_the_help(darkroom):
    done = darkroom()
    assert done.exit_code == 0 and "Commands:" in done.stdout


def test_options_of_generate_stand_under_headings_the_common_ones_first(darkroom):
    from darkroom.cli.generate import HEADINGS

    shown = darkroom("generate", "--help").stdout
    starts = [shown.index(f"\n{heading}:\n") for heading in ("Options", *HEADINGS.values())]
    assert starts == sorted(starts)
    assert starts[0] < shown.index("--seed") < starts[1] < shown.index("--emphasis") < starts[2]
    assert HEADINGS.keys() <= {option.name for option in main.commands["generate"].params}
