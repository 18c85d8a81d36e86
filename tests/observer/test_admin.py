"""The operator's port, asked over real connections, by Prometheus too where it is installed."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest

from router.aio import timeout
from router.observer.admin import AdminListener
from router.observer.metrics import MergedMetrics
from router.telemetry import catalogue
from router.telemetry.instruments import Registry
from tests.observer.http_get import get


class Operated:
    """A listener, and what it tells of."""

    def __init__(self) -> None:
        self.own = Registry()
        self.missing: list[str] = []
        self.listener = AdminListener(MergedMetrics(self.own), lambda: self.missing)

    @property
    def port(self) -> int:
        assert self.listener.port is not None
        return self.listener.port


@pytest.fixture
async def operated() -> AsyncIterator[Operated]:
    operated = Operated()
    await operated.listener.open("127.0.0.1", 0)
    yield operated
    await operated.listener.close()


async def test_metrics_are_there_to_scrape(operated: Operated) -> None:
    operated.own.sum(catalogue.SIGNALS).add(2, "execution.loops.retry")
    status, headers, body = await get(operated.port, "/metrics")
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b'trident_signals_total{trident_signal_type="execution.loops.retry"} 2\n' in body


async def test_openmetrics_is_there_for_those_who_prefer_it(operated: Operated) -> None:
    _, headers, body = await get(operated.port, "/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert body.endswith(b"# EOF\n")


async def test_health_and_readiness(operated: Operated) -> None:
    assert (await get(operated.port, "/healthz"))[0] == 200
    assert (await get(operated.port, "/readyz"))[0] == 200
    operated.missing = ["1 of 2 workers", "guard"]
    status, _, body = await get(operated.port, "/readyz")
    assert status == 503
    assert json.loads(body) == {"status": "not_ready", "missing": ["1 of 2 workers", "guard"]}
    assert (await get(operated.port, "/healthz"))[0] == 200


@pytest.mark.parametrize("path", ["/", "/config", "/metrics/", "/healthz/x"])
async def test_other_paths_are_not_there(operated: Operated, path: str) -> None:
    status, _, body = await get(operated.port, path)
    assert status == 404
    assert json.loads(body)["paths"] == ["/metrics", "/healthz", "/readyz"]


async def test_nothing_can_be_changed_here(operated: Operated) -> None:
    status, headers, _ = await get(operated.port, "/metrics", method="POST")
    assert (status, headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")
async def test_prometheus_scrapes_and_answers_queries(operated: Operated, tmp_path: Path) -> None:
    operated.own.sum(catalogue.SIGNALS).add(2, "execution.loops.retry")
    operated.own.histogram(catalogue.REQUEST_DURATION).record(0.3, "web", "/v1/chat/completions", "2xx")
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
        f"scrape_configs: [{{job_name: trident, static_configs: [{{targets: ['127.0.0.1:{operated.port}']}}]}}]\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    prometheus = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert await _asked(port, 'trident_signals_total{trident_signal_type="execution.loops.retry"}') == 2
        quantile = "histogram_quantile(0.5, http_server_request_duration_seconds_bucket)"
        assert 0.25 <= await _asked(port, quantile) <= 0.5
    finally:
        prometheus.kill()
        await prometheus.wait()


async def _asked(port: int, expression: str) -> float:
    """The value of an expression, as soon as it has one."""
    async with timeout(60):
        while True:
            try:
                _, _, body = await get(port, f"/api/v1/query?query={quote(expression)}")
                if found := json.loads(body)["data"]["result"]:
                    return float(found[0]["value"][1])
            except (OSError, ValueError, KeyError):
                pass  # it is still starting
            await asyncio.sleep(0.05)
