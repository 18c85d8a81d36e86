"""``ratelimits``: how much of a model may be used in a time."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from router.config.fields import HeaderName, Name, Section, Text, Whole
from router.config.filters import OnError

RateUnit = Literal["second", "minute", "hour", "day"]

MAX_COUNT = 10**15  # what every store counts exactly, with room for a window's worth of overrun


class RateLimitSelector(Section):
    """Whose requests are counted together."""

    key: HeaderName = Field(description="Request header.")
    value: Text = Field(default="*", description="Its value; `*` counts each value on its own.")
    absent: Literal["allow", "count"] = Field(
        default="allow",
        description="Requests without the header: `allow` does not limit them, `count` counts them together.",
    )


class RateLimitQuantity(Section):
    """How much is allowed."""

    tokens: Whole | None = Field(default=None, ge=1, le=MAX_COUNT, description="Input and output tokens per `unit`.")
    requests: Whole | None = Field(default=None, ge=1, le=MAX_COUNT, description="Requests per `unit`.")
    unit: RateUnit = Field(description="The time that the numbers are for.")


class RateLimit(Section):
    """A limit on the use of one model."""

    model: Name = Field(
        description="The model that is limited; with `*` in it, the models whose names fit, counted together."
    )
    selector: RateLimitSelector = Field(description="Whose requests are counted together.")
    limit: RateLimitQuantity = Field(description="How much is allowed.")
    on_error: OnError = Field(
        default="deny", description="What happens to requests while the store of the counters cannot be asked."
    )
