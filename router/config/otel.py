"""Where telemetry goes, completed from the environment variables that all tools of OpenTelemetry read.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ and
https://opentelemetry.io/docs/specs/otel/protocol/exporter/ say what they mean. What the file says wins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias
from urllib.parse import unquote, urlsplit

from router.config.document import Document

_Signal: TypeAlias = Literal["traces", "metrics"]
_SIGNALS: tuple[_Signal, ...] = ("traces", "metrics")
_PREFIX = "OTEL_EXPORTER_OTLP_"
_LOCAL = {"grpc": "http://localhost:4317", "http/protobuf": "http://localhost:4318"}
_DEFAULT_PROTOCOL = "http/protobuf"


def complete_otlp(document: Document, variables: Mapping[str, str]) -> None:
    """Fill in what ``tracing`` of ``document`` leaves out: exporters, the name of the service, its attributes."""
    tracing = document.data.setdefault("tracing", {})
    if not isinstance(tracing, dict):
        return
    attributes = dict(_pairs(variables.get("OTEL_RESOURCE_ATTRIBUTES", "")))
    named = attributes.pop("service.name", None)
    name = variables.get("OTEL_SERVICE_NAME") or named
    if name:
        tracing.setdefault("service_name", name)
    resource = tracing.get("resource", {})
    if attributes and isinstance(resource, dict):
        tracing["resource"] = {**attributes, **resource}
    if "otlp" not in tracing and "opentracing_grpc_endpoint" not in tracing:
        exporters = [] if _is_true(variables.get("OTEL_SDK_DISABLED")) else list(_exporters(variables))
        if exporters:
            tracing["otlp"] = exporters
        elif plano_endpoint := variables.get("OTEL_TRACING_GRPC_ENDPOINT"):
            tracing["opentracing_grpc_endpoint"] = plano_endpoint
    if not tracing:
        del document.data["tracing"]


def _exporters(variables: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    wanted = [signal for signal in _SIGNALS if _is_wanted(signal, variables)]
    found = [_exporter(signal, variables) for signal in wanted]
    if len(found) == 2 and _without_signals(found[0]) == _without_signals(found[1]):
        yield found[0] | found[1] | {"traces": True, "metrics": True}
        return
    yield from found


def _is_wanted(signal: _Signal, variables: Mapping[str, str]) -> bool:
    """Nothing is sent to the standard's default address unless somebody asks for it."""
    chosen = variables.get(f"OTEL_{signal.upper()}_EXPORTER")
    if chosen:
        return "otlp" in [each.strip() for each in chosen.split(",")]
    return any(variables.get(name) for name in (f"{_PREFIX}ENDPOINT", f"{_PREFIX}{signal.upper()}_ENDPOINT"))


def _exporter(signal: _Signal, variables: Mapping[str, str]) -> dict[str, Any]:
    def said(name: str) -> str | None:
        return variables.get(f"{_PREFIX}{signal.upper()}_{name}") or variables.get(f"{_PREFIX}{name}") or None

    protocol = said("PROTOCOL") or _DEFAULT_PROTOCOL
    protocol = _DEFAULT_PROTOCOL if protocol == "http/json" else protocol  # every receiver of the one takes the other
    exporter: dict[str, Any] = {
        "endpoint": variables.get(f"{_PREFIX}ENDPOINT") or _LOCAL.get(protocol, _LOCAL[_DEFAULT_PROTOCOL]),
        "protocol": protocol,
        "compression": said("COMPRESSION") or "none",
        "traces": signal == "traces",
        "metrics": signal == "metrics",
    }
    own_endpoint = variables.get(f"{_PREFIX}{signal.upper()}_ENDPOINT")
    if own_endpoint:
        exporter |= _as_it_is(own_endpoint, signal) if protocol != "grpc" else {"endpoint": own_endpoint}
    if protocol == "grpc" and "://" not in exporter["endpoint"]:
        scheme = "http" if _is_true(said("INSECURE")) else "https"
        exporter["endpoint"] = f"{scheme}://{exporter['endpoint']}"
    headers = dict(_pairs(said("HEADERS") or ""))
    files = {"ca_file": "CERTIFICATE", "client_certificate": "CLIENT_CERTIFICATE", "client_key": "CLIENT_KEY"}
    exporter |= {key: value for key, name in files.items() if (value := said(name))}
    exporter |= {"headers": headers} if headers else {}
    exporter |= {"timeout": f"{timeout}ms"} if (timeout := said("TIMEOUT")) else {}
    interval = variables.get("OTEL_METRIC_EXPORT_INTERVAL")
    if signal == "metrics" and interval:
        exporter["metrics_interval"] = f"{interval}ms"
    return exporter


def _as_it_is(url: str, signal: _Signal) -> dict[str, str]:
    """A URL of one signal has its path already."""
    parts = urlsplit(url)
    rest = f"?{parts.query}" if parts.query else ""
    return {"endpoint": f"{parts.scheme}://{parts.netloc}{rest}", f"{signal}_path": parts.path or "/"}


def _without_signals(exporter: dict[str, Any]) -> dict[str, Any]:
    of_signals = {"traces", "metrics", "traces_path", "metrics_path", "metrics_interval"}
    return {key: value for key, value in exporter.items() if key not in of_signals}


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """``a=1,b=2``, percent-encoded, as W3C Baggage has it; what is no pair is left out."""
    for item in text.split(","):
        name, equals, value = item.partition("=")
        if equals and name.strip():
            yield unquote(name.strip()), unquote(value.strip())


def _is_true(value: str | None) -> bool:
    return value is not None and value.strip().lower() == "true"
