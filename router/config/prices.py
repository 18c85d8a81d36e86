"""``model_providers[].price``: what a model costs where the published prices do not hold."""

from __future__ import annotations

from pydantic import Field

from router.config.fields import Number, Section


class TokenPrice(Section):
    """Price of a model in US dollars per million tokens."""

    input: Number = Field(ge=0, description="Input that is read anew.")
    output: Number = Field(ge=0, description="Output, reasoning included.")
    cached_input: Number | None = Field(
        default=None, ge=0, description="Input read from the provider's prompt cache. Default: as `input`."
    )
    cache_write: Number | None = Field(
        default=None, ge=0, description="Input written to the provider's prompt cache. Default: as `input`."
    )
