"""Made-up measurements."""

from __future__ import annotations

from typing import Any

from benchmarks.measurement import Measurement, Scenario


def measured(target: str, scenario: Scenario, rate: float, p50_ms: float, *, number: int = 0) -> Measurement:
    streamed = scenario.kind == "stream"
    result: dict[str, Any] = {
        "requests": 100,
        "errors": 0,
        "all_requests": 120,
        "requests_per_s": rate,
        "p50_ms": p50_ms,
        "p90_ms": p50_ms * 2,
        "p99_ms": p50_ms * 3,
        "first_token_p50_ms": p50_ms / 2 if streamed else None,
        "first_token_p99_ms": p50_ms if streamed else None,
        "client_cpu_ms": 0.01,
        "first_error": None,
    }
    return Measurement(
        target, scenario, number, result, {"gateway": 0.5, "triton": 0.0}, {"gateway": 100 + number}, 1.0
    )


def measured_all(*, number: int = 0, **p50_ms: float) -> list[Measurement]:
    asked = [Scenario(kind, count) for kind in ("json", "stream") for count in (1, 16, 64)]
    return [
        measured(name, scenario, 1000 / p50, p50, number=number) for name, p50 in p50_ms.items() for scenario in asked
    ]
