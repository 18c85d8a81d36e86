"""What the id of a model says about it: Converse is one API, but not every model takes all of it.

Ids look like ``anthropic.claude-sonnet-4-5-20250929-v1:0``, with ``eu.`` or ``global.`` in front for an inference
profile, and stand at the end of ARNs. The ARN of a customer's own profile says nothing about the model behind it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, TypeAlias

Family: TypeAlias = Literal["claude", "nova", "cohere", "openai", "xai", "other"]

_MAKER = re.compile(r"(?:^|[./])(anthropic\.|amazon\.nova|cohere\.|openai\.|xai\.)")
_FAMILIES: Mapping[str, Family] = {
    "anthropic.": "claude",
    "amazon.nova": "nova",
    "cohere.": "cohere",
    "openai.": "openai",
    "xai.": "xai",
}


def family_of(model: str) -> Family | None:
    """The family of a model; ``None`` where the id does not say whose it is."""
    found = _MAKER.search(model)
    if found is not None:
        return _FAMILIES[found[1]]
    return "other" if "." in model else None
