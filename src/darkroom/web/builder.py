"""The prompt builder: subject, style, composition, light and mood, put together into one sentence."""

from collections.abc import Callable, Mapping

from darkroom.web.controls import Box, Field, Press

PARTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "subject": (
        "What is there?",
        ("a red cat", "three green apples", "a dog holding a balloon", "a house and a tree"),
    ),
    "style": ("How is it made?", ("watercolour", "pixel art", "pencil sketch", "neon drawing")),
    "composition": (
        "Where, and how arranged?",
        ("on a beach", "in a forest", "in a city", "in the snow", "on a blue background"),
    ),
    "light": ("What light?", ("at sunset", "in the rain", "under a starry sky")),
    "mood": ("What feeling?", ("calm", "joyful", "mysterious")),
}
"""A question and suggestions for each."""


def built(parts: Mapping[str, str]) -> str:
    """The parts as a prompt: "a watercolour of two cats on a beach at sunset, calm"."""
    said = {name: parts.get(name, "").strip() for name in PARTS}
    subject = said["subject"]
    if subject and said["style"]:
        subject = f"{_with_article(said['style'])} of {subject}"
    sentence = " ".join(
        part for part in (subject or said["style"], said["composition"], said["light"]) if part
    )
    return ", ".join(part for part in (sentence, said["mood"]) if part)


def _with_article(style: str) -> str:
    """ "a watercolour", "pixel art"."""
    if style.split()[0].lower() in ("a", "an", "the") or style.lower().endswith("art"):
        return style
    return f"{'an' if style[0].lower() in 'aeiou' else 'a'} {style}"


class Builder:
    """A field for each part with suggestions to press; ``changed`` is told all parts."""

    def __init__(self, parts: Mapping[str, str], changed: Callable[[dict[str, str]], None]) -> None:
        self.parts, self.changed = dict(parts), changed
        self.fields: dict[str, Field] = {}
        for name, (question, suggestions) in PARTS.items():
            with Box("stack tight"):
                self.fields[name] = self._field(name, question)
                with Box("chips"):
                    for words in suggestions:
                        Press(words, lambda name=name, words=words: self.put(name, words)).classes(
                            replace="chip"
                        )

    def _field(self, name: str, question: str) -> Field:
        return Field(
            "text",
            name.capitalize(),
            self.parts.get(name, ""),
            lambda event: self._told(name, event.value or ""),
            placeholder=question,
        )

    def put(self, name: str, words: str) -> None:
        """Take a suggestion, or leave it out again."""
        self.fields[name].value = "" if self.fields[name].value == words else words

    def clear(self) -> None:
        """Empty all fields without telling anybody."""
        self.parts = {}
        for field in self.fields.values():
            field.value = ""

    def _told(self, name: str, words: str) -> None:
        if self.parts.get(name, "") != words:
            self.parts[name] = words
            self.changed(dict(self.parts))
