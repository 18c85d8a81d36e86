"""``limits``: bounds on sizes and times."""

from __future__ import annotations

from pydantic import Field

from router.config.fields import Duration, Section, Size, Whole

_MIB = 1024 * 1024


class Limits(Section):
    """Bounds that keep one request from taking everything."""

    max_body_bytes: Size = Field(default=16 * _MIB, description="Largest request body.")
    max_guard_chars: Whole = Field(default=131_072, ge=1, description="Most text that the guards read of one request.")
    max_response_bytes: Size = Field(default=16 * _MIB, description="Largest answer of an intermediate agent.")
    body_timeout: Duration = Field(default=60.0, description="Longest time for a client to send a request's body.")
    connect_timeout: Duration = Field(default=5.0, description="Longest wait for a connection to an upstream.")
    drain_timeout: Duration = Field(default=30.0, description="How long requests in flight may take when it stops.")
