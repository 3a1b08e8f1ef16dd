"""Make the virtual environment that ``make image`` and ``make test`` use; needs nothing but Python.

    python3 tools/environment.py FOLDER [EXTRA...]

Three things that plain pip would get wrong, this gets right:

- Debian and Ubuntu ship Python without ensurepip; pip's standalone program is fetched then.
- On Linux, PyPI's torch brings gigabytes of CUDA libraries. Where there is no NVIDIA GPU, torch comes from
  PyTorch's own index of CPU builds. TORCH_INDEX names another index; TORCH_INDEX= (empty) stands for PyPI.
  Whoever has set up an index for pip is left alone.
- The tests compare our samplers with one file of k-diffusion, which asks for torchvision, wandb and more that
  this file does not need: with the extra "dev" it is installed without them.
"""

import os
import platform
import shutil
import subprocess
import sys
import venv
from importlib.util import find_spec
from pathlib import Path
from urllib.request import Request, urlopen

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"

PIP_URL = "https://bootstrap.pypa.io/pip/pip.pyz"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PATIENCE_S = 5


def main(folder: Path, extras: list[str]) -> None:
    """Create ``folder`` and install Darkroom there, editable, with the versions of constraints.txt."""
    create(folder)
    if index := torch_index(folder):
        say(f"torch comes from {index}")
        pip(folder, "install", "--no-deps", "--index-url", index, pinned("torch"))
    package = f"{ROOT}[{','.join(extras)}]" if extras else str(ROOT)
    pip(folder, "install", "--constraint", str(CONSTRAINTS), "--editable", package)
    if "dev" in extras:
        pip(folder, "install", "--no-deps", pinned("k-diffusion"))


def create(folder: Path) -> None:
    """A virtual environment with pip."""
    if (folder / "bin" / "pip").exists():
        return
    say(f"making {folder}")
    if find_spec("ensurepip"):
        venv.create(folder, with_pip=True, symlinks=True)
    else:
        venv.create(folder, with_pip=False, symlinks=True)
        bootstrap_pip(folder, PIP_URL)


def bootstrap_pip(folder: Path, url: str) -> None:
    """Install pip from its own standalone program. Ends the program with advice when it cannot be had."""
    standalone = folder / "pip.pyz"
    try:
        with urlopen(url, timeout=60) as answer:
            standalone.write_bytes(answer.read())
    except OSError as error:
        sys.exit(
            f"this Python has no pip, and {url} cannot be had ({error}); install python3-venv and try again."
        )
    run(folder / "bin" / "python", standalone, "install", "pip")
    standalone.unlink()


def torch_index(folder: Path) -> str | None:
    """Where torch should come from if not from PyPI."""
    chosen = os.environ.get("TORCH_INDEX")
    if chosen is not None:
        return chosen or None
    if platform.system() != "Linux" or has_nvidia_gpu() or has_own_index(folder):
        return None
    return TORCH_CPU_INDEX if answers(TORCH_CPU_INDEX) else None


def has_nvidia_gpu() -> bool:
    """Whether NVIDIA's driver is here."""
    return shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists()


def has_own_index(folder: Path) -> bool:
    """Whether pip is set up, by file or environment, to look elsewhere than PyPI."""
    command = [str(folder / "bin" / "python"), "-m", "pip", "config", "list"]
    settings = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return any(name in settings for name in ("index-url", "find-links", "no-index"))


def answers(index: str) -> bool:
    """Whether an index can be reached; pip alone would wait for minutes to find out."""
    try:
        urlopen(Request(f"{index}/torch/", method="HEAD"), timeout=PATIENCE_S).close()
    except OSError:
        say(f"{index} does not answer; torch comes from PyPI")
        return False
    return True


def pinned(package: str) -> str:
    """The line of constraints.txt for a package."""
    lines = CONSTRAINTS.read_text().splitlines()
    return next(line for line in lines if line.startswith(f"{package}=="))


def pip(folder: Path, *arguments: str) -> None:
    """Run the environment's pip; its own words tell what fails."""
    run(folder / "bin" / "python", "-m", "pip", *arguments, "--disable-pip-version-check")


def run(*command: Path | str) -> None:
    """Run a command, and end with its exit code where it fails."""
    code = subprocess.run([str(word) for word in command]).returncode
    if code:
        sys.exit(code)


def say(text: str) -> None:
    """Tell what happens, before it does."""
    print(f"darkroom: {text}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
