"""How large the input of a request is, roughly and quickly (pure): four characters are taken for a token.

Good enough to weigh one model against another and to see whether a prefix is worth caching; bills are counted by the
providers.
"""

from __future__ import annotations

from typing import Any

from router.routing.prompt import CHARS_PER_TOKEN

# What providers charge for an image or a page of a document, to within a factor of two.
_MEDIA_TOKENS = 1000
_MEDIA = frozenset({"image", "image_url", "input_image", "document", "file", "input_file", "audio", "input_audio"})


def estimated_tokens(*values: object) -> int:
    """The tokens in ``values``: messages, tools, system prompts, in the form of any dialect."""
    return characters(*values) // CHARS_PER_TOKEN


def characters(*values: object) -> int:
    """The characters of all text in ``values``, media at a flat rate; names of fields do not count."""
    total = 0
    pending: list[Any] = list(values)
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            total += len(value)
        elif isinstance(value, dict):
            kind = value.get("type")
            if isinstance(kind, str) and kind in _MEDIA:
                total += _MEDIA_TOKENS * CHARS_PER_TOKEN
            else:
                pending.extend(value.values())
        elif isinstance(value, (list, tuple)):
            pending.extend(value)
    return total
