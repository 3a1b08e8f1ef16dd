"""What every door asks of the JSON and the forms that clients send, before it looks at a field."""

import math
from typing import Any

from pydantic import BaseModel, model_validator
from pydantic_core import PydanticCustomError

DEEPEST = 32
"""How deep lists and objects may lie within one another: what anybody sends has a handful."""


class Sent(BaseModel):
    """Refuses what could not be kept, nor handed back in an answer."""

    @model_validator(mode="before")
    @classmethod
    def _answerable(cls, values: Any) -> Any:
        check_answerable(values)
        return values


def check_answerable(value: Any, deepest: int = DEEPEST) -> None:
    """Raise PydanticCustomError for what JSON cannot hold: half characters, and numbers that are none."""
    if deepest < 0:
        raise PydanticCustomError("too_deep", "it lies too deep within lists and objects; send it flatter")
    if isinstance(value, float) and not math.isfinite(value):
        raise PydanticCustomError("finite_number", "a number in it is infinite or none; give a finite one")
    if isinstance(value, str) and not _is_utf8(value):
        raise PydanticCustomError("string_unicode", "a text in it is not UTF-8; retype it")
    parts = [*value.keys(), *value.values()] if isinstance(value, dict) else value
    for part in parts if isinstance(parts, list) else ():
        check_answerable(part, deepest - 1)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
