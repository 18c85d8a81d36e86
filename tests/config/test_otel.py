"""Where telemetry goes, as OpenTelemetry's environment variables say."""

from __future__ import annotations

import pytest

from router.config.tracing import Tracing

CONFIG = """\
version: v0.4.0
listeners:
  - {type: model, name: models, port: 12000}
"""


def tracing_of(load, environ: dict[str, str], section: str = "") -> Tracing:
    tracing: Tracing = load(CONFIG + section, environ).config.tracing
    return tracing


def test_without_variables_nothing_is_sent_anywhere(load) -> None:
    tracing = tracing_of(load, {})
    assert (tracing.otlp, tracing.opentracing_grpc_endpoint) == ((), None)
    assert (tracing.service_name, tracing.resource) == ("trident", {})


def test_one_endpoint_gets_traces_and_metrics(load) -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/",
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=s%3Dcret, x-team = travel,nonsense",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "2500",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_METRIC_EXPORT_INTERVAL": "15000",
    }
    (exporter,) = tracing_of(load, environ).otlp
    assert (exporter.endpoint, exporter.protocol) == ("http://collector:4318", "http/protobuf")
    assert (exporter.traces, exporter.metrics) == (True, True)
    assert exporter.headers == {"api-key": "s=cret", "x-team": "travel"}
    assert (exporter.timeout, exporter.compression, exporter.metrics_interval) == (2.5, "gzip", 15.0)
    assert "cret" not in repr(exporter)


def test_a_url_of_one_signal_is_used_as_it_is(load) -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://traces.example/ingest/v2",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "authorization=Bearer%20t",
    }
    traces, metrics = tracing_of(load, environ).otlp
    assert (traces.endpoint, traces.traces_path, traces.metrics) == ("https://traces.example", "/ingest/v2", False)
    assert traces.headers == {"authorization": "Bearer t"}
    assert (metrics.endpoint, metrics.metrics_path, metrics.traces) == ("http://collector:4318", "/v1/metrics", False)


@pytest.mark.parametrize(
    ("endpoint", "insecure", "used"),
    [
        ("http://collector:4317", "", "http://collector:4317"),
        ("collector:4317", "true", "http://collector:4317"),
        ("collector:4317", "", "https://collector:4317"),
    ],
)
def test_grpc_endpoints_may_lack_a_scheme(load, endpoint: str, insecure: str, used: str) -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_INSECURE": insecure,
    }
    (exporter,) = tracing_of(load, environ).otlp
    assert (exporter.endpoint, exporter.protocol, exporter.metrics) == (used, "grpc", False)


def test_a_signal_can_be_switched_off(load) -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_METRICS_EXPORTER": "none"}
    (exporter,) = tracing_of(load, environ).otlp
    assert (exporter.traces, exporter.metrics) == (True, False)
    assert tracing_of(load, environ | {"OTEL_SDK_DISABLED": "true"}).otlp == ()


def test_an_exporter_that_is_asked_for_gets_the_default_address(load) -> None:
    (exporter,) = tracing_of(load, {"OTEL_TRACES_EXPORTER": "console,otlp"}).otlp
    assert (exporter.endpoint, exporter.metrics) == ("http://localhost:4318", False)


def test_the_file_wins_over_the_environment(load) -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://elsewhere:4318",
        "OTEL_SERVICE_NAME": "other",
        "OTEL_RESOURCE_ATTRIBUTES": "service.name=third,team=ops,region=eu%20west",
    }
    section = """\
tracing:
  opentracing_grpc_endpoint: http://collector:4317
  resource: {team: travel}
"""
    tracing = tracing_of(load, environ, section)
    assert (tracing.otlp, tracing.opentracing_grpc_endpoint) == ((), "http://collector:4317")
    assert (tracing.service_name, tracing.resource) == ("other", {"team": "travel", "region": "eu west"})
    section += "  service_name: front-door\n"
    assert tracing_of(load, environ, section).service_name == "front-door"


def test_the_name_in_the_resource_attributes_is_used_where_there_is_no_other(load) -> None:
    tracing = tracing_of(load, {"OTEL_RESOURCE_ATTRIBUTES": "service.name=third"})
    assert (tracing.service_name, tracing.resource) == ("third", {})


def test_planos_variable_is_understood(load) -> None:
    tracing = tracing_of(load, {"OTEL_TRACING_GRPC_ENDPOINT": "http://collector:4317"})
    assert tracing.opentracing_grpc_endpoint == "http://collector:4317"


def test_an_endpoint_that_cannot_be_is_an_error_of_the_configuration(problems) -> None:
    found = problems(CONFIG, {"OTEL_EXPORTER_OTLP_ENDPOINT": "ftp://collector"})
    assert [problem.path for problem in found] == ["tracing.otlp[0].endpoint"]
