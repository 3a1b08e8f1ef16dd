"""The words of a variation that is sent without any: those that its picture tells."""

from darkroom.errors import UnknownName
from darkroom.studio.home import finder
from darkroom.studio.metadata import read_infotext
from darkroom.studio.pictures import decode
from darkroom.text.prompt import TAG, parse
from darkroom.text.wildcards import escape


def words_of(data: bytes) -> str:
    """The prompt that a picture's infotext tells, to be read as it stands; "" where it tells none.

    Tags that cannot be followed here are left out, such as those of LoRAs that lie elsewhere.
    """
    told = read_infotext(decode(data).texts.parameters or "").prompt
    return escape(TAG.sub(lambda tag: tag[0] if _is_here(tag[0]) else "", told).strip())


def _is_here(tag: str) -> bool:
    """Whether it names a LoRA of the user's own."""
    find = finder(paths=False)
    try:
        return bool([find("loras", one.name) for one in parse(tag).loras])
    except UnknownName:
        return False
