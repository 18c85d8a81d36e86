"""``memory`` of a filter: what is remembered of users, how they are told apart, and for how long."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from router.config.fields import Duration, HeaderName, Name, Score, Section, Whole


class MemorySettings(Section):
    """What a `memory` filter recalls and keeps."""

    key: Literal["api_key", "header", "user"] = Field(
        default="api_key",
        description="Whose memory it is: the name of the API key, a `header`, or the `user` of the request "
        "(`metadata.user_id` of Anthropic's clients). What one API key's users say is never recalled for another's.",
    )
    header: HeaderName | None = Field(
        default=None, description="The header that names the user or session. Needed by `key: header`."
    )
    model: Name = Field(default="encoder", description="The sentence encoder on Triton.")
    max_recalled: Whole = Field(default=5, ge=1, le=50, description="Most facts that are put into a request.")
    min_similarity: Score = Field(
        default=0.3, description="How similar a fact has to be to the newest user message to be recalled."
    )
    same_similarity: Score = Field(
        default=0.92, description="From which similarity a new fact takes the place of an older one."
    )
    ttl: Duration = Field(default=90 * 86400.0, description="How long a fact is kept after it was said.")
    max_facts: Whole = Field(default=200, ge=1, le=2000, description="Most facts of one key; the oldest go first.")
    max_fact_chars: Whole = Field(
        default=300, ge=20, le=2000, description="Longest fact; what is longer is not remembered."
    )
    max_keys: Whole = Field(
        default=10_000, ge=1, le=1_000_000, description="Most keys; those that said nothing new for longest go first."
    )
