"""``tracing``: what is recorded about requests, and where it goes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from router.config.fields import HeaderName, Number, Section, Url


class SpanAttributes(Section):
    """Attributes on every span."""

    header_prefixes: tuple[HeaderName, ...] = Field(
        default=(), description="Request headers whose names start like this become attributes."
    )
    static: dict[str, str] = Field(default_factory=dict, description="Attributes that are the same everywhere.")


class TraceExporter(Section):
    """A further place that traces go to."""

    type: Literal["posthog"] = Field(description="Kind of place.")
    url: Url = Field(description="Where it is.")
    api_key: SecretStr = Field(description="Key of the project, as `$VAR`.")
    distinct_id_header: HeaderName | None = Field(default=None, description="Request header that identifies the user.")
    enabled: bool = Field(default=True, description="Turns it off without removing it.")
    capture_messages: bool = Field(default=False, description="Whether prompts are sent, shortened.")


class Tracing(Section):
    """OpenTelemetry tracing."""

    random_sampling: Number = Field(default=100.0, ge=0, le=100, description="Share of requests traced, in percent.")
    opentracing_grpc_endpoint: Url | None = Field(default=None, description="OTLP gRPC collector.")
    span_attributes: SpanAttributes = Field(default=SpanAttributes(), description="Attributes on every span.")
    exporters: tuple[TraceExporter, ...] = Field(default=(), description="Further places that traces go to.")
    trace_arch_internal: bool = Field(default=False, description="Whether internal steps become spans, too.")
