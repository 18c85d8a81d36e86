"""``state_storage``: where counters and conversations are kept, and how much of them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from router.config.fields import Duration, Section, Size, Whole

_KIB = 1024
_MIB = 1024 * _KIB
_DAY_S = 86_400.0


class StateStorage(Section):
    """Storage of counters, responses and conversations. The bounds are for responses and conversations."""

    type: Literal["memory", "sqlite", "postgres", "redis"] = Field(description="Kind of storage.")
    connection_string: SecretStr | None = Field(
        default=None, description="Where it is: a file for `sqlite`, a URL for `postgres` and `redis`, which need it."
    )
    store_responses: Literal["by_default", "on_request", "never"] = Field(
        default="by_default",
        description="Which responses are kept: all but those with `store: false`, as the API does, only those with "
        "`store: true`, or none, which turns off conversations too.",
    )
    ttl: Duration = Field(
        default=30 * _DAY_S, description="How long a response or conversation is kept after its last use."
    )
    max_entries: Whole = Field(
        default=100_000,
        ge=100,
        description="Most responses, conversations and turns of conversations; those that would end first go first. "
        "Redis has its own bounds.",
    )
    max_bytes: Size | None = Field(
        default=None,
        ge=_MIB,
        description="Most that all of them take, where `type` is `memory` (default: 256 MiB) or `sqlite` (1 GiB).",
    )
    max_response_bytes: Size = Field(
        default=8 * _MIB, ge=_KIB, description="Largest response that is kept, input and output together."
    )
    max_conversation_items: Whole = Field(
        default=2000, ge=1, le=100_000, description="Most items that one conversation may come to have."
    )
    max_conversation_bytes: Size = Field(
        default=32 * _MIB, ge=_KIB, description="Largest conversation that is continued, without what is added to it."
    )
