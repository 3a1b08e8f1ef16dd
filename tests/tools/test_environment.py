"""Where ``make`` takes torch from, and what it refuses to run."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def environment(monkeypatch) -> ModuleType:
    """tools/environment.py on a Linux machine without a GPU, without indexes of its own, and online."""
    spec = importlib.util.spec_from_file_location("environment", ROOT / "tools" / "environment.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.delenv("TORCH_INDEX", raising=False)
    monkeypatch.setattr(module.platform, "system", lambda: "Linux")
    for name, answer in (("has_nvidia_gpu", False), ("has_own_index", False), ("answers", True)):
        monkeypatch.setattr(module, name, lambda *_, answer=answer: answer)
    return module


def test_a_cpu_gets_the_cpu_build(environment):
    assert environment.torch_index(Path("venv")) == "https://download.pytorch.org/whl/cpu"


@pytest.mark.parametrize(
    ("name", "answer"), [("has_nvidia_gpu", True), ("has_own_index", True), ("answers", False)]
)
def test_pypi_serves_everyone_else(environment, monkeypatch, name, answer):
    monkeypatch.setattr(environment, name, lambda *_: answer)
    assert environment.torch_index(Path("venv")) is None


def test_a_mac_needs_no_other_index(environment, monkeypatch):
    monkeypatch.setattr(environment.platform, "system", lambda: "Darwin")
    assert environment.torch_index(Path("venv")) is None


@pytest.mark.parametrize(
    ("chosen", "index"), [("https://my.index/simple", "https://my.index/simple"), ("", None)]
)
def test_the_user_has_the_last_word(environment, monkeypatch, chosen, index):
    monkeypatch.setenv("TORCH_INDEX", chosen)
    assert environment.torch_index(Path("venv")) == index


def test_pip_comes_from_its_standalone_program(environment, tmp_path, monkeypatch):
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(environment, "run", lambda *words: ran.append(tuple(map(str, words))))
    (tmp_path / "pip.pyz").write_bytes(b"a program")
    (tmp_path / "venv").mkdir()
    environment.bootstrap_pip(tmp_path / "venv", (tmp_path / "pip.pyz").as_uri())
    python, program, *rest = ran[0]
    assert (python, rest) == (str(tmp_path / "venv/bin/python"), ["install", "pip"])
    assert not Path(program).exists()


def test_a_pip_that_cannot_be_had_ends_with_advice(environment, tmp_path):
    with pytest.raises(SystemExit, match="install python3-venv"):
        environment.bootstrap_pip(tmp_path, (tmp_path / "nothing").as_uri())


@pytest.mark.parametrize(("extras", "wanted"), [(["dev"], True), ([], False)])
def test_k_diffusion_comes_for_the_tests_and_without_its_needs(environment, monkeypatch, extras, wanted):
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(environment, "create", lambda folder: None)
    monkeypatch.setattr(environment, "torch_index", lambda folder: None)
    monkeypatch.setattr(environment, "pip", lambda folder, *words: ran.append(words))
    environment.main(Path("venv"), extras)
    alone = ("install", "--no-deps", environment.pinned("k-diffusion"))
    assert ran[1:] == ([alone] if wanted else [])
    assert "| k-diffusion |" in (ROOT / "docs" / "dependencies.md").read_text()


def test_every_dependency_has_a_version_and_a_reason(environment):
    project = (ROOT / "pyproject.toml").read_text().split("[project.scripts]")[0]
    reasons = (ROOT / "docs" / "dependencies.md").read_text()
    named = re.findall(r'^(?:dev = \[|  )\s*"([a-z0-9-]+)[>=]', project, re.M)
    assert len(named) >= 17
    for package in named:
        assert environment.pinned(package).startswith(f"{package}==")
        assert f"| {package} |" in reasons
