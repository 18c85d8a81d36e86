"""``state_storage``: where conversations are kept."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from router.config.fields import Section


class StateStorage(Section):
    """Storage of conversation state."""

    type: Literal["memory", "sqlite", "postgres", "redis"] = Field(description="Kind of storage.")
    connection_string: SecretStr | None = Field(
        default=None, description="Where it is: a file for `sqlite`, a URL for `postgres` and `redis`, which need it."
    )
