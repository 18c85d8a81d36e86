"""A turn that is nothing but the answer to a question."""

from __future__ import annotations

import re

from router.functions.extraction.candidates import trimmed
from router.functions.extraction.profiles import Profile
from router.functions.extraction.reading import Reading
from router.functions.extraction.words import word_set

_LEAD = re.compile(
    r"^(?:(?:well|ok|okay|oh|so|please|yes|sure|hm|um),?\s+)*"
    r"(?:(?:it'?s|it is|that'?s|that is|this is|call it|name it|named|called|my name is|the name is|i am|i'?m|make it"
    r"|let'?s say|say|to say|that says|saying|with)\s+)?",
    re.IGNORECASE,
)
_TAIL = re.compile(r",?\s+(?:please|thanks|thank you|pls|thx)[.! ]*$", re.IGNORECASE)
_PREPOSITION = re.compile(r"^(?:to|in|at|from|for|near|around|by|on|nach|von|in|à|de|en|a)\s+", re.IGNORECASE)
_ARTICLE = re.compile(r"^(?:the|a|an|my|our)\s+")
_NO_ANSWERS = word_set(
    "no nope none nothing cancel stop nevermind help what why whatever any anything anywhere idk yes ok"
) | {
    "never mind", "forget it", "i don't know", "don't know", "not sure", "i have no idea", "no idea"
}  # fmt: skip
_MOST_WORDS = 6


def refuses(reading: Reading) -> bool:
    """Whether a turn says that there is no answer."""
    return trimmed(reading.text.casefold()) in _NO_ANSWERS


def answer(asked: Profile, reading: Reading) -> str | None:
    """The whole turn as the value of a name or free text; ``None`` for other kinds and where it answers nothing."""
    if asked.kind not in {"text", "name", "topic", "open", "person", "place", "creator"} or asked.many:
        return None
    text = _TAIL.sub("", reading.text.strip())
    said = trimmed(_LEAD.sub("", text, count=1))
    if not said or said.casefold() in _NO_ANSWERS or reading.text.rstrip().endswith("?"):
        return None
    if asked.kind == "text":
        return said
    if asked.kind in {"place", "person", "open"}:
        said = _ARTICLE.sub("", _PREPOSITION.sub("", said, count=1), count=1)
    if reading.dates or reading.times:
        return None
    words = said.split()
    return said if words and len(words) <= _MOST_WORDS and "," not in said and len(reading.literals) == 0 else None
