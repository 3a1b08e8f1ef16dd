"""Models by their name on the Hugging Face hub: fetched when a user names one, and never otherwise."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from darkroom.errors import DarkroomError

NAME = re.compile(r"[\w.-]+/[\w.-]+")
WANTED = (
    "model_index.json",
    "*/*.json",
    "*/*.txt",
    "*/*.model",
    "*/*.safetensors",
)
"""What a diffusers folder needs; pickles and whole-model files beside the parts are left where they are."""
UNWANTED = ("*.fp16.safetensors", "*.non_ema.safetensors", "safety_checker/*", "*/openvino*", "*/flax*")


_MAY_ASK = ContextVar("may_ask", default=True)


@contextmanager
def unasked() -> Iterator[None]:
    """While the block lasts no model is fetched: for names that a file says, and not its user."""
    before = _MAY_ASK.set(False)
    try:
        yield
    finally:
        _MAY_ASK.reset(before)


def is_name(name: str) -> bool:
    """Whether this may be OWNER/NAME."""
    return NAME.fullmatch(name) is not None


def fetch(name: str) -> Path:
    """The folder of a model on the hub, from the cache that all tools share where it is there already.

    ``HF_HUB_OFFLINE=1`` and :func:`unasked` keep it from asking the hub, ``HF_HOME`` says where the cache
    lies. Raises DarkroomError where it cannot be had.
    """
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError:
        raise DarkroomError(
            f"'{name}' is a name on the hub, and fetching it needs huggingface_hub; "
            "in Darkroom's folder: pip install -c constraints.txt -e '.[models]'."
        ) from None
    try:
        return Path(
            snapshot_download(
                name,
                allow_patterns=list(WANTED),
                ignore_patterns=list(UNWANTED),
                local_files_only=not _MAY_ASK.get(),
            )
        )
    except LocalEntryNotFoundError:
        if not _MAY_ASK.get():
            raise DarkroomError(
                f"'{name}' is not on this machine, and is not fetched because a file names it; "
                f"if you trust it, fetch it once: darkroom generate 'a test' -m {name}"
            ) from None
        raise DarkroomError(
            f"there is no file or folder '{name}' here; as a name on the hub it is not in the cache, "
            "and the hub does not answer: check the path, or go online once."
        ) from None
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise DarkroomError(f"the hub does not hand out '{name}' ({reason}); check the name.") from None
