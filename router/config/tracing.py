"""``tracing``: what is recorded about requests, and where it goes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from router.config.fields import Duration, FilePath, HeaderName, Headers, Name, Number, Port, Section, Text, Url


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


class OtlpExporter(Section):
    """An OTLP collector that traces and metrics go to."""

    endpoint: Url = Field(description="Where it listens; for gRPC, the scheme says whether TLS is used.")
    protocol: Literal["grpc", "http/protobuf"] = Field(default="http/protobuf", description="What it speaks.")
    headers: Headers = Field(default_factory=dict, repr=False, description="Headers, such as those with a key.")
    compression: Literal["gzip", "none"] = Field(default="gzip", description="How bodies are compressed.")
    timeout: Duration = Field(default=10.0, description="Longest wait for an answer.")
    traces: bool = Field(default=True, description="Whether spans are sent.")
    metrics: bool = Field(default=True, description="Whether metrics are sent.")
    traces_path: Text = Field(default="/v1/traces", description="Behind `endpoint`, where spans go; not for gRPC.")
    metrics_path: Text = Field(default="/v1/metrics", description="Behind `endpoint`, where metrics go; not for gRPC.")
    metrics_interval: Duration = Field(default=60.0, description="Time between two deliveries of metrics.")
    ca_file: FilePath | None = Field(default=None, description="Certificates to trust instead of the system's.")
    client_certificate: FilePath | None = Field(default=None, description="Certificate to show.")
    client_key: FilePath | None = Field(default=None, description="Key of `client_certificate`.")


class Collector(Section):
    """An OTLP collector of the gateway's own: spans sent to it join the gateway's in `trident trace`."""

    address: Name = Field(default="127.0.0.1", description="Address to listen on. Senders are not authenticated.")
    grpc_port: Port | None = Field(default=None, description="Port for OTLP over gRPC, by custom 4317.")
    http_port: Port | None = Field(default=None, description="Port for OTLP over HTTP, by custom 4318.")


class Tracing(Section):
    """OpenTelemetry tracing."""

    random_sampling: Number = Field(default=100.0, ge=0, le=100, description="Share of requests traced, in percent.")
    opentracing_grpc_endpoint: Url | None = Field(default=None, description="OTLP gRPC collector.")
    span_attributes: SpanAttributes = Field(default=SpanAttributes(), description="Attributes on every span.")
    exporters: tuple[TraceExporter, ...] = Field(default=(), description="Further places that traces go to.")
    capture_content: bool = Field(
        default=False,
        description="Whether spans have prompts, answers and tool arguments, shortened, without personal data.",
    )
    trace_arch_internal: bool = Field(default=False, description="Accepted; internal steps always are spans.")
    stream_usage: bool = Field(
        default=True,
        description="Whether streams of the OpenAI dialect are asked to count their tokens, also where the client has "
        "not asked for that; it never sees them then.",
    )
    otlp: tuple[OtlpExporter, ...] = Field(
        default=(),
        description="Collectors that traces and metrics go to. Without any, those of the environment: "
        "`OTEL_EXPORTER_OTLP_ENDPOINT` and its relatives.",
    )
    service_name: Name = Field(
        default="trident", description="`service.name` of what is sent; without it, `OTEL_SERVICE_NAME`."
    )
    resource: dict[str, str] = Field(
        default_factory=dict,
        description="Attributes of the gateway itself; they win over `OTEL_RESOURCE_ATTRIBUTES`.",
    )
    collector: Collector | None = Field(default=None, description="Takes the spans of agents and of others.")
