"""Articles, plurals, numbers and lists of English."""

from collections.abc import Sequence

NUMBER_WORDS = ("no", "one", "two", "three", "four", "five", "six")

# Words whose first letter misleads about a or an.
SOUNDS_LIKE_CONSONANT = ("uni", "use", "uku", "ufo", "eu", "ewe", "one", "once")
SOUNDS_LIKE_VOWEL = ("hour", "honest", "heir", "8", "11", "18")
IRREGULAR = {
    "leaf": "leaves",
    "loaf": "loaves",
    "knife": "knives",
    "shelf": "shelves",
    "scarf": "scarves",
    "wolf": "wolves",
    "mouse": "mice",
    "person": "people",
    "potato": "potatoes",
    "tomato": "tomatoes",
}
SAME = ("sheep", "fish", "deer", "squid", "shrimp", "dice", "aircraft")


def article(following: str) -> str:
    """a or an, by the sound of what follows."""
    word = following.lstrip("\"'").lower()
    if word.startswith(SOUNDS_LIKE_VOWEL):
        return "an"
    return "an" if word[:1] in tuple("aeiou") and not word.startswith(SOUNDS_LIKE_CONSONANT) else "a"


def with_article(text: str) -> str:
    return f"{article(text)} {text}"


def plural_of(noun: str) -> str:
    """The plural of a noun that the catalogue gives no plural for; "cup of tea" becomes "cups of tea"."""
    for joint in (" of ", " with "):
        head, found, rest = noun.partition(joint)
        if found:
            return plural_of(head) + found + rest
    first, space, last = noun.rpartition(" ")
    return first + space + _plural_word(last)


def _plural_word(word: str) -> str:
    if word in IRREGULAR or word.endswith(SAME):
        return IRREGULAR.get(word, word)
    if word.endswith("man"):
        return word[:-2] + "en"
    if word.endswith(("s", "x", "ch", "sh")):
        return word + "es"
    if word.endswith("y") and word[-2:-1] not in tuple("aeiou"):
        return word[:-1] + "ies"
    return word + "s"


def number(n: int, digits: bool = False) -> str:
    return str(n) if digits or n >= len(NUMBER_WORDS) else NUMBER_WORDS[n]


def listed(items: Sequence[str], serial: bool = False) -> str:
    """a; a and b; a, b and c; with ``serial`` a comma before the and."""
    if len(items) < 2:
        return "".join(items)
    comma = "," if serial else ""
    return f"{', '.join(items[:-1])}{comma} and {items[-1]}"


def capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
