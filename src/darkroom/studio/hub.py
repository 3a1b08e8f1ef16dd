"""Models by their name on the Hugging Face hub: fetched when a user names one, and never otherwise."""

import re
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


def is_name(name: str) -> bool:
    """Whether this may be OWNER/NAME."""
    return NAME.fullmatch(name) is not None


def fetch(name: str) -> Path:
    """The folder of a model on the hub, from the cache that all tools share where it is there already.

    ``HF_HUB_OFFLINE=1`` keeps it from asking the hub, ``HF_HOME`` says where the cache lies.
    Raises DarkroomError where it cannot be had.
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
        return Path(snapshot_download(name, allow_patterns=list(WANTED), ignore_patterns=list(UNWANTED)))
    except LocalEntryNotFoundError:
        raise DarkroomError(
            f"'{name}' is not in the cache and the hub does not answer; go online once, or name a file."
        ) from None
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise DarkroomError(f"the hub does not hand out '{name}' ({reason}); check the name.") from None
