"""What the starter makes of words."""

import asyncio


async def unknown_words(prompt: str) -> tuple[str, ...]:
    """The words of a prompt that the starter never saw, each once; it reads them by their letters alone."""
    return await asyncio.to_thread(_unknown, prompt)


def _unknown(prompt: str) -> tuple[str, ...]:
    from darkroom.studio.models import load_model

    tokenizer = load_model("starter").model.tokenizer  # type: ignore[attr-defined]
    return tuple(dict.fromkeys(word for word in tokenizer.unknown(prompt) if word.isalpha()))
