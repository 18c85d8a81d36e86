from __future__ import annotations

from typing import Any

import pytest

from router.cli.triton import triton_trace_url
from router.config.tracing import Tracing

COLLECTOR = {"collector": {"http_port": 4318}}
ELSEWHERE = {"endpoint": "http://otel:4318/", "protocol": "http/protobuf"}


@pytest.mark.parametrize(
    ("tracing", "url"),
    [
        ({}, None),
        (COLLECTOR, "http://127.0.0.1:4318/v1/traces"),
        ({**COLLECTOR, "otlp": [ELSEWHERE]}, "http://127.0.0.1:4318/v1/traces"),
        ({"collector": {"grpc_port": 4317}, "otlp": [ELSEWHERE]}, "http://otel:4318/v1/traces"),
        ({"otlp": [{**ELSEWHERE, "traces_path": "/otlp"}]}, "http://otel:4318/otlp"),
        ({"otlp": [{**ELSEWHERE, "traces": False}]}, None),
        ({"otlp": [{**ELSEWHERE, "headers": {"x-key": "k"}}]}, None),
        ({"otlp": [{**ELSEWHERE, "endpoint": "https://otel:4318"}]}, None),
        ({"otlp": [{"endpoint": "http://otel:4317", "protocol": "grpc"}]}, None),
        ({**COLLECTOR, "random_sampling": 50}, None),
    ],
)
def test_triton_sends_its_spans_where_it_can(tracing: dict[str, Any], url: str | None) -> None:
    assert triton_trace_url(Tracing.model_validate(tracing)) == url
